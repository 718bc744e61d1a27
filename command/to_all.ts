import type { Command } from 'commander';
import type { PolicyClient } from '../client/policy_client.ts';
import type { PolicyId } from '../client/start_operation.ts';
import type { Envelope } from '../policy/commands.ts';
import type { Answer } from '../workflows/messages.ts';
import { messageOf } from './error_text.ts';
import { endWith, exitCodeOf } from './exit_code.ts';
import { envelopeOf, type MessageOptions, messageCommand, send } from './messages.ts';
import { type Filter, withFilter } from './options.ts';
import { note, print } from './output.ts';
import { withClient } from './session.ts';
import { UsageError } from './usage.ts';

/** Of a message that goes to one policy, or to all that a filter finds. */
export interface ToAllOptions extends MessageOptions, Filter {
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

/** The command line of such a message. */
export function toAllCommand(program: Command, words: string, description: string, all: string): Command {
  return withFilter(messageCommand(program, words, description).option('--all', all), 'with --all: ');
}

/**
 * Sends to the policy, or to all of `whom`: these are found before anything is sent, for a message changes what a filter finds.
 * @throws UsageError where neither is given, or both
 */
export async function toOneOrAll(
  number: string | undefined,
  options: ToAllOptions,
  message: Send,
  whom: (client: PolicyClient) => Promise<readonly PolicyId[]>,
): Promise<void> {
  if ((number === undefined) !== (options.all === true)) throw new UsageError('give a policy, or --all');
  if (number !== undefined) return send(number, options, message);
  if (options.wait) throw new UsageError('--wait does not go with --all: see `policy-sync list`');
  await withClient(options, async (client) => {
    const became = await sendToAll(client, await whom(client), options, message);
    print(options.json, became, () => {
      const { accepted, unchanged, superseded, failed } = became;
      return `${accepted} accepted, ${unchanged} unchanged, ${superseded} superseded, ${failed} failed`;
    });
  });
}

async function sendToAll(
  client: PolicyClient,
  policies: readonly PolicyId[],
  options: ToAllOptions,
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
