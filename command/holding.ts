import type { Command } from 'commander';
import type { ListedPolicy, ListFilter } from '../client/list.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import type { PolicyId } from '../client/start_operation.ts';
import type { Envelope } from '../policy/commands.ts';
import type { Answer } from '../workflows/messages.ts';
import { messageOf } from './error_text.ts';
import { endWith, exitCodeOf } from './exit_code.ts';
import { envelopeOf, type MessageOptions, messageCommand, send } from './messages.ts';
import { type Filter, shortStateOf, withFilter } from './options.ts';
import { note, print } from './output.ts';
import { withClient } from './session.ts';
import { UsageError } from './usage.ts';

interface Options extends MessageOptions, Filter {
  all?: boolean;
}

/** What became of a message that was sent to many. */
export interface SentToAll extends Record<Answer['outcome'], number> {
  failed: number;
}

const AT_ONCE = 32;
/** So many failures are told, a line each. */
const MOST_TOLD = 10;

type Send = (client: PolicyClient, policy: PolicyId, envelope: Envelope) => Promise<Answer>;

/** Whether anything is sent to WeChat Pay: of one policy, or of all that a filter finds. */
export function addHolding(program: Command): void {
  forAll(program, 'hold [NO]', 'take messages, but send nothing to WeChat Pay, and let due times wait: HELD')
    .requiredOption('--reason <text>', 'why')
    .action((number: string | undefined, options: Options & { reason: string }) =>
      toOneOrAll(number, options, (client, policy, envelope) =>
        client.hold(policy, { ...envelope, reason: options.reason }),
      ),
    );
  forAll(program, 'unhold [NO]', 'go on with what is HELD; what came due meanwhile is done at once').action(
    (number: string | undefined, options: Options) =>
      toOneOrAll(number, options, (client, ...to) => client.unhold(...to)),
  );
  forAll(program, 'observe <on|off> [NO]', 'on: watch and compare, never write (OBSERVED); off: ours to write').action(
    (turned: string, number: string | undefined, options: Options) => {
      if (turned !== 'on' && turned !== 'off') throw new UsageError('observe: expected on or off, then a policy');
      const on = turned === 'on';
      return toOneOrAll(number, options, (client, policy, envelope) => client.observe(policy, { ...envelope, on }));
    },
  );
}

function forAll(program: Command, words: string, description: string): Command {
  const command = messageCommand(program, words, description).option(
    '--all',
    'all policies that run, of all merchants without --mchid',
  );
  return withFilter(command, 'with --all: ');
}

async function toOneOrAll(number: string | undefined, options: Options, message: Send): Promise<void> {
  if ((number === undefined) !== (options.all === true)) throw new UsageError('give a policy, or --all');
  if (number !== undefined) return send(number, options, message);
  if (options.wait) throw new UsageError('--wait does not go with --all: see `policy-sync list`');
  const { sync, type, mchid } = options;
  const filter: ListFilter = {
    ...{ mchid, type },
    state: shortStateOf(options),
    sync: sync === undefined ? undefined : [sync],
  };
  await withClient(options, async (client) => {
    const became = await sendToAll(client, await running(client, filter), options, message);
    print(options.json, became, () => {
      const { accepted, unchanged, superseded, failed } = became;
      return `${accepted} accepted, ${unchanged} unchanged, ${superseded} superseded, ${failed} failed`;
    });
  });
}

/** All of them before anything is sent: a message changes what the filter finds, and would shift its pages. */
async function running(client: PolicyClient, filter: ListFilter): Promise<ListedPolicy[]> {
  const { listPolicies } = await import('../client/list.ts');
  const policies: ListedPolicy[] = [];
  for await (const policy of listPolicies(client, filter)) {
    // Those that run come first.
    if (policy.workflow !== 'RUNNING') break;
    policies.push(policy);
  }
  return policies;
}

async function sendToAll(
  client: PolicyClient,
  policies: readonly ListedPolicy[],
  options: Options,
  message: Send,
): Promise<SentToAll> {
  const [{ eachAtOnce }, { startProgress }] = await Promise.all([import('./at_once.ts'), import('./progress.ts')]);
  const became: SentToAll = { accepted: 0, unchanged: 0, superseded: 0, failed: 0 };
  const progress = startProgress('sent', policies.length);
  try {
    await eachAtOnce(policies, AT_ONCE, async ({ mchid, out_insurance_no }) => {
      try {
        const { outcome } = await message(client, { mchid, out_insurance_no }, envelopeOf(options));
        became[outcome]++;
      } catch (error) {
        became.failed++;
        endWith(exitCodeOf(error));
        if (became.failed <= MOST_TOLD) progress.note(messageOf(error));
      }
      progress.count();
    });
  } finally {
    progress.stop();
  }
  if (became.failed > MOST_TOLD) note(`and ${became.failed - MOST_TOLD} more failed; run the same again`);
  return became;
}
