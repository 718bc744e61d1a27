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
} from './attempt.ts';
import { checkFormat, later } from './failure.ts';
import type { CallActivities, CallInput, CallResult } from './inputs.ts';
import { Verifications } from './verification.ts';

/**
 * The calls of one merchant. One attempt makes one HTTP request at most, so that the rate at which the server hands
 * out attempts is the true rate. An attempt fails, to be retried by the server, only when it certainly had no effect.
 */
export function callActivities(settings: CallSettings): CallActivities {
  const verifications = new Verifications(settings);
  return {
    query: async (input) => {
      checkFormat(input.format);
      if (activityInfo().attempt === 1 && input.delay) throw later('waiting', 'not yet due', input.delay);
      return concluded(settings, input, {
        method: 'GET',
        send: (client, number, call) => client.queryPolicy(number, call),
      });
    },
    push: async (input) => {
      checkFormat(input.format);
      return concluded(settings, input, {
        method: 'PATCH',
        send: (client, number, call) => client.updatePolicy(number, input.fields ?? {}, call),
      });
    },
    upload: async (input) => {
      checkFormat(input.format);
      return concluded(settings, input, {
        method: 'POST',
        send: (client, out_insurance_no, call) => client.uploadPolicy({ ...input.fields, out_insurance_no }, call),
      });
    },
    verify: (input) => verifications.verify(input),
  };
}

/** One attempt, at the host whose turn it is; what it came to, or a failure that the server retries. */
async function concluded(
  settings: CallSettings,
  input: CallInput,
  request: Omit<Request, 'host'>,
): Promise<CallResult> {
  const host = input.host + activityInfo().attempt - 1;
  const attempted = await attempt(settings, input.snapshot, { ...request, host, known: input.known });
  const result = proven(settings, attempted);
  if (result) return result;
  const { error } = attempted;
  // A query has no effect, whatever became of it.
  const harmless = request.method === 'GET' || error instanceof NoEffectError || error instanceof MerchantFaultError;
  if (harmless) return waiting(settings, attempted, input.alert_after);
  return { outcome: 'unknown', code: codeOf(error), status: error?.status, ...facts(settings, attempted) };
}

/** Has the server try again; once the wait has been long enough, tells the workflow of it. */
function waiting(settings: CallSettings, attempted: Attempted, alertAfter = Number.POSITIVE_INFINITY): CallResult {
  const left = alertAfter - waited();
  if (left > 0) throw again(attempted, left);
  return { outcome: 'waiting', code: codeOf(attempted.error), ...facts(settings, attempted) };
}
