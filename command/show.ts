import type { Command } from 'commander';
import { UnknownPolicy } from '../client/errors.ts';
import type { Execution } from '../client/pending_call.ts';
import type { PolicyId } from '../client/start_operation.ts';
import type { Kept } from '../storage/kept.ts';
import type { Status } from '../workflows/messages.ts';
import { messageOf } from './error_text.ts';
import { policyOf } from './merchant.ts';
import { type OfPolicy, ofPolicy } from './options.ts';
import { note, print } from './output.ts';
import { withClient } from './session.ts';
import { type Shown, textOfShown } from './show_text.ts';
import { withStorage } from './storage.ts';

interface Options extends OfPolicy {
  reveal?: boolean;
}

export function addShow(program: Command): void {
  ofPolicy(program.command('show <NO>').description('show all that is known of a policy, ended ones too'))
    .option('--reveal', 'show personal values')
    .action(async (number: string, options: Options) => {
      const policy = await policyOf(number, options.mchid);
      const shown = await gathered(policy, options);
      print(options.json, shown, () => textOfShown(shown));
    });
}

/** Each source may fail by itself: what the others know is shown, with a line about the one that failed. */
async function gathered(policy: PolicyId, options: Options): Promise<Shown> {
  const [{ workflow, status, idle }, [kept]] = await Promise.all([
    inTemporal(policy, options),
    Promise.allSettled([inMongo(policy, options)]),
  ]);
  if (workflow.status === 'rejected' && !known(kept)) {
    const isUnknown = workflow.reason instanceof UnknownPolicy;
    // An ended policy may be known to MongoDB alone, and that one has told nothing.
    if (kept.status === 'rejected') {
      note(messageOf(isUnknown ? workflow.reason : kept.reason));
      throw isUnknown ? kept.reason : workflow.reason;
    }
    if (isUnknown && !process.env.MONGODB_URI) note('MongoDB was not asked: MONGODB_URI is not set');
    throw workflow.reason;
  }
  const failures = [workflow, status, kept].flatMap((part) => (part.status === 'rejected' ? [part.reason] : []));
  // Ended long ago: Temporal has forgotten it, MongoDB has not. That is no failure.
  const told = failures.filter((reason) => !(reason instanceof UnknownPolicy)).map(messageOf);
  for (const message of new Set(told)) note(message);
  if (idle !== undefined && !told.some((message) => message.includes(idle))) note(idle);
  return { ...policy, status: known(status), workflow: known(workflow), kept: known(kept) };
}

/** `undefined` where `MONGODB_URI` is not set or the policy is not there. */
function inMongo(policy: PolicyId, { reveal }: Options): Promise<Kept | undefined> {
  return withStorage(async (storage) => {
    const { keptOf } = await import('../storage/kept.ts');
    return keptOf(storage, policy, reveal);
  });
}

interface InTemporal {
  workflow: PromiseSettledResult<Execution>;
  status: PromiseSettledResult<Status>;
  /** Why no policy moves, where that is so. */
  idle?: string;
}

async function inTemporal(policy: PolicyId, options: Options): Promise<InTemporal> {
  try {
    return await withClient(options, async (client) => {
      const { describePolicy } = await import('../client/pending_call.ts');
      const [workflow, status, idle] = await Promise.allSettled([
        describePolicy(client, policy),
        client.status(policy),
        client.standstill(),
      ]);
      return { workflow, status, ...(idle.status === 'fulfilled' && { idle: idle.value }) };
    });
  } catch (reason) {
    const failed = { status: 'rejected', reason } as const;
    return { workflow: failed, status: failed };
  }
}

function known<T>(result: PromiseSettledResult<T | undefined>): T | null {
  return result.status === 'fulfilled' ? (result.value ?? null) : null;
}
