import { SYNCS, type Sync } from '../policy/state.ts';
import { timeForPeople } from '../policy/time.ts';
import type { Storage } from '../storage/connection.ts';
import { countLiving } from '../storage/fleet_counts.ts';
import { type Lately, latest } from '../storage/lately.ts';
import type { Look } from './live.ts';
import { tableOf } from './output.ts';

/** So much of what changed of late is shown. */
const LATEST = 12;

type Counts = Partial<Record<Sync, number>>;

/** The fleet as MongoDB knows it: how many policies there are of each sync, and what changed of late. Nothing personal. */
export function fleetLook(storage: Storage, mchid: string | undefined): () => Promise<Look> {
  let first: Counts | undefined;
  let before: Counts = {};
  let told: ReadonlySet<string> = new Set();
  return async () => {
    const counts: Counts = {};
    for (const { of, policies } of await countLiving(storage, mchid))
      counts[of.sync] = (counts[of.sync] ?? 0) + policies;
    const lately = await latest(storage, mchid, LATEST);
    const isFirst = first === undefined;
    first ??= counts;
    // The latest first; of what was there before, a pipe is told nothing.
    const fresh = lately.filter((one) => !told.has(keyOf(one))).reverse();
    told = new Set(lately.map(keyOf));
    const turned = SYNCS.filter((sync) => counts[sync] !== before[sync]).map((sync) => `${sync} ${counts[sync] ?? 0}`);
    before = counts;
    const news = [...(turned.length > 0 ? [turned.join(', ')] : []), ...(isFirst ? [] : fresh.map(lineOf))];
    return {
      value: { at: new Date(), by_sync: counts, latest: isFirst ? [] : fresh },
      text: textOf(counts, first, lately),
      news,
    };
  };
}

/** A change that WeChat Pay has confirmed since is told of again. */
function keyOf({ id, confirmed_at }: Lately): string {
  return `${id} ${confirmed_at?.getTime() ?? ''}`;
}

function textOf(counts: Counts, first: Counts, lately: readonly Lately[]): string {
  const syncs = SYNCS.filter((sync) => counts[sync] || first[sync]);
  const rows = syncs.map((sync) => {
    const since = (counts[sync] ?? 0) - (first[sync] ?? 0);
    return [sync, String(counts[sync] ?? 0), since === 0 ? '' : `${since > 0 ? '+' : ''}${since}`];
  });
  const changes = lately.map((one) => [timeForPeople(one.at), one.policy, one.what, one.stands]);
  return [
    tableOf(['SYNC', 'POLICIES', 'SINCE'], rows),
    changes.length > 0 ? tableOf(['LATELY', 'POLICY', 'WHAT', ''], changes) : 'nothing has changed yet',
    timeForPeople(new Date()),
  ].join('\n\n');
}

function lineOf({ at, policy, what, stands }: Lately): string {
  return `${timeForPeople(at)} ${policy}: ${what}, ${stands}`;
}
