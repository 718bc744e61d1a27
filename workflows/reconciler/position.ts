import { comparable, type Difference, differences, patchOf, sameValue, sameWish } from '../../policy/difference.ts';
import { ms } from '../../policy/duration.ts';
import { isPersonal, UPLOAD_ONLY } from '../../policy/fields.ts';
import { LANDING } from '../../policy/landing.ts';
import { heldPolicy, type Life } from '../../policy/life.ts';
import type { Policy, PolicyFields } from '../../policy/record.ts';
import { INACTIVE, isTransition, type PolicyState } from '../../policy/state.ts';
import type { PolicySync } from '../messages.ts';
import type { Standing } from './standing.ts';

/** The next call that the policy needs. `rest`: none before a person or a due time changes something. */
export type Action =
  | { call: 'query'; not_before: number }
  | { call: 'push'; fields: PolicyFields }
  | { call: 'upload'; fields: PolicyFields }
  | { call: 'verify'; expected: PolicyFields; expect_absent: boolean }
  | { call: 'rest' };

/** Transitions that a difference alone may push: back to APPROVED only by a command that says so. */
export function isForward(from: unknown, to: PolicyState): boolean {
  return from !== INACTIVE && isTransition(from, to);
}

/**
 * What is desired, what is confirmed, what was attempted: and so, what next? Every decision is made from where the policy stands, never from
 * the event that woke the loop. To ask it something changes nothing: who changes `life`, `standing` or `sending` says so.
 */
export class Position {
  life: Life;
  readonly standing: Standing;
  /** What a call that runs now carries: until it has ended, nobody knows what WeChat Pay holds. */
  sending: PolicyFields | undefined;
  /** Something has asked for haste since the call began that runs: what its end says of waiting was not said of that. */
  hurried = false;

  constructor(life: Life, standing: Standing) {
    this.life = life;
    this.standing = standing;
  }

  /** What WeChat Pay should hold now. */
  get held(): Policy {
    return heldPolicy(this.life);
  }

  /**
   * Whether our state may be sent where WeChat Pay shows `theirs`: it follows from it without undoing anything, or what was INACTIVE
   * with us, too, was put in force again.
   */
  follows(theirs: unknown): boolean {
    const ours = this.held.policy_state;
    return isForward(theirs, ours) || (this.standing.revives === true && isTransition(theirs, ours));
  }

  /** Ours was changed since WeChat Pay was last known to hold it, and is on its way, whatever it shows now. */
  leaves({ field, theirs }: Difference): boolean {
    if (this.life.observed || !this.standing.changed.includes(field)) return false;
    return field !== 'policy_state' || this.follows(theirs);
  }

  /** Fields that are left different for good, as far as neither side has changed them since. */
  get accepted(): string[] {
    const { accepted = [], reported } = this.standing;
    return accepted.filter((field) => field in reported);
  }

  /** WeChat Pay refused, or did not take, the value that we have. */
  isRefused(field: string): boolean {
    return this.standing.refused[field] === comparable(field, this.held[field]);
  }

  /** What attempts of unknown outcome carried, and nothing since. */
  get carriedAgain(): PolicyFields[] {
    return this.standing.unconfirmed
      .map(({ fields, overtaken = [] }) =>
        Object.fromEntries(Object.entries(fields).filter(([field]) => !overtaken.includes(field))),
      )
      .filter((fields) => Object.keys(fields).length > 0);
  }

  /** Fields in which WeChat Pay's record differs by no change of ours that may still reach it. */
  get foreign(): string[] {
    const { confirmed, unreadable, changed, discrepancies } = this.standing;
    const held = this.held;
    const foreign = new Set(this.diverged);
    // What is being healed is a stranger's, unless ours was changed since.
    for (const { field, ours, became } of discrepancies)
      if (became === 'healing' && sameWish(field, ours, held[field])) foreign.add(field);
    const accepted = this.accepted;
    return differences(held, confirmed ?? {}, unreadable)
      .map(({ field }) => field)
      .filter((field) => !accepted.includes(field))
      .filter((field) => foreign.has(field) || !changed.includes(field) || this.isRefused(field));
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
    if (this.life.hold) return { call: 'rest' };
    if (standing.must_query)
      return standing.query_refused ? { call: 'rest' } : { call: 'query', not_before: standing.not_before };
    if (standing.absent) return this.#nextWhileAbsent();
    if (!standing.confirmed) return { call: 'rest' };
    const fields = this.sendable();
    if (!this.life.observed && Object.keys(fields).length > 0) return { call: 'push', fields };
    return { call: 'verify', expected: this.#expected(standing.confirmed), expect_absent: false };
  }

  /** WeChat Pay refuses the GET of a verification: the first that it answers is news. */
  get verificationRefused(): boolean {
    return this.standing.verify_refused !== undefined;
  }

  #nextWhileAbsent(): Action {
    const { block, absence_accepted } = this.standing;
    if (!this.life.observed && !this.isGone && this.life.record.upload && !block && !absence_accepted)
      return { call: 'upload', fields: this.uploaded };
    return { call: 'verify', expected: {}, expect_absent: true };
  }

  /** The body of the upload. */
  get uploaded(): PolicyFields {
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
      unconfirmed: this.carriedAgain,
      // Nobody can say whether WeChat Pay has what was changed: it is sent.
      unreadable: unreadable.filter((field) => !changed.includes(field)),
      withheld: (field) => this.isRefused(field) || reported[field] === comparable(field, confirmed[field]),
    });
  }

  /** Something that was accepted since is left as WeChat Pay has it: nobody may be told that it is there. */
  get withholdsChange(): boolean {
    const { changed, reported } = this.standing;
    const accepted = this.accepted;
    return changed.some((field) => field in reported && !accepted.includes(field));
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
    const accepted = this.accepted;
    const fields = new Set(Object.keys(this.standing.reported).filter((field) => !accepted.includes(field)));
    if (this.stateDiverged) fields.add('policy_state');
    // Nothing of ours is on its way.
    if (this.life.observed) for (const field of this.#differing) fields.add(field);
    return [...fields];
  }

  get #differing(): string[] {
    const { confirmed, unreadable, absent } = this.standing;
    if (!confirmed || absent) return [];
    return differences(this.held, confirmed, unreadable).map(({ field }) => field);
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
    if (this.life.hold) return 'HELD';
    // Whom WeChat Pay tells nothing observes nothing.
    if (this.life.observed && !this.isDeaf) return 'OBSERVED';
    if (standing.block) return 'BLOCKED';
    if (this.diverged.length > 0 || this.isMissed) return 'DIVERGED';
    const waits = standing.must_query || this.isLacking || standing.synced_revision < standing.revision;
    if (waits || Object.keys(this.sendable()).length > 0) return standing.alerted ? 'RETRYING' : 'PENDING';
    return 'SYNCED';
  }

  /** WeChat Pay refuses to tell what it holds. */
  get isDeaf(): boolean {
    const { query_refused, verify_refused } = this.standing;
    return query_refused || verify_refused?.blocks === true;
  }

  /** WeChat Pay holds what it should; of a policy that is observed, by whose doing ever. */
  get isInStep(): boolean {
    const { sync } = this;
    return (
      sync === 'SYNCED' ||
      (sync === 'OBSERVED' && !this.standing.must_query && this.diverged.length === 0 && !this.isLacking)
    );
  }

  /** WeChat Pay has not the policy, as far as anybody knows, and nobody has accepted that. */
  get isLacking(): boolean {
    const { absent, confirmed, absence_accepted } = this.standing;
    return (absent || !confirmed) && !absence_accepted;
  }

  /** When the wait of a change is to be told of; undefined when nothing waits, or it has been. */
  get alertAt(): number | undefined {
    const { waiting_since, alerted } = this.standing;
    return waiting_since === null || alerted ? undefined : waiting_since + ms(this.life.record.retry_alert_after);
  }

  /** The fields of an answer that are ours to keep. */
  managed(policy: PolicyFields): PolicyFields {
    const held = this.held;
    return Object.fromEntries(Object.entries(policy).filter(([field]) => field in held));
  }
}
