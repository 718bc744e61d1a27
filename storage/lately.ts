import type { Storage } from './connection.ts';

/** Something that happened to a policy; nothing personal. */
export interface Lately {
  /** `_id` of the command or the discrepancy, and what became of the latter. */
  id: string;
  /** `_id` of the policy. */
  policy: string;
  at: Date;
  what: string;
  /** What became of it by now. */
  stands: string;
  confirmed_at: Date | null;
}

/** Which of them. */
export interface LatelyFilter {
  mchid: string | undefined;
  /** Those that came after it, and those of `ids`: of commands and of discrepancies. */
  since?: Date;
  ids?: readonly string[];
}

/**
 * The last messages, due times and differences of a merchant's policies, or of all, the newest first.
 * @throws StorageError
 */
export async function latest(storage: Storage, filter: LatelyFilter, limit: number): Promise<Lately[]> {
  const { mchid, since, ids = [] } = filter;
  const of = mchid === undefined ? {} : { mchid };
  const after = { $gt: since };
  const among = { _id: { $in: [...ids] } };
  const [told, differing] = since ? [{ $or: [{ at: after }, among] }, { $or: [{ found_at: after }, among] }] : [{}, {}];
  const [commands, discrepancies] = await Promise.all([
    storage.readPage(() =>
      storage.commands
        .find({ ...of, ...told }, { projection: COMMAND_PARTS })
        .sort({ at: -1, _id: -1 })
        .limit(limit)
        .toArray(),
    ),
    storage.readPage(() =>
      storage.discrepancies
        .find({ ...of, ...differing }, { projection: FOUND_PARTS })
        .sort({ found_at: -1, _id: -1 })
        .limit(limit)
        .toArray(),
    ),
  ]);
  const all: Lately[] = [
    ...commands.map(({ _id, policy, at, command, rule, confirmed_at = null, revision }) => ({
      ...{ id: _id, policy, at, confirmed_at, what: `${command} (revision ${revision})` },
      stands: rule ? `refused: ${rule}` : confirmed_at ? 'confirmed' : ON_ITS_WAY,
    })),
    ...discrepancies.map(({ _id, policy, found_at, field, kind, became }) => ({
      ...{ id: `${_id} ${became}`, policy, at: found_at, confirmed_at: null, what: `${kind} of ${field}` },
      stands: became,
    })),
  ];
  return all.sort((a, b) => b.at.getTime() - a.at.getTime()).slice(0, limit);
}

const COMMAND_PARTS = { policy: 1, at: 1, command: 1, rule: 1, confirmed_at: 1, revision: 1 } as const;
const FOUND_PARTS = { policy: 1, found_at: 1, field: 1, kind: 1, became: 1 } as const;

/** `_id` of one that something is still to become of. */
export function openId({ id, stands }: Lately): string | undefined {
  if (stands === ON_ITS_WAY) return id;
  return stands === HEALING ? id.slice(0, -HEALING.length - 1) : undefined;
}

const ON_ITS_WAY = 'on its way';
const HEALING = 'healing';
