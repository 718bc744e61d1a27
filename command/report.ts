import type { Command } from 'commander';
import { DAY } from '../policy/duration.ts';
import { shortState } from '../policy/state.ts';
import type { Storage } from '../storage/connection.ts';
import { merchantIfSaid } from './merchant.ts';
import { milliseconds } from './options.ts';
import { print } from './output.ts';
import type { Report } from './report_text.ts';
import { withMongodb } from './storage.ts';

interface Options {
  json?: boolean;
  mchid?: string;
  since?: number;
}

/** So many of the changes that have waited longest are named. */
const OLDEST = 5;
const HOUR = DAY / 24;
const SPANS = [HOUR, DAY, 7 * DAY, 30 * DAY];
const SINCE = 30 * DAY;

export function addReport(program: Command): void {
  program
    .command('report')
    .description(
      'count the fleet: by state and sync, what waits longest, blocked by code, drift by field, verifications by age',
    )
    .option('--json', 'write JSON, for programs')
    .option('--mchid <id>', 'merchant (default: all)')
    .option('--since <duration>', 'count drift found within this time (default: 30d)', milliseconds)
    .action(async (options: Options) => {
      const mchid = options.mchid === undefined ? undefined : await merchantIfSaid(options.mchid);
      const report = await withMongodb('report', (storage) => reportOf(storage, mchid, options.since ?? SINCE));
      const { reportText } = await import('./report_text.ts');
      print(options.json, report, () => reportText(report));
    });
}

async function reportOf(storage: Storage, mchid: string | undefined, since: number): Promise<Report> {
  const counts = await import('../storage/fleet_counts.ts');
  const at = await storage.clock();
  const drift_since = new Date(at.getTime() - since);
  const living = await counts.countLiving(storage, mchid);
  const ended = await counts.countEnded(storage, mchid);
  const blocked = await counts.countBlocked(storage, mchid);
  const by_state: Report['by_state'] = {};
  for (const { of, policies } of living) {
    const state = shortState(of.policy_state);
    by_state[state] = { ...by_state[state], [of.sync]: policies };
  }
  return {
    at,
    mchid: mchid ?? null,
    policies: living.reduce((sum, { policies }) => sum + policies, 0),
    by_state,
    ended: Object.fromEntries(ended.map(({ of, policies }) => [of, policies])),
    oldest_pending: await counts.oldestWaiting(storage, mchid, OLDEST),
    blocked: Object.fromEntries(blocked.map(({ of, policies }) => [of, policies])),
    drift_since,
    drift: await counts.countDrift(storage, mchid, drift_since),
    verification: await counts.countVerifications(storage, mchid, SPANS, at),
  };
}
