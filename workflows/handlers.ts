import { setHandler } from '@temporalio/workflow';
import { bareSchema, type CommandName, type Envelope, obey, openSchema } from '../policy/commands.ts';
import { type Difference, differences } from '../policy/difference.ts';
import { marked, settleDue } from '../policy/life.ts';
import { withoutNulls } from '../policy/record.ts';
import { parse, RuleViolation, refuse } from '../policy/violation.ts';
import { applyDue } from './due.ts';
import { InOrder } from './in_order.ts';
import * as messages from './messages.ts';
import type { Parts } from './parts.ts';
import { plainCopy } from './plain_copy.ts';
import { accept } from './reconciler/accept.ts';
import { change, IGNORED, resume } from './reconciler/desired.ts';
import { Position } from './reconciler/position.ts';
import { URGENCY } from './reconciler/standing.ts';
import { existing, failure, refuseUnfit, stopping } from './refusal.ts';
import { statusOf } from './status.ts';
import { tellIgnored } from './transitions.ts';

type Decision = 'accept' | 'resume';

/** Registers a handler for each message, and a validator that refuses, without a trace in the history, what is illegal now. */
export function listen(parts: Parts): void {
  const inOrder = new InOrder();
  const { run } = parts;
  const update = <M, A>(handler: (message: M) => Promise<A>) =>
    inOrder.update((message: M) => {
      run.heard();
      return handler(message);
    });
  const opening = update((message: Envelope & { digest: string }) => opened(parts, message));
  setHandler(messages.open, opening, { validator: (message) => checkOpen(parts, message) });
  const commands = {
    approve: messages.approve,
    decline: messages.decline,
    cancel: messages.cancel,
    withdraw: messages.withdraw,
    amend: messages.amend,
    renew: messages.renew,
    reinstate: messages.reinstate,
    hold: messages.hold,
    unhold: messages.unhold,
    observe: messages.observe,
  };
  for (const [name, definition] of Object.entries(commands) as [CommandName, typeof messages.withdraw][])
    setHandler(
      definition,
      update((message?: Envelope) => obeyed(parts, name, message)),
      { validator: (message?: Envelope) => check(parts, name, message) },
    );
  // A signal can't be refused: an illegal one is ignored and marked for attention.
  setHandler(
    messages.cancelSignal,
    inOrder.signal((message) => {
      run.heard();
      return signalled(parts, message);
    }),
  );
  const decisions = {
    accept: { definition: messages.accept, validator: (message?: Envelope) => checkAccept(parts, message) },
    resume: { definition: messages.resume, validator: (message?: Envelope) => checkBare(parts, message) },
  };
  for (const [name, { definition, validator }] of Object.entries(decisions) as [Decision, typeof decisions.accept][])
    setHandler(
      definition,
      update((message?: Envelope) => decided(parts, name, message)),
      { validator },
    );
  // Counted as it comes: the validator of the next reads the count in the same task.
  const verifying = update((message?: Envelope) => verified(parts, message));
  setHandler(messages.verify, (message?: Envelope) => parts.asked.during(() => verifying(message)), {
    validator: (message?: Envelope) => checkVerify(parts, message),
  });
  setHandler(messages.status, () => statusOf(parts));
}

// ── Validators: they change nothing ──────────────────────────────────────────────────────────────────────────────

function check(parts: Parts, name: CommandName, message: Envelope | undefined): void {
  refuseNow(parts, message);
  if (!parts.run.ready || parts.inbox.answerTo(message, 0)) return;
  const { position } = parts;
  const now = Date.now();
  byRule(() => obey(settleDue(position.life, now).life, name, message, now, (field) => position.mayHold(field)));
}

function checkBare(parts: Parts, message: Envelope | undefined): void {
  refuseNow(parts, message);
  byRule(() => parse(bareSchema, withoutNulls(message ?? {})));
}

/** Tried on a copy: what is refused by the handler would be refused under the same id until the run is over. */
function checkAccept(parts: Parts, message: Envelope | undefined): void {
  checkBare(parts, message);
  if (!parts.run.ready || parts.inbox.answerTo(message, 0)) return;
  const now = Date.now();
  const { life, standing } = parts.position;
  const tried = new Position(life, plainCopy(standing));
  const due = settleDue(life, now);
  if (due.applied.length > 0) change(tried, due.life, URGENCY.due, now);
  byRule(() => accept(tried, now));
}

function checkVerify(parts: Parts, message: Envelope | undefined): void {
  checkBare(parts, message);
  byRule(() => refuseOnHold(parts));
  parts.asked.refuseMore();
}

function refuseOnHold(parts: Parts): void {
  if (parts.run.ready && parts.position.life.hold)
    refuse('held', 'verify: the policy is on hold, and nothing is sent; unhold it first');
}

function checkOpen(parts: Parts, message: { digest: string }): void {
  refuseNow(parts, message);
  byRule(() => parse(openSchema, withoutNulls(message)));
  if (parts.run.ready && message.digest !== parts.digest) throw existing();
}

function refuseNow({ run }: Parts, message: unknown): void {
  if (run.refusal) throw run.refusal;
  if (run.stopping) throw stopping();
  byRule(() => refuseUnfit(message));
}

/** A rule that is broken refuses the update by its name. Whatever else a handler throws fails the workflow task, which is tried again. */
function byRule<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw failure(error);
  }
}

// ── Handlers: after the first act each acts in the task in which its message came; `verify` waits for an answer ──

async function opened(parts: Parts, message: Envelope & { digest: string }): Promise<messages.Answer> {
  parts.opener ??= message;
  if (!parts.run.ready) await parts.run.readiness();
  if (message.digest !== parts.digest) throw existing();
  const answer = { revision: 1, outcome: 'accepted' } as const;
  // The same record again is answered the same, whatever version it comes with.
  return parts.opener === message ? parts.inbox.remember(message, answer) : answer;
}

async function obeyed(parts: Parts, name: CommandName, message: Envelope | undefined): Promise<messages.Answer> {
  if (!parts.run.ready) await parts.run.readiness();
  return byRule(() => take(parts, name, message));
}

/** Check, store, bump the revision, answer: all in one task. */
function take(parts: Parts, name: CommandName, message: Envelope | undefined): messages.Answer {
  const { position, inbox, outbox, run } = parts;
  const { standing } = position;
  const known = inbox.answerTo(message, standing.revision);
  if (known) return known;
  const now = Date.now();
  applyDue(parts, now);
  const before = position.life;
  const life = obey(before, name, message, now, (field) => position.mayHold(field));
  const outcome = life === before ? 'unchanged' : 'accepted';
  if (outcome === 'accepted') {
    change(position, life, URGENCY.user, now);
    outbox.note(position, name, message, before);
    run.wake();
  }
  return inbox.remember(message, { revision: standing.revision, outcome });
}

async function signalled(parts: Parts, message: Envelope | undefined): Promise<void> {
  const { run } = parts;
  if (!run.ready) await run.readiness();
  try {
    refuseUnfit(message);
    take(parts, 'cancel', message);
  } catch (error) {
    if (!(error instanceof RuleViolation)) throw error;
    ignored(parts, message, error.rule);
  }
}

function ignored({ position, outbox, run }: Parts, message: Envelope | undefined, rule: string): void {
  position.life = marked(position.life, `${IGNORED}${rule}`);
  const refused = { rule, revision: position.standing.revision, at: Date.now() };
  outbox.journal.note(outbox.lifeId, { command: 'cancel', message, ...refused });
  tellIgnored('cancel', rule);
  run.wake();
}

/** `accept` and `resume`: what a person decides. */
async function decided(parts: Parts, name: Decision, message: Envelope | undefined): Promise<messages.Answer> {
  const { run } = parts;
  if (!run.ready) await run.readiness();
  const { position, inbox, outbox } = parts;
  const { standing } = position;
  const known = inbox.answerTo(message, standing.revision);
  if (known) return known;
  applyDue(parts, Date.now());
  const { life } = position;
  return byRule(() => {
    const outcome = { accept, resume }[name](position, Date.now()) ? 'accepted' : 'unchanged';
    if (outcome === 'accepted') outbox.note(position, name, message, life);
    run.wake();
    return inbox.remember(message, { revision: standing.revision, outcome });
  });
}

/** A question is not remembered: however often it is asked, no event of a message with an effect is forgotten for it. */
async function verified(
  parts: Parts,
  message: Envelope | undefined,
): Promise<messages.Answer & { differences: Difference[] }> {
  await parts.run.readiness();
  const { position, inbox, asked, run } = parts;
  const known = inbox.answerTo(message, position.standing.revision);
  if (known) return { ...known, differences: differencesNow(position) };
  await asked.answer(() => run.wake());
  return { revision: position.standing.revision, outcome: 'unchanged', differences: differencesNow(position) };
}

/** What WeChat Pay holds otherwise, by its last answer. */
function differencesNow({ standing, held }: Position): Difference[] {
  if (standing.absent) return [{ field: 'out_insurance_no', ours: held.out_insurance_no }];
  return differences(held, standing.confirmed ?? {}, standing.unreadable);
}
