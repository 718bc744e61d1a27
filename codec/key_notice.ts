import { hostname } from 'node:os';
import { fingerprintOf, type Key, type Keyring } from './keys.ts';

const SETTING = 'POLICY_SYNC_KEYS';
const MARK = ' keys=';
/** Temporal takes identities of 1,000 characters; ids have 40 at most. */
const MOST_KEYS = 12;

/** What a worker says of its payload keys: nothing of the keys themselves. */
export interface KeyNotice {
  /** The first one seals. */
  keys: readonly { id: string; fingerprint: string }[];
  /** Payloads in the clear are taken, too. */
  plain: boolean;
}

/**
 * Identity of a worker, by which Temporal names it to whoever asks who polls: process, machine, and its payload keys as
 * `keys=k1:1a2b3c4d,k0:5e6f7a8b`, `keys=none`; `+plain` where payloads in the clear are taken all the same.
 */
export function identityOf(keyring: Keyring | undefined, { allowPlain }: { allowPlain: boolean }): string {
  const keys = [...(keyring?.byId.values() ?? [])].slice(0, MOST_KEYS).map((key) => `${key.id}:${fingerprintOf(key)}`);
  return `${process.pid}@${hostname()}${MARK}${keys.join(',') || 'none'}${keyring && allowPlain ? '+plain' : ''}`;
}

/** What an identity says of keys; undefined where it says nothing. */
export function noticeIn(identity: string): KeyNotice | undefined {
  const [, said] = /\skeys=(\S+)$/.exec(identity) ?? [];
  if (said === undefined) return undefined;
  const list = said.replace(/\+plain$/, '');
  const keys = list === 'none' ? [] : list.split(',').map((entry) => entry.split(':') as [string, string]);
  return { keys: keys.map(([id, fingerprint]) => ({ id, fingerprint })), plain: said !== list };
}

/**
 * Why no worker of these can open what this keyring seals, or seals what it cannot open: one line that names the key and
 * what to do. Undefined where one of them fits, or none says anything.
 */
export function misfit(own: Keyring | undefined, identities: readonly string[]): string | undefined {
  const notices = identities.map(noticeIn).filter((notice) => notice !== undefined);
  const faults = notices.map((notice) => faultOf(own, notice));
  return faults.includes(undefined) ? undefined : faults[0];
}

function faultOf(own: Keyring | undefined, { keys, plain }: KeyNotice): string | undefined {
  const [seals] = keys;
  if (!own) {
    if (!seals || plain) return undefined;
    return `${SETTING}: expected the workers' keys, which seal with "${seals.id}", found none: set it as the workers have it`;
  }
  const { id } = own.active;
  if (!seals)
    return `${SETTING}: expected none, as the workers have none, found "${id}": unset it, or set the workers'`;
  const theirs = keys.find((key) => key.id === id);
  if (!theirs && keys.length < MOST_KEYS)
    return `${SETTING}: expected a key that the workers have in the first place, such as "${seals.id}", found "${id}": set it as they have it, or give them "${id}" before`;
  if (theirs && !isSame(own.active, theirs)) return `${SETTING}: ${differs(id)}`;
  const opens = own.byId.get(seals.id);
  if (!opens)
    return `${SETTING}: expected "${seals.id}" among the keys, which the workers seal with, found "${[...own.byId.keys()].join('", "')}": add it`;
  return isSame(opens, seals) ? undefined : `${SETTING}: ${differs(seals.id)}`;
}

function isSame(key: Key, { fingerprint }: { fingerprint: string }): boolean {
  return fingerprintOf(key) === fingerprint;
}

function differs(id: string): string {
  return `expected the workers' key "${id}", found another of that id: copy theirs`;
}
