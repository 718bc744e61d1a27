import type { Keyring } from '../codec/keys.ts';
import { openField, openFields, sealField, sealFields, type Unreadable } from '../codec/sealed_fields.ts';
import type { CommandEntry, Confirmation } from '../policy/entries.ts';
import type { Storage } from './connection.ts';
import type { StoredCommand } from './documents.ts';
import { isDuplicate } from './errors.ts';

export type ReadCommand = StoredCommand & { unreadable: Unreadable[] };

export interface Commands {
  /** `_id` of the policy. */
  policy: string;
  mchid: string;
  commands: readonly CommandEntry[];
  confirmation: Confirmation | null;
}

/** A command that WeChat Pay is known to hold, and how long after it was accepted. */
export interface ConfirmedCommand {
  command: string;
  after_ms: number;
}

/**
 * Appends commands, each once however often it is written, and says of those that wait for it that WeChat Pay holds them.
 * @returns the latter
 * @throws StorageError
 */
export async function writeCommands(storage: Storage, written: Commands): Promise<ConfirmedCommand[]> {
  const { policy, commands, confirmation } = written;
  if (commands.length === 0 && !confirmation) return [];
  return storage.write(`${policy}/commands`, async () => {
    if (commands.length > 0) await append(storage, written);
    return confirmation ? confirm(storage, policy, confirmation) : [];
  });
}

async function confirm({ commands }: Storage, policy: string, confirmation: Confirmation): Promise<ConfirmedCommand[]> {
  const { revision, at, request_id = null } = confirmation;
  const confirmed_at = new Date(at);
  const waiting = { policy, confirmed_at: null, rule: null, revision: { $lte: revision }, at: { $lte: confirmed_at } };
  const found = await commands.find(waiting, { projection: { command: 1, at: 1 } }).toArray();
  if (found.length === 0) return [];
  const among = { policy, confirmed_at: null, _id: { $in: found.map(({ _id }) => _id) } };
  await commands.updateMany(among, { $set: { confirmed_at, request_id } });
  return found.map((one) => ({ command: one.command, after_ms: at - one.at.getTime() }));
}

/** Those that are not there yet: what is not known to be written comes with every write, up to 200 of them. */
async function append(storage: Storage, { policy, mchid, commands }: Commands): Promise<void> {
  const byId = new Map(commands.map((told) => [`${policy}/${told.id}`, told]));
  const among = { policy, _id: { $in: [...byId.keys()] } };
  for (const { _id } of await storage.commands.find(among, { projection: { _id: 1 } }).toArray()) byId.delete(_id);
  if (byId.size === 0) return;
  const documents = [...byId].map(([_id, told]) => stored(storage.keyring, _id, { policy, mchid }, told));
  try {
    await storage.commands.insertMany(documents, { ordered: false });
  } catch (error) {
    // Another write was faster with some of them.
    if (!isDuplicate(error)) throw error;
  }
}

function stored(
  keyring: Keyring | undefined,
  _id: string,
  of: { policy: string; mchid: string },
  { id: _own, by, reason, before, after, at, ...told }: CommandEntry,
): StoredCommand {
  const nothing = { event_id: null, version: null, cause: null, business_date: null, rule: null };
  return {
    _id,
    ...of,
    ...nothing,
    ...told,
    by: sealField(keyring, 'by', by ?? undefined, place(_id, 'by')) ?? null,
    reason: sealField(keyring, 'reason', reason ?? undefined, place(_id, 'reason')) ?? null,
    before: sealFields(keyring, before, place(_id, 'before')),
    after: sealFields(keyring, after, place(_id, 'after')),
    at: new Date(at),
    confirmed_at: null,
    request_id: null,
  };
}

/**
 * The commands of a policy, the newest first.
 * @throws StorageError
 */
export async function listCommands(storage: Storage, policy: string, limit: number): Promise<ReadCommand[]> {
  const found = await storage.read(() =>
    storage.commands.find({ policy }).sort({ at: -1, _id: -1 }).limit(limit).toArray(),
  );
  return found.map((one) => opened(storage.keyring, one));
}

/** Where a sealed value belongs; it opens nowhere else. */
function place(_id: string, part: 'by' | 'reason' | 'before' | 'after'): string {
  return `commands/${_id}/${part}`;
}

function opened(keyring: Keyring | undefined, command: StoredCommand): ReadCommand {
  const unreadable: Unreadable[] = [];
  const { _id } = command;
  const text = (part: 'by' | 'reason') =>
    openField(keyring, part, command[part] ?? undefined, place(_id, part), unreadable) ?? null;
  const fields = (part: 'before' | 'after') => {
    const result = openFields(keyring, command[part] ?? {}, place(_id, part));
    unreadable.push(...result.unreadable);
    return result.fields;
  };
  const shown = { by: text('by'), reason: text('reason'), before: fields('before'), after: fields('after') };
  return { ...command, ...shown, unreadable };
}
