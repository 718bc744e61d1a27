import type { Command } from 'commander';
import type { PolicyId } from '../client/start_operation.ts';
import type { Sync } from '../policy/state.ts';
import type { PolicyFilter } from '../storage/policy_list.ts';
import { shortStateOf } from './options.ts';
import { withMongodb } from './storage.ts';
import { type ToAllOptions, toAllCommand, toOneOrAll } from './to_all.ts';
import { UsageError } from './usage.ts';

interface Options extends ToAllOptions {
  mark?: string;
}

/** Goes on with a policy that waits for a person, or with all that a filter finds. */
export function addResume(program: Command): void {
  toAllCommand(
    program,
    'resume [NO]',
    'try again at once what is BLOCKED, DIVERGED or waits to be retried; go on with what is STOPPED; take marks off',
    'all that --sync or --mark finds, of all merchants without --mchid',
  )
    .option('--mark <mark>', 'with --all: only those whose record bears this mark, such as reset')
    .action((number: string | undefined, options: Options) =>
      toOneOrAll(number, options, (client, ...to) => client.resume(...to), waiting(options)),
    );
}

/** By what MongoDB keeps: Temporal forgets what is STOPPED, and knows of no marks. */
function waiting(options: Options) {
  const { all, mchid, type: policy_type, mark } = options;
  const sync = options.sync as Sync | undefined;
  // What is DIVERGED is written over, and what bears a mark is meant to be looked at: nobody does so to all by mistake.
  if (all && !sync && !mark) throw new UsageError('resume: with --all, say which: --sync or --mark');
  const state = shortStateOf(options);
  const filter: PolicyFilter = {
    ...{ mchid, policy_type, sync, mark },
    ...(state && { policy_state: `POLICY_STATE_${state}` }),
    end: sync === 'STOPPED' ? 'STOPPED' : null,
  };
  return () =>
    withMongodb('resume --all', async (storage) => {
      const { listPolicies } = await import('../storage/policy_list.ts');
      const policies: PolicyId[] = [];
      for await (const { mchid, out_insurance_no } of listPolicies(storage, filter))
        policies.push({ mchid, out_insurance_no });
      return policies;
    });
}
