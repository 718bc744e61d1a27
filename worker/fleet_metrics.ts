import { Gauge, type Registry } from 'prom-client';
import { shortState } from '../policy/state.ts';
import type { Counts } from '../storage/counts.ts';
import type { Backlog } from './backlog.ts';

/** What MongoDB and Temporal tell of all policies, whichever worker runs them; undefined before they have told. */
export function fleetMetrics(
  registry: Registry,
  {
    counts,
    backlogs,
  }: { counts: () => Promise<Counts | undefined>; backlogs: () => Promise<readonly Backlog[] | undefined> },
): void {
  const registers = [registry];
  new Gauge({
    name: 'policy_sync_queue_backlog_tasks',
    help: 'What waits in a queue of Temporal for a worker or for the rate of its merchant',
    labelNames: ['queue'],
    registers,
    async collect() {
      const found = await backlogs();
      this.reset();
      for (const { queue, tasks } of found ?? []) this.set({ queue }, tasks);
    },
  });
  new Gauge({
    name: 'policy_sync_policies',
    help: 'Policies whose life goes on, by state and sync',
    labelNames: ['state', 'sync'],
    registers,
    async collect() {
      const counted = await counts();
      this.reset();
      for (const { policy_state, sync, count } of counted?.policies ?? [])
        this.set({ state: shortState(policy_state), sync }, count);
    },
  });
  new Gauge({
    name: 'policy_sync_blocked_policies',
    help: 'BLOCKED policies, by the code of what blocks them',
    labelNames: ['code'],
    registers,
    async collect() {
      const counted = await counts();
      this.reset();
      for (const { code, count } of counted?.blocked ?? []) this.set({ code }, count);
    },
  });
  age('policy_sync_oldest_pending_seconds', 'Age of the oldest change that waits for WeChat Pay; 0 where none waits', {
    registry,
    since: async () => sinceOf(await counts(), 'pending_since'),
  });
  age('policy_sync_oldest_verification_seconds', 'Time since the policy verified longest ago was verified', {
    registry,
    since: async () => sinceOf(await counts(), 'verified_at'),
  });
  age(
    'policy_sync_verification_overdue_seconds',
    'How late the latest verification of a SYNCED policy is; 0 where none is',
    {
      registry,
      since: async () => sinceOf(await counts(), 'verification_due'),
    },
  );
}

type Since = 'pending_since' | 'verified_at' | 'verification_due';

function sinceOf(counts: Counts | undefined, what: Since): Date | null | undefined {
  return counts?.[what];
}

/** A gauge of the seconds since a time; absent before it is known, 0 where there is none. */
function age(
  name: string,
  help: string,
  { registry, since }: { registry: Registry; since: () => Promise<Date | null | undefined> },
): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    async collect() {
      const from = await since();
      this.remove();
      if (from !== undefined) this.set(from === null ? 0 : Math.max(0, Date.now() - from.getTime()) / 1000);
    },
  });
}
