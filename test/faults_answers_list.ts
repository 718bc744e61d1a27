// How an answer of WeChat Pay's goes wrong.

import { APPROVED } from '../policy/state.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import { CODE, elsewhere, inSeconds, STRANGER } from './faults_answers_world.ts';
import type { Terms } from './faults_fixture.ts';

export type Action = FaultRule['do'];
export type Given = (number: string) => Action;

export interface Fault {
  name: string;
  /** What happens to a call that has no effect; to one that takes effect first; absent where there is no such. */
  without?: Action | Given;
  with?: Action | Given;
  /** How many calls in a row. @default 1 */
  times?: number;
  /** The call certainly had no effect, so it is made again without asking. */
  harmless?: boolean;
  /** What `calls` says of it. */
  code: string;
  terms?: Terms;
  /** How many calls it takes hangs on the machine's speed. */
  open?: boolean;
}

const answered = (status: number, code: string, more = {}): Pick<Fault, 'without' | 'with'> => ({
  without: { status, code, ...more },
  with: { status, code, ...more, effect: true },
});
const raw = (status: number, body: string, more = {}): Pick<Fault, 'without' | 'with'> => ({
  without: { status, body, ...more },
  with: { status, body, ...more, effect: true },
});
const throttled = { code: 'FREQUENCY_LIMITED', harmless: true } as const;
export const limited = { status: 429, code: 'FREQUENCY_LIMITED' };
const EXCEEDED = 'FREQUENCY_LIMIT_EXCEED';
const html = { headers: { 'Content-Type': 'text/html' } };

export const FAULTS: Fault[] = [
  { name: 'several 500s', ...answered(500, 'SYSTEM_ERROR'), times: 3, code: 'SYSTEM_ERROR' },
  { name: 'a 502 with HTML', ...raw(502, '<html>502 Bad Gateway</html>', html), code: 'server-error' },
  { name: 'a 429 with Retry-After in seconds', without: { ...limited, retry_after: 2 }, ...throttled },
  {
    name: 'a 429 with Retry-After as a date',
    without: () => ({ ...limited, retry_after: inSeconds(3) }),
    ...throttled,
  },
  { name: 'a 429 without Retry-After', without: limited, times: 2, ...throttled },
  {
    name: 'a time-out',
    without: { delay_ms: 2500, drop: 'before' },
    code: 'time-out',
    terms: { timeout: 1000 },
    open: true,
  },
  { name: 'a cut connection', without: { drop: 'before' }, with: { drop: 'after' }, code: 'no-answer' },
  { name: 'a truncated body', with: { truncate: true }, code: 'no-answer' },
  { name: 'invalid JSON, signed', ...raw(200, '{"out_insurance_no": ', { signed: true }), code: 'not-a-policy' },
  {
    name: 'a 202, signed',
    without: (number) => ({ ...lie(number), status: 202, signed: true }),
    with: (number) => ({ ...lie(number), status: 202, signed: true, effect: true }),
    code: 'unexpected-status',
  },
  {
    name: 'a 200 that carries the number alone, signed',
    without: nothing,
    with: (number) => ({ ...nothing(number), effect: true }),
    code: 'not-a-policy',
  },
  { name: 'a 403 FREQUENCY_LIMIT_EXCEED', without: { status: 403, code: EXCEEDED }, ...throttled, code: EXCEEDED },
  {
    name: 'a huge body',
    ...raw(200, `{"address": "${'x'.repeat(100_000)}"}`, { signed: true }),
    code: 'too-large',
    terms: { answerLimit: 65_536 },
  },
  {
    name: 'a redirect',
    without: () => ({ redirect: elsewhere() }),
    with: () => ({ redirect: elsewhere(), effect: true }),
    code: 'redirect',
  },
  { name: 'a wrong signature', with: { forge: 'signature' }, code: 'wrong-signature' },
  { name: 'an unsigned answer', without: lie, with: { forge: 'unsigned' }, code: 'unsigned' },
  { name: 'an unsigned 400', ...answered(400, 'PARAM_ERROR', { unsigned: true }), code: 'PARAM_ERROR' },
  { name: 'an unsigned 403', ...answered(403, 'NO_AUTH', { unsigned: true }), code: 'NO_AUTH' },
  { name: 'an unsigned 404', ...answered(404, 'NOT_FOUND', { unsigned: true }), code: 'NOT_FOUND' },
  {
    name: 'a signed error whose signature is wrong',
    ...answered(400, 'X', { forge: 'signature' }),
    code: 'wrong-signature',
  },
  { name: 'an unknown serial', with: { forge: 'serial' }, code: 'unknown-serial' },
  { name: 'a SIGNTEST', with: { forge: 'signtest' }, code: 'wrong-signature' },
  { name: 'a stale time stamp', with: { forge: 'timestamp' }, code: 'stale' },
  { name: 'the answer of another policy', with: { answer_of: STRANGER }, code: 'other-policy' },
];

/** Says that everything was taken, which it was not. */
function lie(number: string) {
  const policy = { out_insurance_no: number, policy_state: APPROVED, policy_code: CODE };
  return { status: 200, body: JSON.stringify(policy) };
}

/** Says nothing of what was taken. */
function nothing(number: string) {
  return { status: 200, body: JSON.stringify({ out_insurance_no: number }), signed: true } as const;
}
