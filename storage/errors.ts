import { MongoBulkWriteError, MongoError, MongoInvalidArgumentError, MongoServerError } from 'mongodb';

/** MongoDB could not be used. Messages are one line, without address credentials or any value of a document. */
export abstract class StorageError extends Error {}

/** MongoDB did not answer in time, cannot be reached, or takes no writes just now: the same may succeed later. */
export class StorageUnavailable extends StorageError {
  override readonly name = 'StorageUnavailable';

  constructor(hosts: string, reason: string) {
    super(`MongoDB at ${hosts} is not available (${reason}): check that it runs, and MONGODB_URI`);
  }
}

/** MongoDB answered with an error that trying again does not mend: no permission, a full disk, an unknown option. */
export class StorageRefused extends StorageError {
  override readonly name = 'StorageRefused';
  readonly code: number | string | undefined;

  constructor(hosts: string, code: number | string | undefined, codeName: string | undefined) {
    super(`MongoDB at ${hosts} refused the operation: code ${code ?? 'unknown'}${codeName ? ` (${codeName})` : ''}`);
    this.code = code;
  }
}

/** What is stored of a policy does not open with the keys that are there. */
export class StorageUnreadable extends StorageError {
  override readonly name = 'StorageUnreadable';

  constructor(id: string, field: string, reason: string) {
    super(`policy ${id}, ${field}: ${reason}`);
  }
}

/** Whether an insert met a document with its `_id`; of one of many, whether that is all that hindered it. */
export function isDuplicate(error: unknown): boolean {
  if (error instanceof MongoBulkWriteError) return [error.writeErrors].flat().every(({ code }) => code === 11000);
  return error instanceof MongoServerError && error.code === 11000;
}

// A primary that steps down or shuts down, and times run out: 64 write concern, 50 maxTimeMS (MongoDB's error codes).
const PASSING = new Set<unknown>([6, 7, 50, 64, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436]);

/** The error of ours for one of the driver's. The server's own text is left out: it may quote the document. */
export function storageError(error: unknown, hosts: string): unknown {
  // Without a code it is no answer of the server's: a bulk write that lost its connection.
  if (error instanceof MongoServerError && error.code !== undefined) {
    if (PASSING.has(error.code)) return new StorageUnavailable(hosts, error.codeName ?? `code ${error.code}`);
    return new StorageRefused(hosts, error.code, error.codeName);
  }
  if (error instanceof MongoError && !(error instanceof MongoInvalidArgumentError))
    return new StorageUnavailable(hosts, oneLine(error.message));
  // The hosts of mongodb+srv are looked up by the driver, which passes the system's error on as it is.
  const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  if (typeof code === 'string' && typeof syscall === 'string') return new StorageUnavailable(hosts, code);
  return error;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').slice(0, 200);
}
