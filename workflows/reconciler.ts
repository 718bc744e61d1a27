import type { Discrepancy } from '../activities/inputs.ts';
import { BLOCKS } from '../policy/blocks.ts';
import { adopted } from '../policy/commands.ts';
import { comparable, type Difference, differences, patchOf, sameValue, sameWish } from '../policy/difference.ts';
import { DAY, ms } from '../policy/duration.ts';
import { isPersonal, UPLOAD_ONLY } from '../policy/fields.ts';
import { heldPolicy, type Life, marked, unmarked } from '../policy/life.ts';
import type { Policy, PolicyFields } from '../policy/record.ts';
import { DECLINED, INACTIVE, isTransition, type PolicyState } from '../policy/state.ts';
import { RuleViolation, refuse } from '../policy/violation.ts';
import { fitting } from './fitting.ts';
import type { Block, PolicySync } from './messages.ts';

const HOUR = 60 * 60 * 1000;
/** For how long the attempt of a run goes on that a reset of Temporal's has ended: the start-to-close time of a call. */
const ATTEMPT = 20_000;
/** For how long an attempt of unknown outcome may still land: far above any time that a gateway holds a request. */
const LANDING = HOUR / 4;
/** A field that drifts so often within this time is CONTESTED: somebody else writes it, and pushing would go on for ever. */
const MOST_DRIFTS = 3;
const DRIFTS_COUNT_FOR = 7 * DAY;
/** Discrepancies kept until they are known to be in MongoDB. */
const MOST_DISCREPANCIES = 50;

/** Who waits for the next call, as a Temporal priority key: 1 is served first. */
export const URGENCY = { user: 1, due: 3, verification: 5 } as const;
export type Urgency = (typeof URGENCY)[keyof typeof URGENCY];

/** Where the policy stands towards WeChat Pay: plain JSON, handed from run to run. Times are epoch ms. */
export interface Standing {
  /** Of the desired record: raised with every change. */
  revision: number;
  /** The last revision that WeChat Pay is known to hold whole. */
  synced_revision: number;
  /** The last answer that verified, of the fields that are ours; null before the first. */
  confirmed: PolicyFields | null;
  confirmed_at: number;
  /** When a GET gave it; 0 where it is the answer to a PATCH. */
  got_at: number;
  /** Fields of that answer which no key opens. */
  unreadable: string[];
  /** WeChat Pay says that it has no such policy. */
  absent: boolean;
  /** When it first did, or again after a person had it asked: how soon it is asked next goes by it. */
  absent_since?: number;
  /** A person accepted that, for ours is over, too. */
  absence_accepted?: true;
  /** The first answer of a life is still to come: `adopt` says what a difference in it means. */
  baseline: boolean;
  /**
   * Fields that a message or a due time changed since WeChat Pay was last known to hold them: what it holds otherwise in
   * them is a change on its way, and `adopt` and `accept` have no say in it.
   */
  changed: string[];
  /** Nothing is sent before a GET has shown where WeChat Pay stands. */
  must_query: boolean;
  /** WeChat Pay refuses the GET itself: nothing can be known before a person acts. */
  query_refused: boolean;
  /** WeChat Pay refuses the GET of a verification; `blocks` where the block tells of that, and of nothing before it. */
  verify_refused?: { blocks: boolean };
  /**
   * Attempts of unknown outcome that may still land, whatever was sent since: what they carried is ours when it shows, and
   * carried again with each PATCH, but for fields that have shown or were sent again by now (`overtaken`).
   */
  unconfirmed: { fields: PolicyFields; at: number; overtaken?: string[] }[];
  /** Values that WeChat Pay refused or did not take, by field, as comparable text: never sent again as they are. */
  refused: Record<string, string>;
  /** A state was among them: which of them was at fault nobody knows. */
  refused_with_state?: true;
  block: Block | null;
  /** What the last answer to a change says that proves nothing; over with one that does. */
  unverified?: Block;
  /** What WeChat Pay holds otherwise and is left so, by field, as comparable text of its value. */
  reported: Record<string, string>;
  /** Of these, what a person accepted so, for the record cannot take WeChat Pay's value. */
  accepted?: string[];
  /** Fields of the first answer that no key opened: `adopt` says what a difference in them means once one does. */
  unseen?: string[];
  /** When each field drifted, of late. */
  drifts: Record<string, number[]>;
  /**
   * Restored from a record that may lag behind what had been accepted: what the first answer shows otherwise may be a later
   * change of ours, so it is reported and not undone.
   */
  lagging?: boolean;
  /** An attempt of the run that a reset ended may go on until then: a call beside it would be that of a second writer. */
  stray_until?: number;
  /** Attempts of unknown outcome in a row. */
  rounds: number;
  /** The next call is not sent before, unless a change comes or somebody waits for its answer. */
  not_before: number;
  /** Since when a change waits; null when none does. */
  waiting_since: number | null;
  /** The wait has been told of (RETRYING). */
  alerted: boolean;
  urgency: Urgency;
  /** Found by verifications and not yet known to be in MongoDB. */
  discrepancies: Discrepancy[];
  /** How many were ever found: numbers their ids. */
  found: number;
}

/** The next call that the policy needs. `rest`: none before a person or a due time changes something. */
export type Action =
  | { call: 'query'; not_before: number }
  | { call: 'push'; fields: PolicyFields }
  | { call: 'upload'; fields: PolicyFields }
  | { call: 'verify'; expected: PolicyFields; expect_absent: boolean }
  | { call: 'rest' };

export interface RemoteAnswer {
  policy: PolicyFields;
  unreadable: string[];
}

export interface Refusal {
  status: number;
  code: string;
  message: string;
  request_id?: string;
}

/** A standing before anything was asked or sent. */
export function newStanding(now: number): Standing {
  return {
    revision: 1,
    synced_revision: 0,
    confirmed: null,
    confirmed_at: 0,
    got_at: 0,
    unreadable: [],
    absent: false,
    baseline: true,
    changed: [],
    must_query: true,
    query_refused: false,
    unconfirmed: [],
    refused: {},
    block: null,
    reported: {},
    drifts: {},
    rounds: 0,
    not_before: 0,
    waiting_since: now,
    alerted: false,
    urgency: URGENCY.user,
    discrepancies: [],
    found: 0,
  };
}

/** Marks for a person's attention: a signal that was ignored, by its rule; a reset; a field that is not pushed again. */
export const IGNORED = 'refused-signal:';
const RESET = 'reset';
const CONTESTED = 'contested:';
const WINDOW_TIMES: readonly string[] = ['start_renewal_time', 'end_renewal_time'];
/** What goes with a state. */
const STATE_FIELDS: readonly string[] = ['policy_state', 'policy_code'];

/** Transitions that a difference alone may push: back to APPROVED only by a command that says so. */
function isForward(from: unknown, to: PolicyState): boolean {
  return from !== INACTIVE && isTransition(from, to);
}

function withoutValues({ ours: _ours, theirs: _theirs, ...discrepancy }: Discrepancy): Discrepancy {
  return { ...discrepancy, ours: null };
}

/** What a person is told of an answer. */
function blockOf(
  { code, message, request_id }: { code: string; message: string; request_id?: string },
  now: number,
): Block {
  return { code, message, at: new Date(now).toISOString(), ...(request_id !== undefined && { request_id }) };
}

/** Wait before the GET of a round: none before the first, then 1 s, doubling to an hour. */
function roundBackoff(rounds: number): number {
  return rounds <= 1 ? 0 : Math.min(1000 * 2 ** (rounds - 2), HOUR);
}

/**
 * Given what is desired, what is confirmed, what was attempted, and what just happened: what next? Level-triggered:
 * every decision is made from the standing, never from the event that woke the loop. Knows nothing of Temporal.
 */
export class Reconciler {
  life: Life;
  readonly standing: Standing;
  /** What a call that runs now carries: until it has ended, nobody knows what WeChat Pay holds. */
  sending: PolicyFields | undefined;

  constructor(life: Life, standing: Standing) {
    this.life = life;
    this.standing = standing;
  }

  /** What WeChat Pay should hold now. */
  get held(): Policy {
    return heldPolicy(this.life);
  }

  /** Takes a changed life as desired, as the next revision. */
  change(life: Life, urgency: Urgency, now: number): void {
    const before = this.held;
    this.life = life;
    const after = this.held;
    const standing = this.standing;
    standing.revision += 1;
    this.#hurry(urgency, now);
    const differs = (field: string): boolean => !sameWish(field, before[field], after[field]);
    const changed = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(differs);
    const agrees = (field: string): boolean => sameValue(field, after[field], standing.confirmed?.[field]);
    // What WeChat Pay holds in a field that was not ours nobody has kept, and a false or 0 looks like nothing there.
    const isUnknown = (field: string): boolean => !(field in before) && agrees(field);
    if (changed.some(isUnknown)) standing.must_query = true;
    const isThere = (field: string): boolean =>
      standing.confirmed !== null && !standing.unreadable.includes(field) && agrees(field) && !isUnknown(field);
    standing.changed = [...new Set([...standing.changed, ...changed])].filter((field) => !isThere(field));
    // It may have become known since it was last asked for.
    if (standing.absent && !standing.confirmed && standing.block) standing.must_query = true;
    this.#retryChanged(differs);
    delete standing.absence_accepted;
    for (const field of Object.keys(standing.reported))
      if (differs(field) && (agrees(field) || this.#mayPush(field))) delete standing.reported[field];
    // A new value has not been contested yet.
    for (const field of Object.keys(standing.drifts)) if (differs(field)) delete standing.drifts[field];
    this.settle();
    this.#unmark();
  }

  /** Takes from what was refused what is another value by now, and with it what may have been refused for its sake. */
  #retryChanged(differs: (field: string) => boolean): void {
    const { refused, refused_with_state } = this.standing;
    const changed = Object.keys(refused).filter(differs);
    const others = Object.keys(refused).filter((field) => !STATE_FIELDS.includes(field));
    // policy_code goes with the state: a state may have been refused for want of it.
    const state = 'policy_state' in refused && STATE_FIELDS.some(differs);
    // A new state leaves without what was refused beside the former: a surrender is not held up by a bad address.
    if (state && refused_with_state && others.length > 0 && !others.some((field) => changed.includes(field))) {
      for (const field of STATE_FIELDS) delete refused[field];
      return;
    }
    // A block without refused values came from a GET, an upload or a lacking policy: any change is a reason to try.
    if (changed.length > 0 || state || Object.keys(refused).length === 0) this.#unblock();
  }

  /** A reported state is sent after all only where our new one follows from it without undoing anything. */
  #mayPush(field: string): boolean {
    const theirs = this.standing.confirmed?.policy_state;
    return field !== 'policy_state' || isForward(theirs, this.held.policy_state);
  }

  #hurry(urgency: Urgency, now: number): void {
    const standing = this.standing;
    standing.urgency = Math.min(standing.urgency, urgency) as Urgency;
    standing.waiting_since ??= now;
    standing.not_before = Math.min(standing.not_before, standing.stray_until ?? 0);
  }

  #unblock(): void {
    const { standing } = this;
    standing.refused = {};
    delete standing.refused_with_state;
    delete standing.verify_refused;
    standing.block = null;
    standing.query_refused = false;
  }

  /** WeChat Pay answers GETs again. */
  #answeredAgain(): void {
    const { standing } = this;
    standing.query_refused = false;
    if (standing.verify_refused?.blocks) standing.block = null;
    delete standing.verify_refused;
  }

  /**
   * A reset of Temporal's brought back an earlier state, and `revision` is on record already. What WeChat Pay holds otherwise
   * may be a later change of ours: it is asked, once an attempt of the run before has ended, and reported what differs.
   */
  behind(revision: number, now: number): void {
    const standing = this.standing;
    standing.revision = Math.max(standing.revision, revision) + 1;
    Object.assign(standing, { must_query: true, not_before: now + ATTEMPT, rounds: 0, lagging: true });
    standing.stray_until = now + ATTEMPT;
    this.life = marked(this.life, RESET);
  }

  /**
   * Tries at once what is blocked, left different, or waiting, replaces what nobody can read, and takes the marks of ignored
   * signals and of a reset as seen. False when there is nothing of the kind.
   */
  resume(now: number): boolean {
    const seen = unmarked(
      this.life,
      ...this.life.attention.filter((mark) => mark.startsWith(IGNORED) || mark === RESET),
    );
    const acknowledged = seen.attention.length < this.life.attention.length;
    if (acknowledged) this.life = seen;
    const standing = this.standing;
    const blind = standing.unreadable.filter((field) => field in this.held);
    if (this.sync === 'SYNCED' && blind.length === 0) return acknowledged;
    standing.changed = [...new Set([...standing.changed, ...blind])];
    if (standing.absent) standing.must_query = true;
    this.#unblock();
    standing.reported = {};
    standing.drifts = {};
    this.#unmark();
    this.#hurry(URGENCY.user, now);
    return true;
  }

  /**
   * WeChat Pay's record becomes ours, but where a change of ours is still on its way. What it never took and the record cannot do
   * without is left different, and so is a window that breaks our rules. Where it has none, a policy that is over, with us, is over.
   * False when it is ours already.
   * @throws {RuleViolation} `nothing-to-accept` where WeChat Pay has no record of a policy that is not over, `unknown-outcome`
   * while nobody knows what it holds, another rule where its record breaks it.
   */
  accept(now: number): boolean {
    const standing = this.standing;
    if (standing.must_query)
      refuse('unknown-outcome', 'accept: it is not known what WeChat Pay holds now; accept once it has answered');
    if (standing.absent || !standing.confirmed) return this.#acceptAbsence(now);
    const { life, kept } = this.#acceptable(standing.confirmed, this.#foreign, now);
    // What nobody can read, and WeChat Pay refused to replace, stays as it is there.
    const blind = standing.unreadable.filter((field) => this.#isRefused(field));
    const left = [...blind, ...kept];
    if (life === this.life && left.length === 0) return this.#leave(standing.confirmed);
    const accepted = [...this.#accepted, ...kept];
    standing.reported = {};
    standing.drifts = {};
    standing.changed = standing.changed.filter((field) => !left.includes(field));
    for (const field of left) delete standing.refused[field];
    this.change(life, URGENCY.user, now);
    for (const field of accepted) standing.reported[field] = comparable(field, standing.confirmed[field]);
    standing.accepted = accepted;
    this.#leave(standing.confirmed);
    return true;
  }

  /** A policy that is over with us, and that WeChat Pay has not, has nothing left to send, and can end. */
  #acceptAbsence(now: number): boolean {
    const { standing } = this;
    const { policy_state } = this.held;
    if (policy_state !== INACTIVE && policy_state !== DECLINED)
      refuse(
        'nothing-to-accept',
        'accept: WeChat Pay holds no record of this policy; cancel or decline it, then accept',
      );
    if (standing.absence_accepted) return false;
    this.change(this.life, URGENCY.user, now);
    Object.assign(standing, { absence_accepted: true, must_query: false, block: null, reported: {}, changed: [] });
    this.settle();
    return true;
  }

  /**
   * The life with these fields as WeChat Pay holds them, but for what breaks a rule of the record and cannot be made right there: what
   * was refused, and a window.
   */
  #acceptable(confirmed: PolicyFields, fields: readonly string[], now: number): { life: Life; kept: string[] } {
    try {
      return { life: adopted(this.life, confirmed, fields, now), kept: [] };
    } catch (error) {
      const broken = error instanceof RuleViolation ? error.violations.map(({ field }) => field) : [];
      const isLeft = (field: string): boolean =>
        WINDOW_TIMES.includes(field) || (field !== 'policy_state' && this.#isRefused(field));
      const kept = fields.filter((field) => broken.includes(field) && isLeft(field));
      if (kept.length === 0) throw error;
      const others = fields.filter((field) => !kept.includes(field));
      const rest = this.#acceptable(confirmed, others, now);
      return { life: rest.life, kept: [...kept, ...rest.kept] };
    }
  }

  /** Fields that are left different for good, as far as neither side has changed them since. */
  get #accepted(): string[] {
    const { accepted = [], reported } = this.standing;
    return accepted.filter((field) => field in reported);
  }

  /** Attempts that may still land are no reason to send again what WeChat Pay holds as we want it. True if one was. */
  #leave(confirmed: PolicyFields): boolean {
    const { held, standing } = this;
    const before = this.#carriedAgain.length;
    standing.unconfirmed = standing.unconfirmed.map(({ overtaken = [], ...attempt }) => {
      const left = Object.keys(attempt.fields).filter((field) => sameValue(field, held[field], confirmed[field]));
      return { ...attempt, overtaken: [...new Set([...overtaken, ...left])] };
    });
    this.settle();
    return this.#carriedAgain.length < before;
  }

  /** Fields in which WeChat Pay's record differs by no change of ours that may still reach it. */
  get #foreign(): string[] {
    const { confirmed, unreadable, changed, discrepancies } = this.standing;
    const held = this.held;
    const foreign = new Set(this.diverged);
    // What is being healed is a stranger's, unless ours was changed since.
    for (const { field, ours, became } of discrepancies)
      if (became === 'healing' && sameWish(field, ours, held[field])) foreign.add(field);
    const accepted = this.#accepted;
    return differences(held, confirmed ?? {}, unreadable)
      .map(({ field }) => field)
      .filter((field) => !accepted.includes(field))
      .filter((field) => foreign.has(field) || !changed.includes(field) || this.#isRefused(field));
  }

  /** WeChat Pay refused, or did not take, the value that we have. */
  #isRefused(field: string): boolean {
    return this.standing.refused[field] === comparable(field, this.held[field]);
  }

  /** Whether WeChat Pay holds a value of the field, or may have got one: it could not be taken back by us then. */
  mayHold(field: string): boolean {
    const { confirmed, absent, unreadable, unconfirmed, must_query } = this.standing;
    if (unconfirmed.some(({ fields }) => field in fields) || field in (this.sending ?? {})) return true;
    // No answer tells of these: it got them by an upload, or not at all.
    if (UPLOAD_ONLY.has(field)) return false;
    if (!confirmed) return !absent || must_query;
    return must_query || unreadable.includes(field) || !sameValue(field, confirmed[field], undefined);
  }

  /** What the policy's only caller does next. */
  next(): Action {
    const standing = this.standing;
    if (standing.must_query)
      return standing.query_refused ? { call: 'rest' } : { call: 'query', not_before: standing.not_before };
    if (standing.absent) return this.#nextWhileAbsent();
    if (!standing.confirmed) return { call: 'rest' };
    const fields = this.sendable();
    if (Object.keys(fields).length > 0) return { call: 'push', fields };
    return { call: 'verify', expected: this.#expected(standing.confirmed), expect_absent: false };
  }

  /** WeChat Pay refuses the GET of a verification: the first that it answers is news. */
  get verificationRefused(): boolean {
    return this.standing.verify_refused !== undefined;
  }

  #nextWhileAbsent(): Action {
    const { block, absence_accepted } = this.standing;
    if (!this.isGone && this.life.record.upload && !block && !absence_accepted)
      return { call: 'upload', fields: this.#uploaded };
    return { call: 'verify', expected: {}, expect_absent: true };
  }

  /** The body of the upload. */
  get #uploaded(): PolicyFields {
    return { ...this.held, ...this.life.record.upload };
  }

  /** Since when WeChat Pay is known to hold what it does, or to have no such policy. */
  get knownSince(): number {
    const { absent, absent_since, confirmed_at } = this.standing;
    return absent ? (absent_since ?? confirmed_at) : confirmed_at;
  }

  /** What WeChat Pay is known to hold of each field that is ours: null for nothing, for what appears there is a change, too. */
  #expected(confirmed: PolicyFields): PolicyFields {
    return Object.fromEntries(Object.keys(this.held).map((field) => [field, confirmed[field] ?? null]));
  }

  /** WeChat Pay had the policy once, and says that it has it no more. */
  get isGone(): boolean {
    return this.standing.absent && (this.standing.confirmed !== null || this.life.known_there === true);
  }

  /** The same, and nobody has accepted it. */
  get isMissed(): boolean {
    return this.isGone && !this.standing.absence_accepted;
  }

  /** The body of the PATCH that is due; empty when there is none, or the state stands in the way of all. */
  sendable(): PolicyFields {
    const { confirmed, unreadable, changed, reported, absent } = this.standing;
    if (!confirmed || absent || this.stateDiverged) return {};
    return patchOf(this.held, confirmed, {
      unconfirmed: this.#carriedAgain,
      // Nobody can say whether WeChat Pay has what was changed: it is sent.
      unreadable: unreadable.filter((field) => !changed.includes(field)),
      withheld: (field) => this.#isRefused(field) || reported[field] === comparable(field, confirmed[field]),
    });
  }

  /** What attempts of unknown outcome carried, and nothing since. */
  get #carriedAgain(): PolicyFields[] {
    return this.standing.unconfirmed
      .map(({ fields, overtaken = [] }) =>
        Object.fromEntries(Object.entries(fields).filter(([field]) => !overtaken.includes(field))),
      )
      .filter((fields) => Object.keys(fields).length > 0);
  }

  /** Until when an attempt of ours may still land; undefined where none is under way. */
  get landsBy(): number | undefined {
    const { unconfirmed } = this.standing;
    return unconfirmed.length === 0 ? undefined : Math.max(...unconfirmed.map(({ at }) => at)) + LANDING;
  }

  /** WeChat Pay's state is one from which ours must not, or cannot, be reached by us. */
  get stateDiverged(): boolean {
    const { confirmed, reported, absent } = this.standing;
    if (!confirmed || absent) return false;
    const theirs = confirmed.policy_state;
    const ours = this.held.policy_state;
    if (theirs === ours) return false;
    return reported.policy_state === comparable('policy_state', theirs) || !isTransition(theirs, ours);
  }

  /** Fields in which WeChat Pay's record is known to differ and is left so. */
  get diverged(): string[] {
    const accepted = this.#accepted;
    const fields = new Set(Object.keys(this.standing.reported).filter((field) => !accepted.includes(field)));
    if (this.stateDiverged) fields.add('policy_state');
    return [...fields];
  }

  /** Personal values that WeChat Pay showed or may have got, and that ours are not: not to be shown either. */
  get personalThere(): PolicyFields[] {
    const { confirmed, unconfirmed } = this.standing;
    const held = this.held;
    const otherwise = ([field, value]: [string, unknown]): boolean =>
      isPersonal(field) && !sameValue(field, value, held[field]);
    return [confirmed ?? {}, ...unconfirmed.map(({ fields }) => fields)]
      .map((fields) => Object.fromEntries(Object.entries(fields).filter(otherwise)))
      .filter((fields) => Object.keys(fields).length > 0);
  }

  get sync(): PolicySync {
    const standing = this.standing;
    if (standing.block) return 'BLOCKED';
    if (this.diverged.length > 0 || this.isMissed) return 'DIVERGED';
    const waits = standing.must_query || this.#isLacking || standing.synced_revision < standing.revision;
    if (waits || Object.keys(this.sendable()).length > 0) return standing.alerted ? 'RETRYING' : 'PENDING';
    return 'SYNCED';
  }

  /** WeChat Pay has not the policy, as far as anybody knows, and nobody has accepted that. */
  get #isLacking(): boolean {
    const { absent, confirmed, absence_accepted } = this.standing;
    return (absent || !confirmed) && !absence_accepted;
  }

  /**
   * An answer that verified. `sent` is what the call carried, for a PATCH or an upload.
   * @returns the fields that had drifted, and are as we want them again
   */
  confirm(answer: RemoteAnswer, sent: PolicyFields | undefined, now: number): string[] {
    const standing = this.standing;
    const healing = standing.discrepancies.filter(({ became }) => became === 'healing');
    const window = this.#noteWindow(answer.policy);
    const before = standing.confirmed && {
      policy: { ...window, ...standing.confirmed },
      unreadable: standing.unreadable,
    };
    const found = differences(this.held, answer.policy, answer.unreadable);
    this.#noteUnreadable(answer.unreadable, now);
    standing.confirmed = this.#managed(answer.policy);
    standing.confirmed_at = now;
    standing.got_at = sent ? 0 : now;
    standing.unreadable = answer.unreadable;
    standing.absent = false;
    delete standing.absent_since;
    delete standing.absence_accepted;
    standing.must_query = false;
    standing.not_before = 0;
    this.#answeredAgain();
    if (sent) {
      standing.rounds = 0;
      delete standing.unverified;
    }
    // What an upload of ours made there, or may have, was not there before us.
    const baseline = standing.baseline && !sent;
    const { unseen = [] } = standing;
    const isFirst = ({ field }: Difference): boolean =>
      baseline || (unseen.includes(field) && !(sent && field in sent));
    for (const difference of found.filter((one) => !isFirst(one))) this.#judge(difference, before, sent, now);
    this.#adopt(found.filter(isFirst), now);
    standing.unseen = answer.unreadable.filter((field) => baseline || unseen.includes(field));
    standing.baseline = false;
    if (!this.life.known_there) this.life = { ...this.life, known_there: true };
    delete standing.lagging;
    delete standing.stray_until;
    this.#forgetLanded(answer.policy, sent, now);
    this.#forgetChanged(answer, sent);
    this.#forgetSettled(answer.policy);
    // The state is through; what was refused beside the one before deserves a try of its own.
    if (standing.refused_with_state && !('policy_state' in standing.refused) && sent?.policy_state) this.#unblock();
    this.settle();
    this.#unmark();
    return healing.filter(({ became }) => became === 'healed').map(({ field }) => field);
  }

  /** Fields that no key opens any more, or again: an alert, never drift. */
  #noteUnreadable(unreadable: readonly string[], now: number): void {
    for (const field of unreadable) {
      if (!this.standing.unreadable.includes(field))
        this.#note({ field, ours: undefined }, 'unreadable', 'reported', now);
      this.life = marked(this.life, `unreadable:${field}`);
    }
    const readable = this.standing.unreadable.filter((field) => !unreadable.includes(field));
    this.life = unmarked(this.life, ...readable.map((field) => `unreadable:${field}`));
  }

  /**
   * A window that somebody else has given WeChat Pay, say before the policy was ours, is one that it was given: its times give
   * way to ours, and it closes with a surrender.
   * @returns the fields of it that we said nothing about so far, as we last knew them: empty
   */
  #noteWindow({ start_renewal_time, end_renewal_time }: PolicyFields): PolicyFields {
    const { window, window_sent } = this.life;
    if (window !== 'planned' || window_sent || !(start_renewal_time || end_renewal_time)) return {};
    this.life = { ...this.life, window_sent: true };
    return { start_renewal_time: undefined, end_renewal_time: undefined };
  }

  /** Takes off the marks of fields that are contested no more. */
  #unmark(): void {
    const over = this.life.attention.filter(
      (mark) => mark.startsWith(CONTESTED) && !(mark.slice(CONTESTED.length) in this.standing.reported),
    );
    if (over.length > 0) this.life = unmarked(this.life, ...over);
  }

  /** The fields of an answer that are ours to keep. */
  #managed(policy: PolicyFields): PolicyFields {
    const held = this.held;
    return Object.fromEntries(Object.entries(policy).filter(([field]) => field in held));
  }

  /** The first answer of a life: what became of the record as opened. What was changed since is on its way. */
  #adopt(differing: Difference[], now: number): void {
    const { changed } = this.standing;
    const leaves = ({ field, theirs }: Difference): boolean =>
      changed.includes(field) && (field !== 'policy_state' || isTransition(theirs, this.held.policy_state));
    const found = differing.filter((difference) => !leaves(difference));
    if (found.length === 0) return;
    const { adopt } = this.life.record;
    const confirmed = this.standing.confirmed ?? {};
    if (adopt === 'remote') {
      const life = this.#adoptable(
        confirmed,
        found.map(({ field }) => field),
        now,
      );
      if (life) {
        for (const difference of found) this.#note(difference, 'adopt', 'adopted', now);
        this.life = life;
        this.standing.revision += 1;
        return;
      }
    }
    for (const difference of found) {
      const state = difference.field === 'policy_state';
      const push = adopt === 'push' && (!state || isForward(difference.theirs, this.held.policy_state));
      if (!push) this.#report(difference, 'adopt', now);
    }
  }

  #adoptable(remote: PolicyFields, fields: string[], now: number): Life | undefined {
    try {
      return adopted(this.life, remote, fields, now);
    } catch (error) {
      // A record of WeChat Pay's that breaks the rules can't be ours; it is reported like any difference.
      if (error instanceof RuleViolation) return undefined;
      throw error;
    }
  }

  /** A difference in a later answer: not taken, still on its way, or drift. */
  #judge(difference: Difference, before: RemoteAnswer | null, sent: PolicyFields | undefined, now: number): void {
    const { field, ours, theirs } = difference;
    const standing = this.standing;
    if (sent && field in sent && sameValue(field, sent[field], ours)) {
      standing.refused[field] = comparable(field, ours);
      const fields = Object.keys(standing.refused).join(', ');
      const message = `WeChat Pay accepted the update without taking ${fields}`;
      standing.block = { code: 'NOT_TAKEN', message, at: new Date(now).toISOString() };
      this.#note(difference, 'not-taken', 'reported', now);
      return;
    }
    // A field that is ours since it was last seen, and WeChat Pay has held otherwise all the time, is known too.
    const isNew =
      !(field in (before?.policy ?? {}) || field in standing.reported) &&
      (!before?.unreadable.includes(field) || standing.changed.includes(field));
    const known = before !== null && (sameValue(field, before.policy[field], theirs) || isNew);
    const attempted = standing.unconfirmed.some(
      ({ fields }) => field in fields && sameValue(field, fields[field], theirs),
    );
    // The call was superseded while it ran: what it carried is ours too, and the newer value follows it.
    const carried = sent !== undefined && field in sent && sameValue(field, sent[field], theirs);
    if (known || attempted || carried) return;
    const { on_drift, on_state_drift } = this.life.record.verification;
    const state = field === 'policy_state';
    const heal = state
      ? on_state_drift === 'heal' && isTransition(theirs, this.held.policy_state)
      : on_drift === 'heal';
    // What was left for a person stays so, whatever WeChat Pay makes of it.
    if (!heal || standing.lagging || field in standing.reported) {
      this.#report(difference, state ? 'state' : 'drift', now);
      return;
    }
    if (this.#contested(field, now)) {
      this.life = marked(this.life, `${CONTESTED}${field}`);
      this.#report(difference, state ? 'state' : 'drift', now, 'contested');
      return;
    }
    this.#note(difference, state ? 'state' : 'drift', 'healing', now);
    standing.waiting_since ??= now;
  }

  /** Counts a drift; true for the third within a week. */
  #contested(field: string, now: number): boolean {
    const { drifts } = this.standing;
    const late = [...(drifts[field] ?? []), now].filter((at) => now - at < DRIFTS_COUNT_FOR);
    drifts[field] = late.slice(-MOST_DRIFTS);
    return late.length >= MOST_DRIFTS;
  }

  #report(
    difference: Difference,
    kind: Discrepancy['kind'],
    now: number,
    became: 'reported' | 'contested' = 'reported',
  ): void {
    const { field, theirs } = difference;
    const { standing } = this;
    standing.reported[field] = comparable(field, theirs);
    standing.accepted = this.#accepted.filter((one) => one !== field);
    this.#note(difference, kind, became, now);
  }

  #note(difference: Difference, kind: Discrepancy['kind'], became: Discrepancy['became'], now: number): void {
    const standing = this.standing;
    standing.found += 1;
    const id = `${standing.revision}.${standing.found}`;
    const { field, ours, theirs } = difference;
    standing.discrepancies.push({ id, field, ours, theirs, found_at: now, kind, became });
    standing.discrepancies = fitting(standing.discrepancies.slice(-MOST_DISCREPANCIES), withoutValues);
  }

  /** An attempt of unknown outcome is over after its time; its fields are carried again until they show or were sent again. */
  #forgetLanded(remote: PolicyFields, sent: PolicyFields | undefined, now: number): void {
    const held = this.held;
    // A field that ours has no more, as the times of a window that was closed, cannot be carried again.
    const over = ([field, value]: [string, unknown]): boolean =>
      (sent !== undefined && (field in sent || !(field in held))) || sameValue(field, value, remote[field]);
    this.standing.unconfirmed = this.standing.unconfirmed
      .filter(({ at }) => now - at < LANDING)
      .map(({ fields, at, overtaken = [] }) => {
        const more = Object.entries(fields).filter(over);
        return { fields, at, overtaken: [...new Set([...overtaken, ...more.map(([field]) => field)])] };
      });
  }

  /** Changes that WeChat Pay holds by this answer, or took where nobody can read what it holds. */
  #forgetChanged({ policy, unreadable }: RemoteAnswer, sent: PolicyFields | undefined): void {
    const held = this.held;
    const isThere = (field: string): boolean =>
      unreadable.includes(field)
        ? sent !== undefined && field in sent && sameValue(field, sent[field], held[field])
        : sameValue(field, held[field], policy[field]);
    this.standing.changed = this.standing.changed.filter((field) => field in held && !isThere(field));
  }

  /** Refusals, reports and healings that the answer has made pointless. */
  #forgetSettled(remote: PolicyFields): void {
    const standing = this.standing;
    const held = this.held;
    const agrees = (field: string): boolean => sameValue(field, held[field], remote[field]);
    // One refused field turned out to be there: what was refused was a repetition, and the rest deserves its own try.
    if (Object.keys(standing.refused).some(agrees)) this.#unblock();
    else if (standing.block && Object.keys(standing.refused).length === 0) standing.block = null;
    for (const [field, theirs] of Object.entries(standing.reported))
      if (agrees(field) || theirs !== comparable(field, remote[field])) delete standing.reported[field];
    for (const discrepancy of standing.discrepancies)
      if (discrepancy.became === 'healing' && agrees(discrepancy.field)) discrepancy.became = 'healed';
  }

  /** Nothing left to do for this revision: whoever waited for it need wait no longer. */
  settle(): void {
    const standing = this.standing;
    if (this.sending) return;
    if (standing.must_query || this.#isLacking || standing.block || this.stateDiverged) return;
    if (Object.keys(this.sendable()).length > 0) return;
    standing.synced_revision = standing.revision;
    delete standing.unverified;
    standing.waiting_since = null;
    standing.alerted = false;
    standing.rounds = 0;
    standing.urgency = URGENCY.verification;
  }

  /** A PATCH or upload whose outcome nobody knows: ask before anything else is sent. */
  unknown(sent: PolicyFields, now: number, answer?: { code: string; message?: string; request_id?: string }): void {
    const standing = this.standing;
    if (answer?.message !== undefined) standing.unverified = blockOf({ ...answer, message: answer.message }, now);
    if (standing.absent) standing.baseline = false;
    const same = comparable('', sent);
    const others = standing.unconfirmed.filter(({ fields }) => comparable('', fields) !== same);
    standing.unconfirmed = [...others, { fields: sent, at: now }];
    standing.must_query = true;
    standing.rounds += 1;
    standing.not_before = now + roundBackoff(standing.rounds);
    // Where GETs are answered in between, no call waits for so long that it would tell of it.
    if (this.alertAt !== undefined && now >= this.alertAt) this.alert();
  }

  /** A call certainly without effect, to be made again in `wait` ms; unless `early`, its wait is to be told of. */
  wait({ wait = 0, early = false }: { wait?: number; early?: boolean }, now: number): void {
    if (!early) this.alert();
    this.standing.not_before = now + wait;
  }

  /** A signed refusal. `sent` is what a PATCH or an upload carried. */
  refuse(refusal: Refusal, sent: PolicyFields | undefined, now: number): void {
    const standing = this.standing;
    if (refusal.status === 404) {
      this.#missing(refusal, now);
      return;
    }
    // What was amended while an upload ran has not been refused, and goes up in the next.
    if (sent && standing.absent && comparable('', sent) !== comparable('', this.#uploaded)) return;
    const verification = !sent && !standing.must_query;
    if (verification) standing.verify_refused ??= { blocks: standing.block === null };
    // What a person has to mend comes before what a verification was refused for.
    if (!verification || standing.verify_refused?.blocks) standing.block = blockOf(refusal, now);
    if (!sent) standing.query_refused = standing.must_query;
    if (sent) delete standing.unverified;
    if (!sent || standing.absent) return;
    for (const [field, value] of Object.entries(sent)) standing.refused[field] = comparable(field, value);
    if ('policy_state' in sent) standing.refused_with_state = true;
    // An earlier attempt may have landed, and the refusal be of the repetition.
    if (this.#carriedAgain.length > 0) standing.must_query = true;
  }

  #missing(refusal: Refusal, now: number): void {
    const standing = this.standing;
    const known = standing.absent;
    this.#answeredAgain();
    if (!known || standing.must_query) standing.absent_since = now;
    standing.absent = true;
    standing.must_query = false;
    // An upload that could have landed has not: what it carried is nowhere, and can be amended.
    standing.unconfirmed = standing.unconfirmed.filter(({ at }) => now - at < LANDING);
    standing.got_at = now;
    if (standing.absence_accepted) return;
    standing.baseline = standing.confirmed === null && standing.baseline;
    if (this.isGone) {
      if (!known)
        this.#note({ field: 'out_insurance_no', ours: this.held.out_insurance_no }, 'absent', 'reported', now);
      return;
    }
    if (this.life.record.upload) return;
    const [message] = BLOCKS.UNKNOWN_POLICY;
    standing.block = blockOf({ ...refusal, code: 'UNKNOWN_POLICY', message }, now);
  }

  /** A change has waited for longer than the record allows without a word. */
  alert(): void {
    this.standing.alerted = true;
  }

  /** When the wait of a change is to be told of; undefined when nothing waits, or it has been. */
  get alertAt(): number | undefined {
    const { waiting_since, alerted } = this.standing;
    return waiting_since === null || alerted ? undefined : waiting_since + ms(this.life.record.retry_alert_after);
  }

  /** MongoDB has these discrepancies as they are: those that are over need not be told again. */
  recorded(written: readonly Discrepancy[]): void {
    const done = new Set(written.filter(({ became }) => became !== 'healing').map(({ id }) => id));
    this.standing.discrepancies = this.standing.discrepancies.filter(({ id }) => !done.has(id));
  }
}
