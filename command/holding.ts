import type { Command } from 'commander';
import type { ListedPolicy } from '../client/list.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import { shortStateOf } from './options.ts';
import { type ToAllOptions, toAllCommand, toOneOrAll } from './to_all.ts';
import { UsageError } from './usage.ts';

/** Whether anything is sent to WeChat Pay: of one policy, or of all that a filter finds. */
export function addHolding(program: Command): void {
  forAll(program, 'hold [NO]', 'take messages, but send nothing to WeChat Pay, and let due times wait: HELD')
    .requiredOption('--reason <text>', 'why')
    .action((number: string | undefined, options: ToAllOptions & { reason: string }) =>
      toOneOrAll(
        number,
        options,
        (client, policy, envelope) => client.hold(policy, { ...envelope, reason: options.reason }),
        running(options),
      ),
    );
  forAll(program, 'unhold [NO]', 'go on with what is HELD; what came due meanwhile is done at once').action(
    (number: string | undefined, options: ToAllOptions) =>
      toOneOrAll(number, options, (client, ...to) => client.unhold(...to), running(options)),
  );
  forAll(program, 'observe <on|off> [NO]', 'on: watch and compare, never write (OBSERVED); off: ours to write').action(
    (turned: string, number: string | undefined, options: ToAllOptions) => {
      if (turned !== 'on' && turned !== 'off') throw new UsageError('observe: expected on or off, then a policy');
      const on = turned === 'on';
      const message: Parameters<typeof toOneOrAll>[2] = (client, policy, envelope) =>
        client.observe(policy, { ...envelope, on });
      return toOneOrAll(number, options, message, running(options));
    },
  );
}

function forAll(program: Command, words: string, description: string): Command {
  return toAllCommand(program, words, description, 'all policies that run, of all merchants without --mchid');
}

/** Those that run, by Temporal's search. */
function running(options: ToAllOptions) {
  const { sync, type, mchid } = options;
  return async (client: PolicyClient): Promise<ListedPolicy[]> => {
    const { listPolicies } = await import('../client/list.ts');
    const filter = { mchid, type, state: shortStateOf(options), sync: sync === undefined ? undefined : [sync] };
    const policies: ListedPolicy[] = [];
    for await (const policy of listPolicies(client, filter)) {
      // Those that run come first.
      if (policy.workflow !== 'RUNNING') break;
      policies.push(policy);
    }
    return policies;
  };
}
