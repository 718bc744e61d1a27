import { activityInfo } from '@temporalio/activity';
import { MerchantFaultError, NoEffectError } from '../wechatpay/errors.ts';
import {
  type Attempted,
  again,
  attempt,
  type CallSettings,
  codeOf,
  facts,
  proven,
  type Request,
  waited,
  waitOf,
} from './attempt.ts';
import { checkFormat, later } from './failure.ts';
import { expectOwnRun, orBehind, recordSnapshot, tellsEvents } from './recording.ts';
import type { CallActivities } from './types/activities.ts';
import type { CallInput } from './types/inputs.ts';
import type { CallResult, Waiting } from './types/results.ts';
import { Verifications } from './verification.ts';

/**
 * The calls of one merchant. One attempt makes one HTTP request at most, so that the rate at which the server hands
 * out attempts is the true rate. An attempt fails, to be retried by the server, only when it certainly had no effect.
 */
export function callActivities(settings: CallSettings): CallActivities {
  const verifications = new Verifications(settings);
  const told: CallActivities = {
    query: (input) =>
      concluded(settings, input, {
        method: 'GET',
        send: (client, number, call) => client.queryPolicy(number, call),
      }),
    push: (input) =>
      concluded(settings, input, {
        method: 'PATCH',
        send: (client, number, call) => client.updatePolicy(number, input.fields ?? {}, call),
      }),
    upload: (input) =>
      concluded(settings, input, {
        method: 'POST',
        send: (client, out_insurance_no, call) => client.uploadPolicy({ ...input.fields, out_insurance_no }, call),
      }),
    verify: (input) => verifications.verify(input),
  };
  return {
    query: (input) => orBehind(() => told.query(input)),
    push: (input) => orBehind(() => told.push(input)),
    upload: (input) => orBehind(() => told.upload(input)),
    verify: (input) => orBehind(() => told.verify(input)),
  };
}

/** One attempt, at the host whose turn it is; what it came to, or a failure that the server retries. */
async function concluded(
  settings: CallSettings,
  input: CallInput,
  request: Omit<Request, 'host'>,
): Promise<CallResult> {
  checkFormat(input.format);
  await expectOwnRun(settings, input.snapshot);
  const early = await notYetDue(settings, input);
  if (early) return early;
  const host = input.host + activityInfo().attempt - 1;
  const attempted = await attempt(settings, input.snapshot, { ...request, host, known: input.known });
  const result = proven(settings, attempted);
  if (result) return result;
  const { error } = attempted;
  // A query has no effect, whatever became of it.
  const harmless = request.method === 'GET' || error instanceof NoEffectError || error instanceof MerchantFaultError;
  if (harmless) return waiting(settings, attempted, input.alert_after);
  const { status, message } = error ?? {};
  const said = status !== undefined && status < 500 ? { message } : {};
  return { outcome: 'unknown', code: codeOf(error), status, ...said, ...facts(settings, attempted) };
}

/**
 * Before `delay` is over nothing is sent, and the server tries again at its end. Where the workflow wants to be told before
 * that, it is, with what is left.
 */
async function notYetDue(
  settings: CallSettings,
  { snapshot, delay = 0, alert_after = Number.POSITIVE_INFINITY }: CallInput,
): Promise<Waiting | undefined> {
  const spent = waited();
  if (spent >= delay) return undefined;
  if (spent < alert_after) throw later('waiting', 'not yet due', Math.min(delay, alert_after) - spent);
  const recorded = await recordSnapshot(settings, snapshot);
  return { outcome: 'waiting', code: 'waiting', wait: delay - spent, recorded, ...tellsEvents(settings) };
}

/**
 * Has the server try again. The workflow is told once the wait has been long enough, and when `Retry-After` asks for one
 * so long that it could not be told in time.
 */
function waiting(settings: CallSettings, attempted: Attempted, alertAfter = Number.POSITIVE_INFINITY): Waiting {
  const left = alertAfter - waited();
  const wait = waitOf(attempted);
  const asked = attempted.error?.retry_after_ms ?? 0;
  if (left > 0 && asked <= left) throw again(attempted, Math.min(wait, left));
  const told = { code: codeOf(attempted.error), attempts: activityInfo().attempt, wait, ...facts(settings, attempted) };
  return { outcome: 'waiting', ...told, ...(left > 0 && { early: true }) };
}
