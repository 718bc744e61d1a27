import { exitCodeOf } from '../../../command/exit_code.ts';
import { BLOCKS } from '../../../policy/blocks.ts';
import { RULES } from '../../../policy/rules.ts';
import type { Reason } from '../../../wechatpay/errors.ts';
import { code, table } from './markdown.ts';

type Row = readonly [when: string, todo: string];

/** Errors that a command or a caller of the library may meet. */
const ERRORS: Record<string, Row> = {
  PolicyRefused: [
    'a rule forbids it, and nothing was changed; `rule` and `violations` say which',
    'see the rules below',
  ],
  UnknownPolicy: ['Temporal knows no policy of that number', 'open it; `show` asks MongoDB too'],
  PolicyEnded: [
    'its workflow has ended; `ending` says how',
    '`reinstate` one that is INACTIVE, `resume` one that was stopped',
  ],
  Unavailable: [
    'nobody answered in time: no worker, or WeChat Pay is slow; or the workflow is paused in Temporal',
    'start a worker, or unpause it; send the same again with the same `event_id`, for it may have taken effect',
  ],
  NotBegun: ['the workflow has just been started', 'ask again'],
  ServerUnreachable: ['no connection to the Temporal server', 'start it, or set `TEMPORAL_ADDRESS`'],
  ServerRefused: ['the Temporal server refuses: permission, namespace, search attributes', 'do what the message says'],
  NotSynced: [
    'with `--wait`: accepted, but WeChat Pay does not hold it; `reason` is TIMEOUT, BLOCKED, DIVERGED, HELD, OBSERVED or STOPPED',
    'TIMEOUT: nothing, it goes on; else see `show`',
  ],
  InvalidSetting: ['a setting is missing or wrong', 'set it as the message says'],
  StorageUnavailable: ['MongoDB does not answer', 'check that it runs, and `MONGODB_URI`'],
  StorageRefused: ['MongoDB refuses: permission, a full disk', 'see its code'],
  StorageUnreadable: ['what is stored of a policy does not open', 'put the payload key back that it names'],
  InvalidUri: ['`MONGODB_URI` is none', 'write it like `mongodb://host:port/database`'],
  InvalidKeys: ['`POLICY_SYNC_KEYS` is wrong', 'write it like `id:base64-of-32-bytes`'],
  UnknownKey: ['a sealed value names a payload key that is not there', 'add the key behind the first'],
  SealBroken: ['a sealed value was changed, or sealed by another key of the same id', 'find out by whom; restore it'],
  UsageError: ['the command was used wrongly', 'see `--help`'],
  KeysFolderError: ['the folder of the sandbox cannot be made or read', 'name another folder'],
  OtherNamespace: [
    'the records in MongoDB are kept by another Temporal namespace than the one that is audited',
    'set `TEMPORAL_NAMESPACE`; to move policies, `audit --fix --adopt-namespace`',
  ],
  ErasureRefused: [
    'a policy is not to be erased: it has no record, is in force, has changes on their way, or is kept by another namespace',
    'cancel it and wait, or `erase --force`: see [Personal data](../privacy.md#erasure)',
  ],
  ErasureUnfinished: [
    'Temporal has not deleted all runs of an erased policy in time; MongoDB is done',
    'run the same again',
  ],
  SettingsError: ['a worker cannot start with its settings; a line for each', 'set them as the lines say'],
  MerchantsFileError: [
    'the merchants file as a whole cannot be used',
    'correct it; a worker that runs goes on with what was',
  ],
};

/** Errors of the signed client by itself (`wechatpay/`): a worker turns them into outcomes of calls. */
const WECHATPAY_ERRORS: Record<string, Row> = {
  NoEffectError: [
    'the call changed nothing: throttled, no connection, aborted',
    'the same again, signed anew, after `retry_after_ms`',
  ],
  UnknownOutcomeError: [
    'it may have taken effect: no answer, or one that proves nothing',
    'query the policy before anything else',
  ],
  RefusedError: ['WeChat Pay refused it, and signed that it did', 'change what it refused'],
  MerchantFaultError: [
    'keys, permission or clock of the merchant are at fault',
    'set them right: every call fails alike',
  ],
};

const REASONS: Record<Reason, string> = {
  throttled: '429, or 403 FREQUENCY_LIMIT_EXCEED.',
  'not-connected': 'No connection: refused, or no such host.',
  aborted: 'Taken back before it began.',
  'time-out': 'No answer in time.',
  'no-answer': 'The connection was cut.',
  'too-large': 'An answer larger than any policy.',
  redirect: 'A redirect: none is followed.',
  'server-error': '5xx.',
  'unexpected-status': 'A status that says nothing.',
  unsigned: 'An answer without a signature.',
  'unknown-serial': 'Signed by a key that the settings do not have.',
  'wrong-signature': 'The signature does not fit the answer.',
  stale: 'Signed more than five minutes ago, or later than now.',
  'not-a-policy': 'An answer that is no policy.',
  'other-policy': 'An answer about another policy.',
  refused: 'A signed refusal.',
  'not-found': 'WeChat Pay knows no such policy.',
  'name-too-long': 'A name that RSA cannot seal.',
  'signature-refused': '401: WeChat Pay does not take the signature.',
  'no-permission': '403 NO_AUTH.',
  'unusable-settings': "The merchant's keys cannot be used.",
};

const MARKS: Record<string, Row> = {
  'issuing-overdue': ['ISSUING for longer than `issuing_alert_after`', '`approve` or `decline`'],
  'issuing-past-expiry': ['ISSUING when cover ended', '`decline` or `cancel`'],
  'refused-signal:RULE': [
    'a signal that this rule forbids, and that was ignored',
    'send what was meant; `resume` takes the mark off',
  ],
  reset: [
    "Temporal's reset brought back an earlier state of the workflow, which MongoDB has later numbers of",
    'look at what is DIVERGED, then `accept` or `resume`; `resume` takes the mark off, of many at once `resume --all --mark reset`',
  ],
  'contested:FIELD': [
    'the field drifted three times in seven days, and is not pushed again',
    'find out who changes it; then `accept` or `resume`',
  ],
  'unreadable:FIELD': [
    "the field of WeChat Pay's answer is sealed for a key that is not in the merchants file",
    'put the merchant key back',
  ],
};

const HEAD = ['when', 'what to do'] as const;

function rows(name: string, of: Readonly<Record<string, Row>>): string {
  return table(
    [name, ...HEAD],
    Object.entries(of).map(([key, row]) => [code(key), ...row]),
  );
}

export const rules = (): string => rows('rule', RULES);
export const blocks = (): string => rows('code', BLOCKS);
export const marks = (): string => rows('mark', MARKS);

export function errors(): string {
  const exit = (name: string): string =>
    name === 'UsageError' ? '2' : String(exitCodeOf(Object.assign(new Error(), { name })));
  const of = Object.entries(ERRORS).map(([name, row]) => [code(name), ...row, exit(name)]);
  return table(['error', ...HEAD, 'exit code'], of);
}

export function wechatpayErrors(): string {
  const reasons = Object.entries(REASONS).map(([reason, says]) => [code(reason), says]);
  return `${rows('error', WECHATPAY_ERRORS)}\n\n${table(['reason', ''], reasons)}`;
}
