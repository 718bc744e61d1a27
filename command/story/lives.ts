import { randomBytes } from 'node:crypto';
import type { PolicyId } from '../../client/start_operation.ts';
import { waitSynced } from '../../client/wait.ts';
import { sameValue } from '../../policy/difference.ts';
import type { PolicyFields, RecordInput } from '../../policy/record.ts';
import { APPROVED, DECLINED, INACTIVE, ISSUING } from '../../policy/state.ts';
import { wireTime } from '../../policy/time.ts';
import type { Stage } from './stage.ts';
import type { Received } from './wechatpay.ts';

/** A policy of the story, from its opening to what WeChat Pay must hold at its end. */
export interface Life {
  title: string;
  /** What it shows, once it has. */
  outcome: string;
  policy: PolicyId;
  /** Opens the policy and sends its messages; the rest is for due times and the loop. */
  live(): Promise<void>;
  opened: Promise<void>;
  isOpen(): boolean;
  /** What WeChat Pay does not hold or has not been told yet, without values; `undefined` when all is as expected. */
  lacking(): Promise<string | undefined>;
}

interface Script {
  title: string;
  outcome: string;
  /** What differs from the seed's example. */
  fields?: (now: number, pace: number) => PolicyFields;
  /** How it is kept; `upload` where the engine brings it to WeChat Pay, which otherwise has it already. */
  settings?: (pace: number) => Omit<RecordInput, 'mchid' | 'policy'>;
  act?: (stage: Stage, policy: PolicyId, revision: number) => Promise<unknown>;
  /** Amended last, once WeChat Pay has all before it: times of seconds are counted from then, however slow the machine is. */
  term?: (now: number, pace: number) => PolicyFields;
  expected: PolicyFields;
  /** What must have been sent, in order, beside the fields of the end. */
  sent?: { what: string; is: (change: Received) => boolean }[];
}

const SECOND = 1_000;
const DAY = 86_400 * SECOND;
const CODE = 'Coisihsiaxishishi4hihsid1ii411co';
const MOVED = '北京市海淀区中关村大街27号';

const approve = (stage: Stage, policy: PolicyId): Promise<{ revision: number }> =>
  stage.client.approve(policy, { policy_code: CODE });

const SCRIPTS: Script[] = [
  {
    title: 'approved',
    outcome: 'uploaded by the engine, then approved',
    settings: () => ({ upload: { appid: 'wx0000000000000000', openid: 'oDemo0000000000000000000000' } }),
    act: async (stage, policy, revision) => {
      await waitSynced(stage.client, policy, revision);
      await approve(stage, policy);
    },
    expected: { policy_state: APPROVED, policy_code: CODE },
    sent: [
      { what: 'an upload', is: ({ method }) => method === 'POST' },
      { what: 'a PATCH of the state', is: ({ method, body }) => method === 'PATCH' && body.policy_state === APPROVED },
    ],
  },
  {
    title: 'declined',
    outcome: 'the insurer did not take the risk',
    act: (stage, policy) => stage.client.decline(policy, { reason: 'the risk is too high' }),
    expected: { policy_state: DECLINED },
  },
  {
    title: 'amended',
    outcome: 'the insured moved house',
    act: async (stage, policy) => {
      await approve(stage, policy);
      await stage.client.amend(policy, { address: MOVED });
    },
    expected: { policy_state: APPROVED, address: MOVED },
  },
  {
    title: 'renewal',
    outcome: 'timers opened its renewal window, ended its cover and closed the window',
    settings: (pace) => ({ renewal: { opens_before: `${8 * pace}s`, closes_after: `${4 * pace}s` } }),
    act: approve,
    term: (now, pace) => ({ expired_time: wireTime(now + 12 * pace * SECOND) }),
    expected: { policy_state: INACTIVE, support_renewal: false },
    sent: [
      {
        what: 'a PATCH that opens the window',
        is: ({ body }) => body.support_renewal === true && Boolean(body.start_renewal_time && body.end_renewal_time),
      },
      { what: 'a PATCH that closes it', is: ({ body }) => body.support_renewal === false },
    ],
  },
  {
    title: 'cancelled',
    outcome: 'the user surrendered, by a signal',
    act: async (stage, policy) => {
      await approve(stage, policy);
      await stage.client.cancelBySignal(policy, { cause: 'SURRENDER', reason: 'asked for by the user' });
    },
    expected: { policy_state: INACTIVE },
  },
  {
    title: 'expired',
    outcome: 'a timer ended its cover',
    fields: (now, pace) => ({
      policy_state: APPROVED,
      support_renewal: false,
      expired_time: wireTime(now + 8 * pace * SECOND),
    }),
    expected: { policy_state: INACTIVE },
  },
  {
    title: 'healed',
    outcome: 'a change behind our back was found, and undone',
    fields: () => ({ policy_state: APPROVED }),
    settings: () => ({ verification: { every: '2s', on_drift: 'heal' } }),
    act: async (stage, policy, revision) => {
      await waitSynced(stage.client, policy, revision);
      await stage.wechatpay.change(policy.out_insurance_no, { address: MOVED });
    },
    expected: { policy_state: APPROVED },
    sent: [{ what: 'a PATCH of the address', is: ({ body }) => body.address !== undefined }],
  },
];

/**
 * The seven lives of the story, with numbers of their own in every run.
 * @param pace how many times longer than they need their timers take: 1 for a run that nobody watches. From 3 on, a
 *   window is open for longer than a call takes to be given up whose worker was killed, and so opens all the same.
 */
export function livesOf(stage: Stage, pace: number): Life[] {
  const run = `${Date.now().toString(36)}${randomBytes(2).toString('hex')}`;
  return SCRIPTS.map((script) => lifeOf(stage, script, pace, `${script.title}${run}`));
}

function lifeOf(stage: Stage, script: Script, pace: number, out_insurance_no: string): Life {
  const policy = { mchid: stage.mchid, out_insurance_no };
  let isOpen = false;
  let sayOpened = (): void => {};
  const opened = new Promise<void>((resolve) => {
    sayOpened = resolve;
  });
  let wanted: PolicyFields = script.expected;
  const live = async (): Promise<void> => {
    const fields = { ...seed(out_insurance_no, Date.now()), ...script.fields?.(Date.now(), pace) };
    const settings = script.settings?.(pace);
    wanted = { ...fields, ...script.expected };
    if (!settings?.upload) await stage.wechatpay.put(out_insurance_no, fields);
    const record = { mchid: stage.mchid, policy: fields, ...settings };
    const { revision } = await stage.client.openPolicy(record as RecordInput);
    isOpen = true;
    sayOpened();
    await script.act?.(stage, policy, revision);
    if (!script.term) return;
    await waitSynced(stage.client, policy, (await stage.client.status(policy)).revision);
    const term = script.term(Date.now(), pace);
    wanted = { ...wanted, ...term };
    await stage.client.amend(policy, term);
  };
  const lacking = async (): Promise<string | undefined> => {
    const held = await stage.wechatpay.policy(out_insurance_no);
    if (!held) return 'WeChat Pay has no such policy';
    const differing = Object.entries(wanted).filter(([field, value]) => !sameValue(field, value, held[field]));
    if (differing.length > 0)
      return `WeChat Pay does not hold what it should in ${differing.map(([f]) => f).join(', ')}`;
    return notSent(script, await stage.wechatpay.changesOf(out_insurance_no));
  };
  return { title: script.title, outcome: script.outcome, policy, live, opened, isOpen: () => isOpen, lacking };
}

function notSent({ sent = [] }: Script, changes: Received[]): string | undefined {
  let from = 0;
  for (const { what, is } of sent) {
    const at = changes.findIndex((change, index) => index >= from && is(change));
    if (at < 0) return `WeChat Pay was not sent ${what}`;
    from = at + 1;
  }
  return undefined;
}

/** The example of the contract, its times moved to now. */
function seed(out_insurance_no: string, now: number): PolicyFields {
  return {
    out_insurance_no,
    insurance_name: '微医保·百万医疗险',
    insured_name_list: ['张三'],
    insurance_company_code: 'DEMO',
    effective_time: wireTime(now - DAY),
    expired_time: wireTime(now + 365 * DAY),
    coverage_detail: '可保190种疾病,确诊一次性赔付',
    support_renewal: true,
    policy_type: 'POLICY_TYPE_OTHER',
    car_number: '粤B·AB123',
    pet_name: '小狗',
    address: '上海市浦东新区晨晖路1001号',
    policy_state: ISSUING,
    policy_code: CODE,
    plan_id: 12535,
    out_contract_code: 'wxwtdk20200910100000',
    policy_periods: [1],
    free_insurance: false,
  };
}
