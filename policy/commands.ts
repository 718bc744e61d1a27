import { z } from 'zod';
import { differences, isEmpty, sameWish } from './difference.ts';
import { durationSchema, ms } from './duration.ts';
import { TIME_FIELDS, UPLOAD_ONLY } from './fields.ts';
import {
  CAUSES,
  type Cause,
  cancelled,
  closedWindow,
  dueTimes,
  expiryOf,
  heldPolicy,
  type Life,
  plannedWindow,
  unmarked,
  type Window,
  withPolicy,
} from './life.ts';
import {
  extraFieldsSchema,
  LIFETIME,
  noSuchField,
  only,
  type Policy,
  type PolicyFields,
  type PolicyRecord,
  policyFieldsSchema,
  policySchema,
  unknownNames,
  uploadSchema,
  WINDOW_LIMIT,
  withoutNulls,
} from './record.ts';
import type { RuleName } from './rules.ts';
import { APPROVED, DECLINED, INACTIVE, ISSUING, type PolicyState, shortState } from './state.ts';
import { atMost, checked, notEmpty, visible } from './text.ts';
import { instantOf, timeFault, toWireTime, wireTime } from './time.ts';
import { parse, refuse } from './violation.ts';
import { described, ENVELOPE_WORDS } from './words.ts';

/** What every message may carry. */
const envelope = described(
  {
    event_id: checked(notEmpty, atMost(200)).optional(),
    version: z.number().int().nonnegative().optional(),
    by: checked(atMost(200)).optional(),
  },
  ENVELOPE_WORDS,
);

const rfc3339 = z
  .string()
  .superRefine((value, context) => {
    const message = timeFault(value);
    if (message !== undefined)
      context.addIssue({ code: 'custom', params: { rule: 'time' satisfies RuleName }, message });
  })
  .meta({ format: 'date-time' });

const reason = checked(notEmpty, visible, atMost(500));

export const approveSchema = only({
  ...envelope,
  policy_code: checked(notEmpty, visible),
  effective_time: rfc3339.optional(),
  expired_time: rfc3339.optional(),
  policy_periods: z.array(z.number().int()).optional(),
});
export const declineSchema = only({ ...envelope, reason });
export const cancelSchema = only({
  ...envelope,
  cause: z.enum(CAUSES).default('SURRENDER'),
  reason: reason.optional(),
  at: rfc3339.optional(),
  policy_code: checked(notEmpty, visible).optional(),
});
export const withdrawSchema = only({ ...envelope });
export const amendSchema = z.looseObject({
  ...envelope,
  extra_fields: extraFieldsSchema.optional(),
  upload: z.looseObject({}).optional(),
});
const termWindowSchema = only({
  opens_before: durationSchema('1s', WINDOW_LIMIT).optional(),
  closes_after: durationSchema('0s', WINDOW_LIMIT).optional(),
  start_renewal_time: rfc3339.optional(),
  end_renewal_time: rfc3339.optional(),
});
export const renewSchema = z.union([
  only({ ...envelope, as: z.string().regex(/^[0-9A-Za-z]{1,32}$/, { error: 'expected 1 to 32 letters and digits' }) }),
  only({
    ...envelope,
    expired_time: rfc3339,
    effective_time: rfc3339.optional(),
    policy_code: checked(notEmpty, visible).optional(),
    window: termWindowSchema.optional(),
  }),
]);
export const reinstateSchema = only({ ...envelope, expired_time: rfc3339.optional(), reason });
/** Messages that change nothing in the record of themselves: `verify`, `accept`, `resume`. */
export const bareSchema = only({ ...envelope });
/** What comes with the start of a policy: the record itself is the workflow's argument. */
export const openSchema = only({ ...envelope, digest: checked(notEmpty, atMost(200)) });

export const COMMAND_SCHEMAS = {
  approve: approveSchema,
  decline: declineSchema,
  cancel: cancelSchema,
  withdraw: withdrawSchema,
  amend: amendSchema,
  renew: renewSchema,
  reinstate: reinstateSchema,
} as const;

export type CommandName = keyof typeof COMMAND_SCHEMAS;
export type CommandInput<Name extends CommandName> = z.input<(typeof COMMAND_SCHEMAS)[Name]>;
export interface Envelope {
  event_id?: string;
  version?: number;
  by?: string;
}

type Parsed<Name extends CommandName> = z.output<(typeof COMMAND_SCHEMAS)[Name]>;
/** Whether WeChat Pay holds a value of the field, or may. */
type MayHold = (field: string) => boolean;
/** The life after a command; the very same object where the command finds everything already so. */
type Rule<Name extends CommandName> = (life: Life, command: Parsed<Name>, now: number, there: MayHold) => Life;

/** Refuses a command that the state does not allow, in words that say which states do. */
function allowed(life: Life, command: CommandName, ...states: PolicyState[]): void {
  const state = life.record.policy.policy_state;
  if (states.includes(state)) return;
  const those = states.map(shortState).join(' or ');
  refuse('illegal-transition', `${command}: expected a policy that is ${those}, found ${shortState(state)}`);
}

/** The life with fields changed, the whole policy checked again; the same object when they change nothing. */
function changed(life: Life, fields: PolicyFields): Life {
  const policy = life.record.policy;
  if (isSo(policy, fields)) return life;
  return withPolicy(life, parse(policySchema, { ...policy, ...defined(fields) }));
}

/** Whether the policy has every field that is given already. */
function isSo(policy: Policy, fields: PolicyFields): boolean {
  return Object.entries(defined(fields)).every(([field, value]) => sameWish(field, value, policy[field]));
}

const approve: Rule<'approve'> = (life, { event_id: _e, version: _v, by: _b, ...fields }) => {
  if (life.record.policy.policy_state === APPROVED && changed(life, fields) === life) return life;
  allowed(life, 'approve', ISSUING);
  const approved = changed(life, { ...fields, policy_state: APPROVED });
  return unmarked(replanned(life, approved), 'issuing-overdue', 'issuing-past-expiry');
};

const decline: Rule<'decline'> = (life) => {
  if (life.record.policy.policy_state === DECLINED) return life;
  allowed(life, 'decline', ISSUING);
  const { cancellation: _dropped, ...rest } = changed(life, { policy_state: DECLINED });
  return unmarked({ ...rest, window: closedWindow(life) }, 'issuing-overdue', 'issuing-past-expiry');
};

const cancel: Rule<'cancel'> = (life, { cause, at, policy_code }, now) => {
  const coded = changed(life, { policy_code });
  if (life.record.policy.policy_state === INACTIVE) return cancelledAfterEnd(coded, cause);
  allowed(life, 'cancel', ISSUING, APPROVED);
  if (!coded.record.policy.policy_code)
    refuse('policy-code', 'cancel: expected policy_code: WeChat Pay takes INACTIVE only with one', 'policy_code');
  const when = at === undefined ? now : (instantOf(at) ?? now);
  if (when <= now) return unmarked(cancelled(coded, cause, now, at), 'issuing-overdue', 'issuing-past-expiry');
  if (life.cancellation?.at === when && life.cancellation.cause === cause) return coded;
  return { ...coded, cancellation: { cause, at: when } };
};

/** Nobody renews what was surrendered: a window that outlasts the end of cover closes, and the end is no expiry any more. */
function cancelledAfterEnd(life: Life, cause: Cause): Life {
  const window = closedWindow(life);
  const { inactive } = life;
  if (window === life.window && inactive?.cause !== 'EXPIRY') return life;
  return { ...life, window, ...(inactive && { inactive: { ...inactive, cause } }) };
}

const withdraw: Rule<'withdraw'> = (life) => {
  const { cancellation, ...rest } = life;
  if (cancellation) return rest;
  if (life.record.policy.policy_state === INACTIVE)
    refuse('illegal-transition', 'withdraw: the policy is INACTIVE already; reinstate it');
  return life;
};

const AMEND_NEVER: Readonly<Record<string, string>> = {
  out_insurance_no: 'it names the policy',
  policy_state: 'states have commands of their own',
};

const amend: Rule<'amend'> = (
  life,
  { event_id: _e, version: _v, by: _b, extra_fields: added, ...given },
  _now,
  there,
) => {
  const extended = extendedBy(life, added);
  knownOnly(extended, given);
  const [upload, fields] = uploadAmended(extended, given, there);
  for (const [field, value] of Object.entries(fields)) {
    if (Object.hasOwn(AMEND_NEVER, field))
      refuse('not-amendable', `amend: ${field} cannot be amended; ${AMEND_NEVER[field]}`, field);
    if (isEmpty(value) && !isEmpty(life.record.policy[field]) && (value !== null || there(field)))
      refuse('cannot-clear', `amend: ${field} can be replaced, not emptied: WeChat Pay holds it, or may`, field);
  }
  const replaced = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
  parse(policyFieldsSchema, replaced);
  const takenBack = Object.keys(fields).filter((field) => fields[field] === null);
  return replanned(life, without(changed(upload, replaced), takenBack));
};

/** So that a fault names the list as that of a record does. */
const extendedRecord = z.object({ extra_fields: extraFieldsSchema });

/** The life whose record names fields, too, that the contract has not. */
function extendedBy(life: Life, added: readonly string[] = []): Life {
  // A record of an earlier release names none.
  const { extra_fields = [] } = life.record as Partial<PolicyRecord>;
  const more = added.filter((field) => !extra_fields.includes(field));
  if (more.length === 0) return life;
  const all = parse(extendedRecord, { extra_fields: [...extra_fields, ...more] });
  return { ...life, record: { ...life.record, ...all } };
}

/** Fields of the policy and of its upload, and those of the upload by themselves. */
type Amendment = PolicyFields & { upload?: PolicyFields };

/** Refuses names that neither the contract has, nor the policy already, nor the record's `extra_fields`. */
function knownOnly({ record }: Life, { upload, ...given }: Amendment): void {
  const { policy, extra_fields = [] } = record as Partial<PolicyRecord>;
  const [unknown] = unknownNames({ ...given, ...upload }, [...extra_fields, ...Object.keys(policy ?? {})], 'upload');
  if (unknown !== undefined) refuse('unknown-field', `amend: ${unknown}: ${noSuchField(unknown)}`, unknown);
}

/** The life without fields that WeChat Pay has not got, the whole policy checked again. */
function without(life: Life, fields: readonly string[]): Life {
  const entries = Object.entries(life.record.policy);
  const left = entries.filter(([field]) => !fields.includes(field));
  if (left.length === entries.length) return life;
  return { ...life, record: { ...life.record, policy: parse(policySchema, Object.fromEntries(left)) } };
}

/**
 * The life with its upload amended, or given one, and the fields that are the policy's. That can be done for as long as the
 * upload is to come: one that WeChat Pay has refused, or that lacked, goes on so. What is null is taken back.
 */
function uploadAmended(life: Life, { upload: added, ...given }: Amendment, there: MayHold): [Life, PolicyFields] {
  const entries = Object.entries(given);
  const own = entries.filter(([field]) => UPLOAD_ONLY.has(field));
  const late = added ? 'upload' : entries.find(([field]) => UPLOAD_ONLY.has(field) || field === COMPANY)?.[0];
  if (late && life.known_there)
    refuse('not-amendable', `amend: ${late} can be amended only before WeChat Pay has the policy`, late);
  if (late && there('appid'))
    refuse('unknown-outcome', `amend: an upload is under way; amend ${late} once its outcome is known`, late);
  if (!added && own.length === 0) return [life, given];
  const { upload } = life.record;
  const amended = Object.entries({ ...upload, ...added, ...Object.fromEntries(own) }).filter(([, it]) => it !== null);
  const mended = parse(uploadAlone, { upload: Object.fromEntries(amended) });
  const same = sameWish('upload', upload, mended.upload);
  return [same ? life : { ...life, record: { ...life.record, ...mended } }, withoutUpload(entries)];
}

/** It goes up with the upload, and can't be updated. */
const COMPANY = 'insurance_company_code';
/** So that a fault names its field as that of a record does. */
const uploadAlone = z.object({ upload: uploadSchema });

function withoutUpload(entries: [string, unknown][]): PolicyFields {
  return Object.fromEntries(entries.filter(([field]) => !UPLOAD_ONLY.has(field)));
}

const renew: Rule<'renew'> = (life, command, now) => {
  if ('as' in command) {
    if (life.continued_as === command.as) return life;
    if (command.as === life.record.policy.out_insurance_no)
      refuse('continued-by-itself', 'renew: expected in as the number of another policy, found its own', 'as');
    allowed(life, 'renew', APPROVED, INACTIVE);
    const window = life.window === 'none' ? 'none' : 'closed';
    return { ...life, continued_as: command.as, window };
  }
  return renewTerm(life, command, now);
};

function renewTerm(life: Life, command: Exclude<Parsed<'renew'>, { as: string }>, now: number): Life {
  const { event_id: _e, version: _v, by: _b, window, ...term } = command;
  const { start_renewal_time, end_renewal_time, ...spans } = window ?? {};
  const policy = life.record.policy;
  const given = { start_renewal_time, end_renewal_time };
  const sameWindow = isSo(policy, given) && isPlanned(life, spans);
  if (sameWindow && isSo(policy, term) && policy.policy_state === APPROVED) return life;
  const expiredByTime = policy.policy_state === INACTIVE && life.inactive?.cause === 'EXPIRY';
  if (!expiredByTime) allowed(life, 'renew', APPROVED);
  if (policy.coverage_term_type === LIFETIME) refuse('lifetime', 'renew: cover for life has no terms');
  const [until, next] = [expiryOf(policy) ?? 0, instantOf(term.expired_time) ?? 0];
  if (next < until || (next === until && sameWindow))
    refuse('renewal-term', `renew: expected expired_time after ${policy.expired_time}, found ${term.expired_time}`);
  inForce(next, term.expired_time, 'renew', now);
  const { start_renewal_time: _s, end_renewal_time: _n, ...lastTerm } = policy;
  const renewed = parse(policySchema, { ...lastTerm, ...defined({ ...term, ...given }), policy_state: APPROVED });
  const record = { ...life.record, policy: renewed, renewal: { ...life.record.renewal, ...defined(spans) } };
  const { inactive: _over, ...rest } = next === until ? life : nextTerm(life, until);
  return { ...rest, record, ...plannedAnew(rest, renewed) };
}

/** Whether the window is planned by these spans already, where any are given. */
function isPlanned({ record }: Life, { opens_before, closes_after }: Partial<Life['record']['renewal']>): boolean {
  const { policy, renewal } = record;
  const opens =
    opens_before === undefined || (!policy.start_renewal_time && ms(opens_before) === ms(renewal.opens_before));
  return (
    opens && (closes_after === undefined || (!policy.end_renewal_time && ms(closes_after) === ms(renewal.closes_after)))
  );
}

/** The life as it goes into another term: no other policy continues it, and no cancellation of later than the old one ends it. */
function nextTerm(life: Life, until: number): Life {
  const { continued_as: _by, cancellation, ...rest } = life;
  if (cancellation && cancellation.at <= until)
    refuse('cancellation-pending', `renew: a cancellation waits for ${wireTime(cancellation.at)}; withdraw it first`);
  return rest;
}

const reinstate: Rule<'reinstate'> = (life, { expired_time }, now) => {
  const state = life.record.policy.policy_state;
  if (state === APPROVED && changed(life, { expired_time }) === life) return life;
  allowed(life, 'reinstate', INACTIVE);
  const { inactive: _over, ...rest } = changed(life, { expired_time, policy_state: APPROVED });
  const policy = rest.record.policy;
  inForce(expiryOf(policy), policy.expired_time, 'reinstate', now);
  return { ...rest, ...plannedAnew(life, policy) };
};

/** Refuses a term whose cover has ended already: it would expire at once. */
function inForce(expires: number | undefined, given: string | undefined, command: CommandName, now: number): void {
  if (expires !== undefined && expires <= now)
    refuse('expired', `${command}: expected an expired_time to come, found ${given}`, 'expired_time');
}

function defined<T extends object>(fields: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Key in keyof T]?: Exclude<T[Key], undefined> };
}

/**
 * The window of a term that has changed; whether WeChat Pay holds a window is remembered. It stays closed as long as another
 * policy continues this one, and closes where the term has none any more.
 */
function plannedAnew(life: Life, policy: Policy): Pick<Life, 'window' | 'window_sent'> {
  const planned = plannedWindow(policy);
  const closes =
    planned === 'none' ? closedWindow(life) === 'closed' : planned === 'closed' || life.continued_as !== undefined;
  const window = closes ? 'closed' : planned;
  return { window, window_sent: life.window_sent || window === 'given' };
}

const WINDOW_FIELDS = [
  'expired_time',
  'support_renewal',
  'start_renewal_time',
  'end_renewal_time',
  'coverage_term_type',
];

/** Plans the window anew where a field that it depends on has changed, unless the policy has ended. */
function replanned(before: Life, after: Life): Life {
  const [was, is] = [before.record.policy, after.record.policy];
  const same = WINDOW_FIELDS.every((field) => sameWish(field, was[field], is[field]));
  const over = is.policy_state === INACTIVE && after.inactive?.cause !== 'EXPIRY';
  if (same || over || after.continued_as) return after;
  const planned = plannedAnew(after, is);
  // After the end of cover no timer opens a window, and what WeChat Pay is given has to be closed by one.
  const opens = is.policy_state === INACTIVE && planned.window === 'planned';
  return { ...after, ...planned, ...(opens && { window: 'open', window_sent: true }) };
}

const RULES: { [Name in CommandName]: Rule<Name> } = { approve, decline, cancel, withdraw, amend, renew, reinstate };

/**
 * A message, checked. What is `null` is absent, but in the fields of an amendment, where it takes back.
 * @throws {RuleViolation}
 */
export function parsedCommand<Name extends CommandName>(name: Name, input: unknown): Parsed<Name> {
  const given = withoutNulls(input ?? {}, name === 'amend' ? 1 : 2);
  const nulls = name === 'amend' ? nullFields(input) : {};
  return parse(COMMAND_SCHEMAS[name], isObject(given) ? { ...given, ...nulls } : given) as Parsed<Name>;
}

function nullFields(input: unknown): object {
  const entries = isObject(input) ? Object.entries(input) : [];
  return Object.fromEntries(entries.filter(([name, value]) => value === null && !Object.hasOwn(envelope, name)));
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The life after a command. Returns the very same object where everything is already so. Times are ms since the epoch.
 * @param there whether WeChat Pay holds a value of a field, or may: what it does not hold can be taken back
 * @throws {RuleViolation} when the command is malformed or illegal now; `rule` names why.
 */
export function obey<Name extends CommandName>(
  life: Life,
  name: Name,
  input: unknown,
  now: number,
  there: MayHold = () => true,
): Life {
  return (RULES[name] as Rule<Name>)(life, parsedCommand(name, input), now, there);
}

/**
 * The life after WeChat Pay's record was made ours in these fields: each that it holds otherwise takes its value, the
 * state too; one that it does not hold is given up.
 * @throws {RuleViolation} when the result would break a rule of the record.
 */
export function adopted(life: Life, remote: PolicyFields, fields: readonly string[], now: number): Life {
  const found = differences(heldPolicy(life), remote).filter(({ field }) => fields.includes(field));
  if (found.length === 0) return life;
  const policy: Record<string, unknown> = { ...life.record.policy };
  for (const { field, theirs } of found) {
    if (theirs === undefined) delete policy[field];
    else policy[field] = TIME_FIELDS.has(field) && typeof theirs === 'string' ? toWireTime(theirs) : theirs;
  }
  const record = { ...life.record, policy: parse(policySchema, policy) };
  const taken = withWindowThere(life, { ...life, record }, { remote, fields }, now);
  const { policy_state: state, expired_time } = record.policy;
  const { inactive: was, cancellation, expiry_waived: _former, ...rest } = taken;
  if (state === APPROVED && expired_time !== undefined && (expiryOf(record.policy) ?? Number.POSITIVE_INFINITY) <= now)
    Object.assign(rest, { expiry_waived: expired_time });
  if (state === life.record.policy.policy_state)
    return { ...rest, ...(was && { inactive: was }), ...(cancellation && { cancellation }) };
  return state === INACTIVE ? { ...rest, inactive: { cause: 'GIVEN', since: now } } : rest;
}

/**
 * The accepted life with a window that asks WeChat Pay for nothing it does not hold, but what was to be sent `before`, and
 * that no time already past opens or closes: the one that our rules plan where it is such, else its own, or none.
 */
function withWindowThere(
  before: Life,
  accepted: Life,
  { remote, fields }: { remote: PolicyFields; fields: readonly string[] },
  now: number,
): Life {
  const differing = (life: Life): string[] => differences(heldPolicy(life), remote).map(({ field }) => field);
  const onItsWay = differing(before).filter((field) => !fields.includes(field));
  const fits = (life: Life): boolean =>
    differing(life).every((field) => !WINDOW_FIELDS.includes(field) || onItsWay.includes(field)) &&
    !dueTimes(life).some(({ what, at }) => what.startsWith('window-') && at <= now);
  const { start_renewal_time, end_renewal_time } = remote;
  const there = start_renewal_time !== undefined || end_renewal_time !== undefined;
  const { start_renewal_time: _start, end_renewal_time: _end, ...timeless } = accepted.record.policy;
  const inWindow = (window: Window, policy: Policy = timeless): Life => ({
    ...accepted,
    record: { ...accepted.record, policy },
    window,
    window_sent: there || window === 'given',
  });
  const theirs = z.safeParse(policySchema, { ...timeless, ...defined({ start_renewal_time, end_renewal_time }) });
  const choices = [
    replanned(before, accepted),
    { ...accepted, ...plannedAnew(accepted, accepted.record.policy) },
    inWindow('planned'),
    ...(there && theirs.success ? [inWindow('given', theirs.data)] : []),
    inWindow('closed'),
  ];
  return choices.find(fits) ?? inWindow('none');
}
