import { SYNCS, type Sync } from '../policy/state.ts';
import { timeForPeople } from '../policy/time.ts';
import type { Storage } from '../storage/connection.ts';
import { countLiving } from '../storage/fleet_counts.ts';
import { type Lately, latest, openId } from '../storage/lately.ts';
import type { Look } from './live.ts';
import { tableOf } from './output.ts';

/** So much of what changed of late is shown on a screen; and told of at once to a program, which is told all there is otherwise. */
const [SHOWN, TOLD] = [12, 1_000];
/** Clocks of workers may differ, and MongoDB have a line some time after it came. */
const LATE_MS = 60_000;

type Counts = Partial<Record<Sync, number>>;

/** The fleet as MongoDB knows it: how many policies there are of each sync, and what changed of late. Nothing personal. */
export function fleetLook(storage: Storage, mchid: string | undefined): () => Promise<Look> {
  let first: Counts | undefined;
  let before: Counts = {};
  const changed = changes(storage, mchid);
  return async () => {
    const counts: Counts = {};
    for (const { of, policies } of await countLiving(storage, mchid))
      counts[of.sync] = (counts[of.sync] ?? 0) + policies;
    const { fresh, isCut } = await changed();
    const isFirst = first === undefined;
    first ??= counts;
    const turned = SYNCS.filter((sync) => counts[sync] !== before[sync]).map((sync) => `${sync} ${counts[sync] ?? 0}`);
    before = counts;
    const counted = turned.length > 0 || isFirst ? [turned.join(', ') || 'no policy goes on'] : [];
    const more = isCut ? ['more has changed than is told here: see `policy-sync report`'] : [];
    return {
      value: { at: new Date(), by_sync: counts, latest: fresh },
      text: textOf(counts, first, await latest(storage, { mchid }, SHOWN)),
      news: [...counted, ...fresh.map(lineOf), ...more],
    };
  };
}

/**
 * What is new since the look before, the first first, and what became of what was told then; of what was there before the first look,
 * nothing. `isCut`: there is more.
 */
function changes(storage: Storage, mchid: string | undefined): () => Promise<{ fresh: Lately[]; isCut: boolean }> {
  let told: ReadonlySet<string> | undefined;
  let looked = Date.now();
  let open: string[] = [];
  return async () => {
    const since = new Date(looked - LATE_MS);
    looked = Date.now();
    const changed = await latest(storage, { mchid, since, ids: open }, TOLD);
    open = changed.map(openId).filter((id) => id !== undefined);
    const fresh = told ? changed.filter((one) => !told?.has(keyOf(one))).reverse() : [];
    const isCut = told !== undefined && changed.length === TOLD;
    told = new Set(changed.map(keyOf));
    return { fresh, isCut };
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
