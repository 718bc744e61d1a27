import { PolicyEnded, PolicyRefused, UnknownPolicy } from '../../client/errors.ts';
import { describePolicy } from '../../client/pending_call.ts';
import type { PolicyClient } from '../../client/policy_client.ts';
import type { PolicyId } from '../../client/start_operation.ts';
import type { Envelope } from '../../policy/commands.ts';
import type { RecordInput } from '../../policy/record.ts';
import { standstillOf } from '../../policy/standstill.ts';
import { eachAtOnce } from '../at_once.ts';
import { messageOf } from '../error_text.ts';
import { aboutOf } from './check.ts';
import { type Fault, withoutValues } from './fault.ts';
import { Patience } from './patience.ts';
import type { Good } from './records.ts';
import type { Reported } from './report.ts';

export interface Opening {
  envelope: Envelope;
  atOnce: number;
  /** In ms: how long Temporal may be out of reach. */
  keepTrying: number;
  /** Nothing more is opened once it is aborted; where that was done here, its reason is the error that ends all. */
  stop: AbortController;
  /** Told of each record that is done with. */
  opened(how: 'opened' | 'already_open'): void;
  failed(what: Reported, error: unknown): void;
  /** A line for people. */
  note(text: string): void;
}

/** Opens the policies of records that were checked. */
export async function openAll(client: PolicyClient, records: AsyncIterable<Good>, opening: Opening): Promise<void> {
  const { stop, note, keepTrying: limit, atOnce } = opening;
  const patience = new Patience({ limit, stop, waits: (error) => note(`${messageOf(error)}; trying again`) });
  const told = new Set<string>();
  await eachAtOnce(records, atOnce, async ({ line, record }) => {
    try {
      const { how, warnings } = await openOne(client, record, opening.envelope, patience);
      for (const warning of warnings.filter((one) => !told.has(one))) note(`warning: ${warning}`);
      for (const warning of warnings) told.add(warning);
      opening.opened(how);
    } catch (error) {
      if (isOfAll(error)) stop.abort(error);
      // Whatever hinders all of them is no fault of this one: it is left for the next run.
      if (stop.signal.aborted) return;
      opening.failed({ line, ...aboutOf(record), ...faultOf(error) }, error);
    }
  });
}

/** Settings and permissions are the same for each policy. */
function isOfAll(error: unknown): boolean {
  return error instanceof Error && ['InvalidSetting', 'ServerRefused'].includes(error.name);
}

function faultOf(error: unknown): Fault {
  const rule = error instanceof PolicyRefused ? error.rule : error instanceof PolicyEnded ? 'ended' : nameOf(error);
  return { rule, message: withoutValues(messageOf(error)) };
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'Error';
}

interface Done {
  how: 'opened' | 'already_open';
  warnings: readonly string[];
}

/** The answer of `open` is the same each time: what was there before is asked first. */
async function openOne(
  client: PolicyClient,
  record: RecordInput,
  envelope: Envelope,
  patience: Patience,
): Promise<Done> {
  const policy = { mchid: record.mchid, out_insurance_no: record.policy.out_insurance_no };
  const before = await patience.ask(() => statusOf(client, policy));
  const { warnings } = await patience.ask(() => client.openPolicy(record, envelope));
  if (before === undefined) return { how: 'opened', warnings };
  if (isLiving(before)) return { how: 'already_open', warnings };
  // A life that is over has the answer of its `open` still; a run that had claimed nothing made room for this one.
  const now = await patience.ask(() => statusOf(client, policy));
  if (isLiving(now)) return { how: 'opened', warnings };
  throw new PolicyEnded(
    `${policy.mchid}/${policy.out_insurance_no} has ended: ${standstillOf(before)?.reason ?? 'its life is over'}`,
  );
}

function isLiving(status: string | undefined): boolean {
  return status === 'RUNNING' || status === 'PAUSED';
}

/** Of the policy's workflow; undefined where Temporal knows none. */
async function statusOf(client: PolicyClient, policy: PolicyId): Promise<string | undefined> {
  try {
    return (await describePolicy(client, policy)).status;
  } catch (error) {
    if (error instanceof UnknownPolicy) return undefined;
    throw error;
  }
}
