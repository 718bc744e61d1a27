import {
  ActivityFailure,
  ApplicationFailure,
  allHandlersFinished,
  CancellationScope,
  CancelledFailure,
  condition,
  isCancellation,
  makeContinueAsNewFunc,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import {
  type Behind,
  type CallInput,
  type CallResult,
  FORMAT,
  type RecordActivities,
  type Snapshot,
  type Unknown,
  type VerifyResult,
} from '../activities/inputs.ts';
import { bareSchema, type CommandName, type Envelope, obey, openSchema } from '../policy/commands.ts';
import { type Difference, differences } from '../policy/difference.ts';
import { DAY, ms } from '../policy/duration.ts';
import { afterDue, dueTimes, type Life, marked, openedLife, settleDue } from '../policy/life.ts';
import { parsedRecord, type RecordInput, withoutNulls, workflowIdOf } from '../policy/record.ts';
import { DECLINED, shortState } from '../policy/state.ts';
import { parse, RuleViolation, refuse } from '../policy/violation.ts';
import { calls, failureOf, records } from './calls.ts';
import { type Carried, fromCarried, toCarried, withoutRecord, withRecord } from './carried.ts';
import { Debts, owedBy } from './debts.ts';
import { DueTimer } from './due_timer.ts';
import { Inbox } from './inbox.ts';
import { interruptible } from './interruptible.ts';
import { Journal } from './journal.ts';
import * as messages from './messages.ts';
import { showAttributes, showDetails, showRefused } from './presentation.ts';
import { type Action, IGNORED, newStanding, Reconciler, URGENCY } from './reconciler.ts';
import { checkId, existing, failure, keptBy, refuseUnfit, stopping, unavailable } from './refusal.ts';
import { type LastAnswer, Transitions, tellIgnored, tellRefused } from './transitions.ts';

/** Age and length at which a run hands over to a fresh one, so that histories, keys and old code die out. */
const RUN_AGE = 90 * DAY;
const RUN_EVENTS = 500;
/** How many more those who asked WeChat Pay may wait for their answer; then a run hands over all the same. */
const PATIENT_EVENTS = 50;
/** How long a caller of `verify` waits for WeChat Pay. */
const VERIFY_PATIENCE = 60_000;
/** How many of them wait at a time: Temporal takes ten updates at once, and half of them are for who has something to say. */
const MOST_CALLERS = 5;
/** How long the record of a stop is tried. */
const STOP_PATIENCE = 30_000;

/**
 * The life of one policy, from issuing to its end: messages and due times change what is desired, the loop brings
 * WeChat Pay to it.
 *
 * What it costs, held by tests: an amendment of a synced policy 19 events: three workflow tasks (9), update accepted and
 * completed (2), verification's cancellation requested and done (2), PATCH scheduled, started, completed (3), search
 * attributes PENDING and SYNCED (2), the next verification scheduled (1). A quiet verification: 0. A call that the
 * server retries: 0 per try. A due time: its timer (2) and the same as an amendment without the update's two.
 *
 * @param record the record as handed in; null for a restart from MongoDB. Illegal: the run fails with the rule.
 */
export async function policyLifecycle(
  record: RecordInput | null,
  options?: messages.StartOptions | null,
): Promise<void> {
  const lifecycle = new Lifecycle();
  lifecycle.listen();
  await lifecycle.begin(record, options ?? {});
  await lifecycle.run();
}

class Lifecycle {
  #reconciler!: Reconciler;
  #inbox = new Inbox();
  #journal = new Journal();
  #debts = new Debts();
  /** The message that came with the start, for who opened the policy. */
  #opener: unknown;
  #digest: string | null = null;
  #lifeId = '';
  #step = 0;
  #host = 0;
  #ready = false;
  /** Why the first act refuses the run; messages that started it are told the same. */
  #refusal: ApplicationFailure | undefined;

  /** Raised by everything that the loop should look at. */
  #wakeups = 0;
  #stopping = false;
  #fresh = false;
  #payloadKey: string | undefined;
  #call: messages.Status['call'] = null;
  /** How often WeChat Pay has told what it holds, or refused to, for those who wait for the next time. */
  #answers = 0;
  /** The code by which the last of these was refused. */
  #refusedQuery: string | undefined;
  #transitions = new Transitions();
  #lastAnswer: LastAnswer = {};
  /** Callers of `verify` who are here; those of them who wait, how many answers there were when the last asked, and since when. */
  #callers = 0;
  #verifiers = 0;
  #askedAt = 0;
  #askedSince = 0;

  readonly #timer = new DueTimer(() => {
    this.#wakeups++;
  });
  #owesRecord = false;
  /** MongoDB may lack WeChat Pay's last answer, too. */
  #owesAnswer = false;
  #recording = false;
  /** The end is being recorded, or has been. */
  #ending = false;

  // ── The first act ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Checks what the run was started with, claims its number, and sets its own search attributes where they lack. */
  async begin(record: RecordInput | null, options: messages.StartOptions): Promise<void> {
    CancellationScope.current().cancelRequested.catch(() => {
      this.#stopping = true;
      this.#wakeups++;
    });
    try {
      refuseUnfit(record);
      refuseUnfit(options);
      if (options.carried !== undefined) this.#carryOn(fromCarried(options.carried));
      else if (options.restore) await this.#restore(options.restore);
      else await this.#open(record, options.digest ?? null);
    } catch (error) {
      // Stopped in its first act: an attempt that fails meanwhile is no fault of the record.
      if (this.#stopping && error instanceof ActivityFailure) throw new CancelledFailure('stopped before it had begun');
      this.#refusal = failure(error);
      tellRefused(this.#refusal.type);
      showRefused();
      // Messages that came with the start are answered with the same refusal before the run ends.
      await condition(allHandlersFinished);
      throw this.#refusal;
    }
    this.#ready = true;
  }

  async #open(input: RecordInput | null, digest: string | null): Promise<void> {
    const record = parsedRecord(input);
    const { workflowId, firstExecutionRunId } = workflowInfo();
    checkId(workflowIdOf(record.mchid, record.policy.out_insurance_no));
    this.#digest = digest;
    this.#lifeId = firstExecutionRunId;
    this.#reconciler = new Reconciler(openedLife(record, Date.now()), newStanding(Date.now()));
    this.#show();
    const claim = records('claim the number');
    const claimed = await claim.claim({ format: FORMAT, snapshot: this.#snapshot() });
    if (claimed.outcome === 'exists') refuse(messages.REFUSALS.exists, `${workflowId} ${keptBy(claimed.namespace)}`);
    if (claimed.outcome === 'ended') refuse(messages.REFUSALS.ended, `${workflowId} has ended: ${claimed.end}`);
    this.#note('open', this.#opener);
  }

  async #restore(from: NonNullable<messages.StartOptions['restore']>): Promise<void> {
    const { mchid, out_insurance_no, by, over } = from;
    const { firstExecutionRunId: life } = workflowInfo();
    checkId(workflowIdOf(mchid, out_insurance_no));
    const which = { mchid, out_insurance_no, life, by, ...(over !== undefined && { over }) };
    const restored = await records('restore the record').restore({ format: FORMAT, ...which });
    if (restored.outcome !== 'restored') {
      const rules = {
        unknown: 'unknown-policy',
        exists: messages.REFUSALS.exists,
        stopped: messages.REFUSALS.stopped,
      } as const;
      const reasons = {
        unknown: 'is not on record; open it',
        exists: keptBy(restored.namespace),
        stopped: 'was stopped; resume it',
      };
      refuse(rules[restored.outcome], `${out_insurance_no} ${reasons[restored.outcome]}`);
    }
    const carried = withRecord(fromCarried(JSON.parse(restored.carried)), restored.record, restored.remote);
    this.#carryOn({ ...carried, life_id: life, step: Math.max(carried.step, restored.step) });
    // Whatever was known is old by now: this life begins with a GET, and nothing in it is taken for ours by chance.
    const standing = this.#reconciler.standing;
    const lagging = restored.end === null;
    Object.assign(standing, { must_query: true, not_before: 0, rounds: 0, revision: restored.revision, lagging });
    this.#note('restored', { by }, this.#reconciler.life);
    this.#show();
  }

  #carryOn(carried: Carried): void {
    // It was opened before: who opens it again is answered, and nothing more.
    this.#opener = {};
    this.#reconciler = new Reconciler(carried.life, carried.standing);
    this.#inbox = new Inbox(carried.received);
    this.#digest = carried.digest;
    this.#lifeId = carried.life_id;
    this.#step = carried.step;
    this.#host = carried.host;
    this.#owesRecord = carried.owes_record;
    this.#owesAnswer = carried.owes_record;
    this.#journal = new Journal(carried.journal);
    this.#debts = new Debts(carried.owed);
    this.#payloadKey = carried.payload_key;
    this.#transitions = new Transitions({ status: this.#status(), outOfStep: carried.out_of_step ?? false });
  }

  // ── Messages ───────────────────────────────────────────────────────────────────────────────────────────────────

  listen(): void {
    setHandler(messages.open, (message) => this.#opened(message), { validator: (message) => this.#checkOpen(message) });
    this.#on(messages.approve, 'approve');
    this.#on(messages.decline, 'decline');
    this.#on(messages.cancel, 'cancel');
    this.#on(messages.withdraw, 'withdraw');
    this.#on(messages.amend, 'amend');
    this.#on(messages.renew, 'renew');
    this.#on(messages.reinstate, 'reinstate');
    // A signal can't be refused: an illegal one is ignored and marked for attention.
    setHandler(messages.cancelSignal, (message) => this.#signalled(message));
    setHandler(messages.accept, (message?: Envelope) => this.#act('accept', message), {
      validator: (message?: Envelope) => this.#checkAccept(message),
    });
    setHandler(messages.resume, (message?: Envelope) => this.#act('resume', message), {
      validator: (message?: Envelope) => this.#checkBare(message),
    });
    setHandler(messages.verify, (message?: Envelope) => this.#verify(message), {
      validator: (message?: Envelope) => this.#checkVerify(message),
    });
    setHandler(messages.status, () => this.#status());
  }

  // biome-ignore lint/suspicious/noExplicitAny: one registration for commands of every shape; obey() checks the shape.
  #on(definition: any, name: CommandName): void {
    setHandler(definition, (message?: Envelope) => this.#obey(name, message), {
      validator: (message?: Envelope) => this.#check(name, message),
    });
  }

  /** Refuses, without a trace in the history, what is illegal now. */
  #check(name: CommandName, message: Envelope | undefined): void {
    this.#refuseNow(message);
    if (!this.#ready || this.#inbox.answerTo(message, 0)) return;
    try {
      const now = Date.now();
      obey(settleDue(this.#reconciler.life, now).life, name, message, now, this.#mayHold);
    } catch (error) {
      throw failure(error);
    }
  }

  readonly #mayHold = (field: string): boolean => this.#reconciler.mayHold(field);

  #checkBare(message: Envelope | undefined): void {
    this.#refuseNow(message);
    try {
      parse(bareSchema, withoutNulls(message ?? {}));
    } catch (error) {
      throw failure(error);
    }
  }

  /** Tried on a copy: what is refused by the handler would be refused under the same id until the run is over. */
  #checkAccept(message: Envelope | undefined): void {
    this.#checkBare(message);
    if (!this.#ready || this.#inbox.answerTo(message, 0)) return;
    const now = Date.now();
    const { life, standing } = this.#reconciler;
    const tried = new Reconciler(life, structuredCloneOf(standing));
    const due = settleDue(life, now);
    if (due.applied.length > 0) tried.change(due.life, URGENCY.due, now);
    try {
      tried.accept(now);
    } catch (error) {
      throw failure(error);
    }
  }

  #checkVerify(message: Envelope | undefined): void {
    this.#checkBare(message);
    if (this.#callers >= MOST_CALLERS)
      throw unavailable(`${this.#callers} others wait for WeChat Pay's answer already: verify again once they have it`);
  }

  #checkOpen(message: { digest: string }): void {
    this.#refuseNow(message);
    try {
      parse(openSchema, withoutNulls(message));
    } catch (error) {
      throw failure(error);
    }
    if (this.#ready && message.digest !== this.#digest) throw existing();
  }

  #refuseNow(message: unknown): void {
    if (this.#refusal) throw this.#refusal;
    if (this.#stopping) throw stopping();
    try {
      refuseUnfit(message);
    } catch (error) {
      throw failure(error);
    }
  }

  async #opened(message: Envelope & { digest: string }): Promise<messages.Answer> {
    this.#opener ??= message;
    if (!this.#ready) await this.#readiness();
    if (message.digest !== this.#digest) throw existing();
    const answer = { revision: 1, outcome: 'accepted' } as const;
    // The same record again is answered the same, whatever version it comes with.
    return this.#opener === message ? this.#inbox.remember(message, answer) : answer;
  }

  async #obey(name: CommandName, message: Envelope | undefined): Promise<messages.Answer> {
    if (!this.#ready) await this.#readiness();
    try {
      return this.#take(name, message);
    } catch (error) {
      throw failure(error);
    }
  }

  /** Check, store, bump the revision, answer: all in one task. */
  #take(name: CommandName, message: Envelope | undefined): messages.Answer {
    const { standing } = this.#reconciler;
    const known = this.#inbox.answerTo(message, standing.revision);
    if (known) return known;
    const now = Date.now();
    this.#settleDue(now);
    const life = obey(this.#reconciler.life, name, message, now, this.#mayHold);
    const outcome = life === this.#reconciler.life ? 'unchanged' : 'accepted';
    if (outcome === 'accepted') {
      const before = this.#reconciler.life;
      this.#reconciler.change(life, URGENCY.user, now);
      this.#note(name, message, before);
      this.#wakeups++;
    }
    return this.#inbox.remember(message, { revision: standing.revision, outcome });
  }

  /** Notes for the history of who did what that a message or a due time was accepted. */
  #note(command: string, message: unknown, before?: Life): void {
    const { life, standing } = this.#reconciler;
    const change = { ...(before && { before }), after: life };
    this.#journal.note(this.#lifeId, { command, message, ...change, revision: standing.revision, at: Date.now() });
  }

  async #signalled(message: Envelope | undefined): Promise<void> {
    if (!this.#ready) await this.#readiness();
    try {
      refuseUnfit(message);
      this.#take('cancel', message);
    } catch (error) {
      if (!(error instanceof RuleViolation)) throw error;
      const { standing, life } = this.#reconciler;
      this.#reconciler.life = marked(life, `${IGNORED}${error.rule}`);
      const refused = { rule: error.rule, revision: standing.revision, at: Date.now() };
      this.#journal.note(this.#lifeId, { command: 'cancel', message, ...refused });
      tellIgnored('cancel', error.rule);
      this.#wakeups++;
    }
  }

  /** `accept` and `resume`. */
  async #act(name: 'accept' | 'resume', message: Envelope | undefined): Promise<messages.Answer> {
    if (!this.#ready) await this.#readiness();
    const { standing } = this.#reconciler;
    const known = this.#inbox.answerTo(message, standing.revision);
    if (known) return known;
    this.#settleDue(Date.now());
    const { life } = this.#reconciler;
    try {
      const outcome = this.#reconciler[name](Date.now()) ? 'accepted' : 'unchanged';
      if (outcome === 'accepted') this.#note(name, message, life);
      this.#wakeups++;
      return this.#inbox.remember(message, { revision: standing.revision, outcome });
    } catch (error) {
      throw failure(error);
    }
  }

  async #verify(message: Envelope | undefined): Promise<messages.Answer & { differences: Difference[] }> {
    this.#callers++;
    try {
      return await this.#asked(message);
    } finally {
      this.#callers--;
    }
  }

  /** A question is not remembered: however often it is asked, no event of a message with an effect is forgotten for it. */
  async #asked(message: Envelope | undefined): Promise<messages.Answer & { differences: Difference[] }> {
    await this.#readiness();
    const known = this.#inbox.answerTo(message, this.#reconciler.standing.revision);
    if (known) return { ...known, differences: this.#differences };
    const before = this.#answers;
    if (!this.#isAsked) this.#askedSince = Date.now();
    this.#verifiers++;
    this.#askedAt = before;
    this.#wakeups++;
    const answered = await condition(() => this.#answers > before || this.#isLong(), VERIFY_PATIENCE);
    this.#verifiers--;
    if (answered && this.#answers === before)
      throw unavailable('the policy goes over into a fresh run of its workflow, its history being long; verify again');
    if (!answered) throw unavailable('WeChat Pay gave no answer within 60 s');
    if (this.#refusedQuery) throw unavailable(`WeChat Pay refuses to tell: ${this.#refusedQuery}`);
    return { revision: this.#reconciler.standing.revision, outcome: 'unchanged', differences: this.#differences };
  }

  /** What WeChat Pay holds otherwise, by its last answer. */
  get #differences(): Difference[] {
    const { standing, held } = this.#reconciler;
    if (standing.absent) return [{ field: 'out_insurance_no', ours: held.out_insurance_no }];
    return differences(held, standing.confirmed ?? {}, standing.unreadable);
  }

  /**
   * Messages that come with the start wait for the first act; later ones wait for nothing. What awaits lets the next
   * message of the same task go first, and two that depend on each other would act in the wrong order.
   */
  async #readiness(): Promise<void> {
    if (!this.#ready) await condition(() => this.#ready || this.#refusal !== undefined);
    if (this.#refusal) throw this.#refusal;
  }

  // ── The loop ───────────────────────────────────────────────────────────────────────────────────────────────────

  async run(): Promise<void> {
    await CancellationScope.nonCancellable(async () => {
      while (!this.#stopping) {
        this.#settleDue(Date.now());
        // Before the end: a record of it that MongoDB does not take must not keep the run from being handed over.
        if (this.#handsOver) await this.#handOver();
        if (this.#stopping) break;
        const ending = await this.#ended();
        // What was shown last is PENDING, for WeChat Pay was asked before the end.
        if (ending === 'recorded') return this.#show();
        // Whatever came instead is looked at first: no call, and no timer, would come back to the end.
        if (ending === 'interrupted') continue;
        this.#timer.keep(this.#nextDue);
        this.#show();
        if (this.#journal.isCrowded && !this.#recording) this.#oweRecord();
        this.#keepRecord();
        await this.#perform(this.#nextAction());
      }
      await this.#stop();
    });
  }

  #nextAction(): Action {
    const next = this.#reconciler.next();
    // One caller after another, none of whom is answered, must not keep a change from leaving.
    const inVain = next.call === 'push' && Date.now() >= this.#askedSince + VERIFY_PATIENCE;
    const not_before = this.#reconciler.standing.stray_until ?? 0;
    return this.#isAsked && !inVain ? { call: 'query', not_before } : next;
  }

  /** Makes the call, until it ends or something else is wanted; then it is cancelled, and its real end awaited. */
  async #perform(action: Action): Promise<void> {
    const seen = this.#wakeups;
    const decided = JSON.stringify(action);
    // Decided anew whenever what it rests on has changed, be it that a caller of `verify` has given up.
    const awaited = (): boolean => this.#isWanted(seen) || JSON.stringify(this.#nextAction()) !== decided;
    if (action.call === 'rest') {
      // No call will bring this standing to MongoDB, so a record of its own does.
      this.#oweRecord();
      this.#keepRecord();
      await condition(awaited);
      return;
    }
    this.#call = action.call;
    this.#reconciler.sending = 'fields' in action ? action.fields : undefined;
    await this.#absorb(
      action,
      interruptible(() => this.#make(action), awaited),
    );
    this.#call = null;
    this.#reconciler.sending = undefined;
  }

  /** Whether the loop should look again: something came since, or made the history so long that a fresh run is due. */
  #isWanted(seen: number): boolean {
    return this.#wakeups !== seen || this.#handsOver;
  }

  #make(action: Exclude<Action, { call: 'rest' }>): Promise<CallResult | VerifyResult> {
    const reconciler = this.#reconciler;
    const { standing, life } = reconciler;
    const snapshot = this.#snapshot();
    const alertAt = action.call === 'verify' ? undefined : reconciler.alertAt;
    const alert_after = alertAt === undefined ? undefined : Math.max(1000, alertAt - Date.now());
    const terms = {
      mchid: life.record.mchid,
      priority: action.call === 'verify' ? URGENCY.verification : this.#urgency(),
      summary: summaryOf(action, standing.revision),
      queuedAtMost: alert_after,
    };
    if (action.call === 'verify')
      return calls(terms).verify({
        format: FORMAT,
        snapshot,
        expected: action.expected,
        expect_absent: action.expect_absent,
        unreadable: standing.unreadable,
        refused: reconciler.verificationRefused,
        age: Date.now() - reconciler.knownSince,
        every: ms(life.record.verification.every),
        ...(reconciler.landsBy !== undefined && { settles_in: Math.max(0, reconciler.landsBy - Date.now()) }),
        payload_key: this.#payloadKey,
      });
    const input: CallInput = {
      format: FORMAT,
      snapshot,
      known: reconciler.personalThere,
      alert_after,
      host: this.#host,
      delay: Math.max(0, (action.call === 'query' ? action : standing).not_before - Date.now()),
    };
    if (action.call === 'query') return calls(terms).query(input);
    return calls(terms)[action.call]({ ...input, fields: action.fields });
  }

  get #isAsked(): boolean {
    return this.#verifiers > 0 && this.#askedAt === this.#answers;
  }

  #urgency(): number {
    return this.#isAsked ? URGENCY.user : this.#reconciler.standing.urgency;
  }

  async #absorb(action: Exclude<Action, { call: 'rest' }>, call: Promise<CallResult | VerifyResult>): Promise<void> {
    const reconciler = this.#reconciler;
    const sent = 'fields' in action ? action.fields : undefined;
    const written = this.#pending;
    try {
      const result = await call;
      this.#lastAnswer = answerIn(result);
      reconciler.sending = undefined;
      const now = Date.now();
      if (result.outcome === 'behind') return this.#takeNumbersAbove(result.ahead);
      if (result.owed) this.#debts.take(result.owed);
      this.#payloadKey ??= result.payload_key;
      if (result.payload_key !== this.#payloadKey) {
        this.#payloadKey = result.payload_key;
        this.#fresh = true;
      }
      if (result.recorded) this.#recorded(written);
      else this.#oweRecord({ answer: true });
      if (result.outcome === 'confirmed') this.#transitions.heal(reconciler.confirm(result, sent, now));
      else if (result.outcome === 'refused') reconciler.refuse(result, sent, now);
      else if (result.outcome === 'unknown') this.#unknown(sent, now, result);
      else if (result.outcome === 'waiting') reconciler.wait(result, now);
      this.#countAnswer(result, sent !== undefined);
      this.#noteConfirmation(result.request_id);
    } catch (error) {
      reconciler.sending = undefined;
      // Cancelled while it waited, so certainly without effect.
      if (isCancellation(error)) return;
      const owed = owedBy(error, workflowInfo().runId);
      if (owed) this.#debts.take(owed);
      if (failureOf(error) === 'queued-too-long') this.#queuedTooLong();
      else this.#unknown(sent, Date.now());
    } finally {
      // A change that came meanwhile may have left nothing to send.
      reconciler.settle();
    }
  }

  /** This run was brought back by a reset of Temporal's: it goes on above the numbers that another has used, and is marked. */
  #takeNumbersAbove({ revision, step }: Behind['ahead']): void {
    const { standing, life } = this.#reconciler;
    // Told by another activity before.
    if (standing.revision > revision) return;
    this.#step = Math.max(this.#step, step);
    this.#journal.restart(workflowInfo().runId);
    this.#reconciler.behind(revision, Date.now());
    this.#note('reset', undefined, life);
    this.#oweRecord();
    this.#wakeups++;
  }

  /** No call brings what was accepted to MongoDB while nobody takes one, so a record of its own does. */
  #queuedTooLong(): void {
    this.#lastAnswer = { code: 'queued-too-long' };
    this.#reconciler.alert();
    this.#oweRecord();
  }

  /** A refused PATCH tells nothing of what WeChat Pay holds; that it knows no such policy, a GET does. */
  #countAnswer(result: CallResult | VerifyResult, write: boolean): void {
    if (result.outcome !== 'confirmed' && (result.outcome !== 'refused' || write)) return;
    this.#answers++;
    this.#refusedQuery = result.outcome === 'refused' && result.status !== 404 ? result.code : undefined;
  }

  #unknown(sent: CallInput['fields'], now: number, answer?: Unknown): void {
    this.#host++;
    if (sent) this.#reconciler.unknown(sent, now, answer);
  }

  /** Applies what is due by now. What changes only what people should look at is no change of the record. */
  #settleDue(now: number): void {
    const reconciler = this.#reconciler;
    const { life, applied } = settleDue(reconciler.life, now);
    if (applied.length === 0) return;
    const changes = applied.some(({ what }) => !what.startsWith('issuing-'));
    let before = reconciler.life;
    if (changes) reconciler.change(life, URGENCY.due, now);
    else reconciler.life = life;
    const { revision } = reconciler.standing;
    for (const due of applied) {
      const after = afterDue(before, due);
      this.#journal.note(this.#lifeId, { command: `due:${due.what}`, before, after, revision, at: due.at });
      before = after;
    }
  }

  // ── Due times ──────────────────────────────────────────────────────────────────────────────────────────────────

  get #nextDue(): { what: string; at: number } {
    const fresh = { what: 'fresh-run', at: workflowInfo().runStartTime.getTime() + RUN_AGE };
    // An end that is past and does not come waits for a person, not for a time.
    const { life, sync } = this.#reconciler;
    const overdue = sync === 'BLOCKED' || sync === 'DIVERGED' ? Date.now() : 0;
    const due = dueTimes(life).find(({ what, at }) => what !== 'end' || at > overdue);
    return due && due.at <= fresh.at ? due : fresh;
  }

  /** What comes next of itself, as people are told; nothing where the life is over. */
  get #next(): messages.Status['next'] {
    if (this.#ending || this.#stopping) return null;
    const { what, at } = this.#nextDue;
    return { what: what as NonNullable<messages.Status['next']>['what'], at: new Date(at).toISOString() };
  }

  /** Records the end of a life that is over, once WeChat Pay was asked last and holds it. */
  async #ended(): Promise<'recorded' | 'interrupted' | 'not-yet'> {
    if (this.#isAsked) return 'not-yet';
    const reconciler = this.#reconciler;
    const now = Date.now();
    const declined = reconciler.held.policy_state === DECLINED;
    const due = dueTimes(reconciler.life)[0];
    const endAt = declined ? 0 : due?.what === 'end' ? due.at : Number.POSITIVE_INFINITY;
    // An attempt that may still land must not do so after the end, when nobody looks any more.
    if (endAt > now || reconciler.sync !== 'SYNCED' || reconciler.landsBy !== undefined) return 'not-yet';
    const { got_at } = reconciler.standing;
    if (got_at === 0 || got_at < endAt) {
      reconciler.standing.must_query = true;
      return 'not-yet';
    }
    const seen = this.#wakeups;
    this.#ending = true;
    const recorded = await this.#record(declined ? 'DECLINED' : 'INACTIVE', seen);
    this.#ending = recorded && this.#wakeups === seen;
    return this.#ending ? 'recorded' : 'interrupted';
  }

  /** Writes the end, unless a message comes first. */
  async #record(end: 'DECLINED' | 'INACTIVE', seen: number): Promise<boolean> {
    const input = { format: FORMAT, snapshot: this.#snapshot(), end } as const;
    try {
      const told = await interruptible(
        () => records(`record the end: ${end}`).record(input),
        () => this.#isWanted(seen),
      );
      return this.#isTaken(told, input.snapshot);
    } catch (error) {
      // An attempt that fails after it was to be cancelled is not tried again, and fails with its own failure.
      if (!isCancellation(error)) failureOf(error);
      return false;
    }
  }

  /**
   * A fresh run is to take over now. Those who asked WeChat Pay are answered first, as a run ends only once nobody waits for
   * it; but who asks without end, and gets no answer, must not keep the run for ever.
   */
  get #handsOver(): boolean {
    return this.#freshRunDue() && (!this.#isAsked || this.#isLong());
  }

  #freshRunDue(): boolean {
    const { continueAsNewSuggested, runStartTime } = workflowInfo();
    if (this.#isLong(0) || continueAsNewSuggested || this.#fresh) return true;
    return Date.now() >= runStartTime.getTime() + RUN_AGE;
  }

  #isLong(patience: number = PATIENT_EVENTS): boolean {
    return workflowInfo().historyLength >= RUN_EVENTS + patience;
  }

  /** Goes over into a fresh run, unless this one is being stopped. */
  async #handOver(): Promise<void> {
    await condition(allHandlersFinished);
    if (this.#stopping) return;
    this.#timer.cancel();
    const continueAsNew = makeContinueAsNewFunc<messages.PolicyLifecycle>({ workflowType: messages.WORKFLOW_TYPE });
    await continueAsNew(null, { carried: this.#carried() });
  }

  /** The button in the UI: stop syncing. What runs has finished by now; the stop is recorded, and the run ends. */
  async #stop(): Promise<never> {
    this.#show();
    try {
      // A signal that comes meanwhile is accepted as ever: the record that a resume goes on from must have it.
      for (let seen = -1; seen !== this.#wakeups; ) {
        seen = this.#wakeups;
        const snapshot = { ...this.#snapshot(), sync: 'STOPPED' };
        const told = await records('record the stop', STOP_PATIENCE).record({
          format: FORMAT,
          snapshot,
          end: 'STOPPED',
        });
        this.#isTaken(told, snapshot);
      }
    } catch (error) {
      // MongoDB is away: the run ends as cancelled all the same, and that is what an audit goes by.
      failureOf(error);
    }
    throw new CancelledFailure('stopped: this policy is no longer synced; resume starts it again');
  }

  // ── What is written and shown ──────────────────────────────────────────────────────────────────────────────────

  #oweRecord({ answer = false } = {}): void {
    this.#owesRecord = true;
    this.#owesAnswer ||= answer;
  }

  /** What MongoDB has not got yet, as far as is known. */
  get #pending(): Pick<Snapshot, 'commands' | 'confirmation' | 'discrepancies' | 'owed' | 'answer'> {
    const { confirmed, confirmed_at, ...standing } = this.#reconciler.standing;
    const discrepancies = structuredCloneOf(standing.discrepancies);
    // In every snapshot until one is known to be written: of two that are under way the newer may be the only one taken.
    const answer = this.#owesAnswer && confirmed ? { policy: confirmed, at: confirmed_at } : undefined;
    return { ...this.#journal.pending, discrepancies, owed: this.#debts.owed, ...(answer && { answer }) };
  }

  /** Whether MongoDB took the snapshot; it has what was pending then. */
  #isTaken(told: Awaited<ReturnType<RecordActivities['record']>>, snapshot: Snapshot): boolean {
    if ('outcome' in told) this.#takeNumbersAbove(told.ahead);
    else this.#recorded(snapshot);
    return !('outcome' in told);
  }

  /** MongoDB has what was pending then. */
  #recorded(written: Partial<Snapshot>): void {
    this.#reconciler.recorded(written.discrepancies ?? []);
    this.#journal.recorded(written);
    this.#debts.settle(written.owed);
    if (written.answer?.at === this.#reconciler.standing.confirmed_at) this.#owesAnswer = false;
  }

  #noteConfirmation(request_id?: string): void {
    const { synced_revision } = this.#reconciler.standing;
    if (synced_revision > 0) this.#journal.confirmed(synced_revision, Date.now(), request_id);
  }

  /** Brings the owed record to MongoDB without holding the loop; one write at a time, each of the latest. */
  #keepRecord(): void {
    // A record beside that of an end or a stop would be the newer one, and know of neither.
    if (!this.#owesRecord || this.#recording || this.#ending || this.#stopping) return;
    this.#recording = true;
    this.#owesRecord = false;
    const snapshot = this.#snapshot();
    records('record what MongoDB missed')
      .record({ format: FORMAT, snapshot })
      .then((told) => {
        if (this.#isTaken(told, snapshot) && !('outcome' in told)) this.#payloadKey ??= told.payload_key;
      })
      .finally(() => {
        this.#recording = false;
        this.#keepRecord();
      });
  }

  #carried(): Carried {
    return toCarried({
      life: this.#reconciler.life,
      standing: this.#reconciler.standing,
      received: this.#inbox.received,
      digest: this.#digest,
      life_id: this.#lifeId,
      step: this.#step,
      host: this.#host,
      owes_record: this.#owesRecord || this.#recording,
      journal: this.#journal.state,
      owed: this.#debts.owed,
      ...(this.#payloadKey !== undefined && { payload_key: this.#payloadKey }),
      ...(this.#transitions.outOfStep && { out_of_step: true }),
    });
  }

  /** What MongoDB should hold now, one step further. An activity writes twice: what it is about to do, and what came of it. */
  #snapshot(): Snapshot {
    this.#step += 2;
    // A change that WeChat Pay holds already is confirmed without a call.
    this.#noteConfirmation();
    const { life, standing, sync } = this.#reconciler;
    const { out_insurance_no } = life.record.policy;
    return {
      mchid: life.record.mchid,
      out_insurance_no,
      life: this.#lifeId,
      record: life.record,
      sync,
      revision: standing.revision,
      synced_revision: standing.synced_revision,
      step: this.#step,
      block: standing.block,
      attention: life.attention,
      due: this.#nextDue,
      version: this.#inbox.received.version,
      digest: this.#digest,
      window: life.window,
      cancellation: life.cancellation ?? null,
      opened_at: life.opened_at,
      carried: JSON.stringify(withoutRecord(this.#carried())),
      ...this.#pending,
    };
  }

  #show(): void {
    const status = this.#status();
    showAttributes(this.#reconciler.life, status.mchid, status.sync);
    showDetails(status);
    this.#transitions.look(status, this.#lastAnswer);
  }

  #status(): messages.Status {
    if (!this.#reconciler) throw ApplicationFailure.nonRetryable('the policy has not begun yet', 'not-ready');
    const { life, standing, sync, diverged } = this.#reconciler;
    const { policy, mchid } = life.record;
    return {
      mchid,
      out_insurance_no: policy.out_insurance_no,
      state: shortState(policy.policy_state),
      sync: this.#stopping ? 'STOPPED' : sync,
      revision: standing.revision,
      synced_revision: standing.synced_revision,
      next: this.#next,
      block: standing.block,
      unverified: standing.unverified ?? null,
      diverged: this.#reconciler.isMissed ? ['out_insurance_no'] : diverged,
      attention: life.attention,
      cancellation: life.cancellation
        ? { cause: life.cancellation.cause, at: new Date(life.cancellation.at).toISOString() }
        : null,
      window: life.window,
      call: this.#call,
      under_way: !['verify', 'rest'].includes(this.#nextAction().call),
    };
  }
}

function answerIn(result: CallResult | VerifyResult): LastAnswer {
  const { request_id } = result;
  return 'code' in result
    ? { code: result.code, request_id, ...('attempts' in result && { attempts: result.attempts }) }
    : { request_id };
}

function summaryOf(action: Exclude<Action, { call: 'rest' }>, revision: number): string {
  const what = 'fields' in action && action.call === 'push' ? `PATCH ${Object.keys(action.fields).join(', ')}` : '';
  return `${what || { query: 'GET', upload: 'POST', verify: 'verify', push: 'PATCH' }[action.call]} (revision ${revision})`;
}

function structuredCloneOf<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
