import { type Command, Option } from 'commander';
import type { PolicyClient } from '../client/policy_client.ts';
import type { PolicyId } from '../client/start_operation.ts';
import type { CommandInput, Envelope } from '../policy/commands.ts';
import { CAUSES } from '../policy/state.ts';
import { shownValue } from '../storage/masked.ts';
import type { Answer } from '../workflows/messages.ts';
import { amendmentOf } from './amendment.ts';
import { endWith } from './exit_code.ts';
import { policyOf } from './merchant.ts';
import { type OfPolicy, ofPolicy, wholeNumber, wholeNumbers } from './options.ts';
import { print, tableOf, valueText } from './output.ts';
import { withClient } from './session.ts';
import { UsageError } from './usage.ts';
import { answerLine, waited } from './waited.ts';

/** Options of every message. */
export interface MessageOptions extends OfPolicy {
  eventId?: string;
  eventVersion?: number;
  by?: string;
  wait?: boolean;
}

export function addEnvelope(command: Command): Command {
  return command
    .option('--event-id <id>', 'id of the event in your system: sent twice, it is done once')
    .option(
      '--event-version <n>',
      'version of the policy in your system: with one not above the last accepted, nothing changes',
      wholeNumber,
    )
    .option('--by <who>', 'who asked for it, for the history of commands')
    .option('--wait', 'wait until WeChat Pay holds it, for 60s or what --timeout says');
}

export function envelopeOf({ eventId, eventVersion, by }: MessageOptions): Envelope {
  return {
    ...(eventId !== undefined && { event_id: eventId }),
    ...(eventVersion !== undefined && { version: eventVersion }),
    ...(by !== undefined && { by }),
  };
}

/** The command line of a message; its options and action are added by the caller. */
export function messageCommand(program: Command, words: string, description: string): Command {
  return addEnvelope(ofPolicy(program.command(words).description(description)));
}

/** Sends, waits where asked to, and prints the answer. */
export async function send(
  number: string,
  options: MessageOptions,
  message: (client: PolicyClient, policy: PolicyId, envelope: Envelope) => Promise<Answer>,
): Promise<void> {
  const policy = await policyOf(number, options.mchid);
  await withClient(options, async (client) => {
    const answer = await message(client, policy, envelopeOf(options));
    const status = await waited(client, policy, answer.revision, options);
    print(options.json, { ...policy, ...answer, status }, () => answerLine(policy, answer, status));
  });
}

export function addMessages(program: Command): void {
  for (const add of [addApprove, addDecline, addCancel, addWithdraw, addAmend, addRenew, addReinstate]) add(program);
  addVerify(program);
  messageCommand(
    program,
    'accept <NO>',
    "take WeChat Pay's record for ours (DIVERGED), or give up what it refused (BLOCKED)",
  ).action((number: string, options: MessageOptions) => send(number, options, (client, ...to) => client.accept(...to)));
}

type Flags<Name extends string> = MessageOptions & { [Key in Name]?: string };

function addApprove(program: Command): void {
  messageCommand(program, 'approve <NO>', 'the insurer has taken the risk: ISSUING → APPROVED')
    .requiredOption('--policy-code <code>', "the insurer's policy number")
    .option('--effective-time <time>', 'when cover begins, RFC 3339 (default: as it is)')
    .option('--expired-time <time>', 'when cover ends, RFC 3339 (default: as it is)')
    .option('--policy-periods <ids>', 'ids of deduction periods, such as 1,2', wholeNumbers)
    .action(
      (
        number: string,
        options: Flags<'policyCode' | 'effectiveTime' | 'expiredTime'> & { policyPeriods?: number[] },
      ) => {
        const fields = {
          policy_code: options.policyCode ?? '',
          effective_time: options.effectiveTime,
          expired_time: options.expiredTime,
          policy_periods: options.policyPeriods,
        };
        return send(number, options, (client, policy, envelope) => client.approve(policy, { ...envelope, ...fields }));
      },
    );
}

function addDecline(program: Command): void {
  messageCommand(program, 'decline <NO>', 'the insurer does not take the risk: ISSUING → DECLINED, for good')
    .requiredOption('--reason <text>', 'why')
    .action((number: string, options: Flags<'reason'>) => {
      const { reason = '' } = options;
      return send(number, options, (client, policy, envelope) => client.decline(policy, { ...envelope, reason }));
    });
}

function addCancel(program: Command): void {
  messageCommand(program, 'cancel <NO>', 'the user surrenders, now or at a time to come: → INACTIVE')
    .addOption(new Option('--cause <cause>', 'why it ends (default: SURRENDER)').choices(CAUSES))
    .option('--reason <text>', 'in words')
    .option('--at <time>', 'when, RFC 3339; a time past is kept as the business date')
    .option('--policy-code <code>', "the insurer's policy number, where the policy has none yet")
    .option('--signal', 'send it as a signal: taken also while no worker runs, without an answer')
    .action((number: string, options: Flags<'cause' | 'reason' | 'at' | 'policyCode'> & { signal?: boolean }) => {
      const { cause, reason, at, policyCode: policy_code } = options;
      const fields = { cause: cause as CommandInput<'cancel'>['cause'], reason, at, policy_code };
      if (options.signal) return signal(number, options, fields);
      return send(number, options, (client, policy, envelope) => client.cancel(policy, { ...envelope, ...fields }));
    });
}

async function signal(number: string, options: MessageOptions, fields: CommandInput<'cancel'>): Promise<void> {
  if (options.wait) throw new UsageError('--wait does not go with --signal: a signal has no answer to wait for');
  const policy = await policyOf(number, options.mchid);
  await withClient(options, async (client) => {
    const event_id = await client.cancelBySignal(policy, { ...envelopeOf(options), ...fields });
    print(options.json, { ...policy, event_id }, () => `${policy.mchid}/${policy.out_insurance_no}: signal sent`);
  });
}

function addWithdraw(program: Command): void {
  messageCommand(program, 'withdraw <NO>', 'take back a cancellation whose time has not come').action(
    (number: string, options: MessageOptions) => send(number, options, (client, ...to) => client.withdraw(...to)),
  );
}

function addAmend(program: Command): void {
  messageCommand(
    program,
    'amend <NO> [FIELD=VALUE...]',
    'change fields: any but number and state; FIELD=null takes one back that WeChat Pay does not hold',
  )
    .option('--json-file <file>', 'fields as a JSON object (- for standard input): keeps them out of the process list')
    .action(async (number: string, words: string[], options: Flags<'jsonFile'>) => {
      const fields = await amendmentOf(words, options.jsonFile);
      await send(number, options, (client, policy, envelope) => client.amend(policy, { ...fields, ...envelope }));
    });
}

function addRenew(program: Command): void {
  messageCommand(program, 'renew <NO>', 'a new term of the policy, or another policy that continues it')
    .option('--expired-time <time>', 'end of the new term, RFC 3339; this or --as is required')
    .option('--effective-time <time>', 'its beginning, RFC 3339 (default: as it is)')
    .option('--policy-code <code>', "the insurer's policy number (default: as it is)")
    .option('--opens-before <duration>', "renewal window: how long before the end it opens (default: the record's)")
    .option('--closes-after <duration>', "renewal window: how long after the end it closes (default: the record's)")
    .option('--start-renewal-time <time>', 'renewal window: when it opens, RFC 3339')
    .option('--end-renewal-time <time>', 'renewal window: when it closes, RFC 3339')
    .option('--as <NO>', 'number of the policy that continues this one; goes with no other field')
    .action((number: string, options: RenewOptions) => {
      const fields = renewalOf(options);
      return send(number, options, (client, policy, envelope) => client.renew(policy, { ...envelope, ...fields }));
    });
}

type RenewOptions = Flags<
  | 'expiredTime'
  | 'effectiveTime'
  | 'policyCode'
  | 'opensBefore'
  | 'closesAfter'
  | 'startRenewalTime'
  | 'endRenewalTime'
  | 'as'
>;

function renewalOf(options: RenewOptions): CommandInput<'renew'> {
  const { as, expiredTime, effectiveTime, policyCode, opensBefore, closesAfter } = options;
  const window = {
    opens_before: opensBefore,
    closes_after: closesAfter,
    start_renewal_time: options.startRenewalTime,
    end_renewal_time: options.endRenewalTime,
  };
  const hasWindow = Object.values(window).some((value) => value !== undefined);
  if (as !== undefined && (expiredTime || effectiveTime || policyCode || hasWindow))
    throw new UsageError('renew: --as goes with no other field');
  if (as !== undefined) return { as };
  if (expiredTime === undefined) throw new UsageError('renew: give --expired-time, or --as NO');
  return {
    expired_time: expiredTime,
    effective_time: effectiveTime,
    policy_code: policyCode,
    ...(hasWindow && { window }),
  };
}

function addReinstate(program: Command): void {
  messageCommand(program, 'reinstate <NO>', 'INACTIVE → APPROVED; one that has ended begins a new run')
    .requiredOption('--reason <text>', 'why')
    .option('--expired-time <time>', 'new end of cover, RFC 3339 (default: as it is)')
    .action((number: string, options: Flags<'reason' | 'expiredTime'>) => {
      const fields = { reason: options.reason ?? '', expired_time: options.expiredTime };
      return send(number, options, (client, policy, envelope) => client.reinstate(policy, { ...envelope, ...fields }));
    });
}

function addVerify(program: Command): void {
  ofPolicy(
    program.command('verify <NO>').description('ask WeChat Pay now, and show what differs; exit 4 when something does'),
    '65s',
  )
    .option('--event-id <id>', 'id of the event in your system')
    .option('--reveal', 'show personal values')
    .action(async (number: string, options: MessageOptions & { reveal?: boolean }) => {
      const policy = await policyOf(number, options.mchid);
      await withClient(options, async (client) => {
        const verified = await client.verify(policy, envelopeOf(options));
        const differences = verified.differences.map(({ field, ours, theirs }) => ({
          field,
          ours: shownValue(field, ours, options.reveal),
          theirs: shownValue(field, theirs, options.reveal),
        }));
        print(options.json, { ...policy, ...verified, differences }, () => {
          if (differences.length === 0) return `${policy.mchid}/${policy.out_insurance_no}: nothing differs`;
          const rows = differences.map((one) => [one.field, valueText(one.ours), valueText(one.theirs)]);
          return tableOf(['FIELD', 'OURS', 'WECHAT PAY'], rows);
        });
        if (differences.length > 0) endWith(4);
      });
    });
}
