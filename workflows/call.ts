import { condition, isCancellation, workflowInfo } from '@temporalio/workflow';
import { type CallInput, FORMAT } from '../activities/types/inputs.ts';
import type { CallResult, VerifyResult } from '../activities/types/results.ts';
import { ms } from '../policy/duration.ts';
import type { PolicyFields } from '../policy/record.ts';
import { calls, failureOf } from './calls.ts';
import { owedBy } from './debts.ts';
import { interruptible } from './interruptible.ts';
import type { Parts } from './parts.ts';
import { takeAnswer, takeRefusal, takeUnknown, takeWait } from './reconciler/answers.ts';
import type { Action } from './reconciler/position.ts';
import { alert, settle } from './reconciler/settled.ts';
import { URGENCY } from './reconciler/standing.ts';
import { keepRecord, takeNumbersAbove } from './recording.ts';
import { nextSnapshot } from './snapshot.ts';
import { tell } from './telling.ts';
import type { LastAnswer } from './transitions.ts';

type Call = Exclude<Action, { call: 'rest' }>;
type Result = CallResult | VerifyResult;

/** The next call: what the policy needs, or a GET for those who asked. */
export function nextAction({ position, asked }: Parts): Action {
  const next = position.next();
  if (position.life.hold) return next;
  const goesFirst = (next.call === 'push' || next.call === 'upload') && asked.isBehind;
  return asked.isWaited && !goesFirst ? { call: 'query', not_before: position.standing.stray_until ?? 0 } : next;
}

/** Makes the next call, until it ends or something else is wanted; then it is cancelled, and its real end awaited. */
export async function performNext(parts: Parts): Promise<void> {
  const { position, run, outbox } = parts;
  const action = nextAction(parts);
  const seen = run.wakeups;
  const decided = JSON.stringify(action);
  // Decided anew whenever what it rests on has changed, be it that a caller of `verify` has given up. Never by time or length: `Run.heard`.
  const awaited = (): boolean => run.wakeups !== seen || JSON.stringify(nextAction(parts)) !== decided;
  if (action.call === 'rest') {
    // No call will bring this standing to MongoDB, so a record of its own does.
    outbox.owe();
    keepRecord(parts);
    await condition(awaited);
    return;
  }
  parts.calls.current = action.call;
  position.sending = 'fields' in action ? action.fields : undefined;
  position.hurried = false;
  await absorb(
    parts,
    position.sending,
    interruptible(() => make(parts, action), awaited),
  );
  parts.calls.current = null;
  position.sending = undefined;
}

function make(parts: Parts, action: Call): Promise<Result> {
  const { position, asked } = parts;
  const { standing, life } = position;
  const snapshot = nextSnapshot(parts);
  const alertAt = action.call === 'verify' ? undefined : position.alertAt;
  const alert_after = alertAt === undefined ? undefined : Math.max(1000, alertAt - Date.now());
  const urgency = asked.isWaited ? URGENCY.user : standing.urgency;
  const terms = {
    mchid: life.record.mchid,
    priority: action.call === 'verify' ? URGENCY.verification : urgency,
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
      refused: position.verificationRefused,
      age: Date.now() - position.knownSince,
      every: ms(life.record.verification.every),
      ...(position.landsBy !== undefined && { settles_in: Math.max(0, position.landsBy - Date.now()) }),
      payload_key: parts.calls.payloadKey,
    });
  const input: CallInput = {
    format: FORMAT,
    snapshot,
    known: position.personalThere,
    alert_after,
    host: parts.calls.host,
    delay: Math.max(0, (action.call === 'query' ? action : standing).not_before - Date.now()),
  };
  if (action.call === 'query') return calls(terms).query(input);
  return calls(terms)[action.call]({ ...input, fields: action.fields });
}

/** Takes in how a call ended; `sent` is what a PATCH or an upload carries. */
async function absorb(parts: Parts, sent: PolicyFields | undefined, call: Promise<Result>): Promise<void> {
  const { position, outbox } = parts;
  const written = outbox.pending(position);
  try {
    const result = await call;
    parts.calls.last = answerIn(result);
    position.sending = undefined;
    if (result.outcome === 'behind') return takeNumbersAbove(parts, result);
    if (result.owed) outbox.debts.take(result.owed);
    notePayloadKey(parts, result.payload_key);
    if (result.recorded) outbox.recorded(position, written, result);
    else outbox.owe({ answer: true });
    takeResult(parts, result, sent);
    if (sent) parts.asked.wrote();
    parts.asked.count(result, sent !== undefined);
    outbox.noteConfirmation(position, result.request_id);
  } catch (error) {
    position.sending = undefined;
    // Cancelled while it waited, so certainly without effect.
    if (isCancellation(error)) return;
    if (sent) parts.asked.wrote();
    const owed = owedBy(error, workflowInfo().runId);
    if (owed) outbox.debts.take(owed);
    if (failureOf(error) === 'queued-too-long') queuedTooLong(parts);
    else unknown(parts, sent);
  } finally {
    // A change that came meanwhile may have left nothing to send.
    settle(position);
  }
}

function takeResult(
  parts: Parts,
  result: Exclude<Result, { outcome: 'behind' }>,
  sent: PolicyFields | undefined,
): void {
  const { position, transitions } = parts;
  const now = Date.now();
  if (result.outcome === 'confirmed') {
    const healed = takeAnswer(position, result, sent, now);
    transitions.heal(healed);
    if (healed.length > 0) tell(parts, 'policy.healed', { fields: healed });
  } else if (result.outcome === 'refused') takeRefusal(position, result, sent, now);
  else if (result.outcome === 'unknown') unknown(parts, sent, result);
  else if (result.outcome === 'waiting') takeWait(position, result, now);
}

/** Another payload key than the run's: a fresh run is to seal all anew. */
function notePayloadKey({ calls }: Parts, payloadKey: string | undefined): void {
  calls.payloadKey ??= payloadKey;
  if (payloadKey === calls.payloadKey) return;
  calls.payloadKey = payloadKey;
  calls.keyChanged = true;
}

/** No call brings what was accepted to MongoDB while nobody takes one, so a record of its own does. */
function queuedTooLong({ position, outbox, calls }: Parts): void {
  calls.last = { code: 'queued-too-long' };
  alert(position);
  outbox.owe();
}

function unknown(
  { position, calls }: Parts,
  sent: PolicyFields | undefined,
  answer?: Parameters<typeof takeUnknown>[3],
): void {
  calls.host++;
  if (sent) takeUnknown(position, sent, Date.now(), answer);
}

function answerIn(result: Result): LastAnswer {
  const { request_id } = result;
  return 'code' in result
    ? { code: result.code, request_id, ...('attempts' in result && { attempts: result.attempts }) }
    : { request_id };
}

function summaryOf(action: Call, revision: number): string {
  const what = 'fields' in action && action.call === 'push' ? `PATCH ${Object.keys(action.fields).join(', ')}` : '';
  return `${what || { query: 'GET', upload: 'POST', verify: 'verify', push: 'PATCH' }[action.call]} (revision ${revision})`;
}
