import { type Collection, MongoClient } from 'mongodb';
import type { Keyring } from '../codec/keys.ts';
import { type Renewed, renewed } from './client.ts';
import type {
  Call,
  StoredCommand,
  StoredDelivery,
  StoredDiscrepancy,
  StoredEvent,
  StoredFinding,
  StoredHold,
  StoredPolicy,
  StoredSweep,
} from './documents.ts';
import { StorageUnavailable, storageError } from './errors.ts';
import { createIndexes } from './indexes.ts';

/** A record may cost a call this much and no more: the call itself goes on without it. */
const OPERATION_MS = 2000;
/** A page of a list is for people, and may take longer than a record of a call. */
const PAGE_MS = 10_000;
const ALL_MS = 60_000;
// FerretDB stalls with a thousand operations on a hundred connections; 20 gave the most.
const POOL_SIZE = 20;
const DATABASE = 'policy_sync';

/** MongoDB, the keys that seal what rests in it, and its collections. */
export interface Storage {
  keyring: Keyring | undefined;
  /** To be asked for within an operation: after an outage they belong to another client. */
  readonly policies: Collection<StoredPolicy>;
  readonly calls: Collection<Call>;
  readonly discrepancies: Collection<StoredDiscrepancy>;
  readonly commands: Collection<StoredCommand>;
  readonly merchants: Collection<StoredHold>;
  readonly findings: Collection<StoredFinding>;
  readonly sweeps: Collection<StoredSweep>;
  readonly events: Collection<StoredEvent>;
  readonly deliveries: Collection<StoredDelivery>;
  /**
   * What time it is at the server: it answers.
   * @throws StorageUnavailable, StorageRefused
   */
  clock(): Promise<Date>;
  /**
   * What kind of server answers, and what time it is there.
   * @throws StorageUnavailable, StorageRefused
   */
  server(): Promise<{ topology: 'replica set' | 'sharded cluster' | 'standalone'; time: Date }>;
  /**
   * Runs reads for at most 2 s.
   * @throws StorageUnavailable, StorageRefused
   */
  read<T>(operation: () => Promise<T>): Promise<T>;
  /** The same, for a page of a list: at most 10 s. */
  readPage<T>(operation: () => Promise<T>): Promise<T>;
  /** The same, for what may look at a whole collection, a report or a page of a whole fleet: at most a minute. */
  readAll<T>(operation: () => Promise<T>): Promise<T>;
  /**
   * Runs writes to the document `id`, after those begun before, for at most 2 s in all.
   * A write given up may still take place: every write is guarded or idempotent.
   * @throws StorageUnavailable, StorageRefused
   */
  write<T>(id: string, operation: () => Promise<T>): Promise<T>;
  /** Creates the indexes that lack; may take long on collections that are already large. */
  ensureIndexes(): Promise<void>;
  close(): Promise<void>;
}

/** A `MONGODB_URI` that is none; the message is one line and does not quote it, for it may hold a password. */
export class InvalidUri extends Error {
  override readonly name = 'InvalidUri';
}

/**
 * Storage in the URI's database, or `policy_sync`. Nothing is contacted yet, so that a worker starts while MongoDB is
 * down; each operation connects, and connects again, by itself.
 * @throws InvalidUri
 */
export async function connect(uri: string, { keyring }: { keyring: Keyring | undefined }): Promise<Storage> {
  const client = renewed(() => clientOf(uri));
  const hosts = hostsOf(client.current());
  const name = /^[^/]+\/\/[^/]+\/([^?]+)/.exec(uri)?.[1] ?? DATABASE;
  const bounded = bounding(client, hosts);
  const storage: Storage = {
    keyring,
    get policies() {
      return client.current().db(name).collection<StoredPolicy>('policies');
    },
    get calls() {
      return client.current().db(name).collection<Call>('calls');
    },
    get discrepancies() {
      return client.current().db(name).collection<StoredDiscrepancy>('discrepancies');
    },
    get commands() {
      return client.current().db(name).collection<StoredCommand>('commands');
    },
    get merchants() {
      return client.current().db(name).collection<StoredHold>('merchants');
    },
    get findings() {
      return client.current().db(name).collection<StoredFinding>('findings');
    },
    get sweeps() {
      return client.current().db(name).collection<StoredSweep>('sweeps');
    },
    get events() {
      return client.current().db(name).collection<StoredEvent>('events');
    },
    get deliveries() {
      return client.current().db(name).collection<StoredDelivery>('deliveries');
    },
    clock: async () => (await storage.server()).time,
    server: () =>
      storage.read(async () => {
        const { localTime, setName, msg } = await client.current().db(name).command({ hello: 1 });
        const topology = msg === 'isdbgrid' ? 'sharded cluster' : setName ? 'replica set' : 'standalone';
        return { topology, time: localTime };
      }),
    read: (operation) => bounded(operation, OPERATION_MS),
    readPage: (operation) => bounded(operation, PAGE_MS),
    readAll: (operation) => bounded(operation, ALL_MS),
    write: (id, operation) => bounded(operation, OPERATION_MS, id),
    ensureIndexes: async () => {
      try {
        await client.current().connect();
        await createIndexes(storage);
      } catch (error) {
        throw storageError(error, hosts);
      }
    },
    close: () => client.close(),
  };
  return storage;
}

type Bounded = <T>(operation: () => Promise<T>, milliseconds: number, id?: string) => Promise<T>;

/** Runs an operation, in its turn where it writes to `id`, for so long at most. */
function bounding(client: Renewed, hosts: string): Bounded {
  const inTurn = turns();
  return async (operation, milliseconds, id) => {
    const used = client.current();
    const deadline = deadlineAfter(milliseconds, hosts);
    const orGivenUp = <T>(work: Promise<T>): Promise<T> => Promise.race([work, deadline.passed]);
    // Given up before its turn came, an operation does not begin; given up in it, it holds nobody up.
    const begin = async () => (deadline.over() ? deadline.passed : orGivenUp(operation()));
    try {
      // A first connection that failed closes the driver's topology for good: only connect() opens another.
      const done = await orGivenUp(used.connect().then(() => (id === undefined ? begin() : inTurn(id, begin))));
      client.worked(used);
      return done;
    } catch (error) {
      const ours = storageError(error, hosts);
      if (ours instanceof StorageUnavailable) client.failed(used);
      throw ours;
    } finally {
      deadline.clear();
    }
  };
}

function hostsOf({ options }: MongoClient): string {
  return options.srvHost ?? options.hosts.join(',');
}

function clientOf(uri: string): MongoClient {
  try {
    return new MongoClient(uri, {
      appName: 'policy-sync',
      maxPoolSize: POOL_SIZE,
      // Whatever the URI says: a stale secondary says `claimed` for a number that is taken, and a write that a minority has
      // taken can be lost.
      readPreference: 'primary',
      readConcernLevel: 'majority',
      w: 'majority',
      // An absent field stays absent: as null it would be a value.
      ignoreUndefined: true,
      // A little less than the whole, so that the driver's own reason is told.
      serverSelectionTimeoutMS: OPERATION_MS - 200,
      connectTimeoutMS: OPERATION_MS,
      waitQueueTimeoutMS: OPERATION_MS,
    });
  } catch {
    throw new InvalidUri('MONGODB_URI: expected mongodb://host:port/database or mongodb+srv://…, found something else');
  }
}

/** The driver bounds each step of an operation, no operation as a whole: `timeoutMS` of driver 7.9 has no effect. */
function deadlineAfter(milliseconds: number, hosts: string) {
  let over = false;
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      over = true;
      reject(new StorageUnavailable(hosts, `no answer in ${milliseconds} ms`));
    }, milliseconds);
  });
  return { passed, over: () => over, clear: () => clearTimeout(timer) };
}

/**
 * One operation a document at a time. MongoDB needs none of it: its updates are atomic. FerretDB 1 reads the document
 * and writes the whole of it back, so that of two guarded updates at once the older could win.
 */
function turns(): <T>(id: string, operation: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>();
  return (id, operation) => {
    const turn = (last.get(id) ?? Promise.resolve()).then(operation, operation);
    last.set(id, turn);
    const leave = (): void => {
      if (last.get(id) === turn) last.delete(id);
    };
    turn.then(leave, leave);
    return turn;
  };
}
