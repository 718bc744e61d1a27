import type { FastifyRequest } from 'fastify';
import { NotSynced, PolicyRefused } from '../client/errors.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import type { PolicyId } from '../client/start_operation.ts';
import { waitSynced } from '../client/wait.ts';
import type { Envelope } from '../policy/envelope.ts';
import { isRecord, kindOf } from '../policy/kind.ts';
import { whoAsks } from './access.ts';
import { Problem } from './problems.ts';

const LONGEST_BY = 200;

/** A body is an object. @throws {PolicyRefused} */
export function objectIn(body: unknown): Record<string, unknown> {
  if (isRecord(body)) return body;
  const message = `body: expected an object, found ${kindOf(body)}`;
  throw new PolicyRefused('type', message, [{ field: '', rule: 'type', message }]);
}

/** A message with what the request says besides: its id by `Idempotency-Key`, and who asks by the token. */
export function enveloped<Message extends Envelope>(
  request: FastifyRequest,
  message: Message = (request.body ?? {}) as Message,
): Message {
  const key = request.headers['idempotency-key'];
  const { event_id, by } = message;
  if (key !== undefined && event_id !== undefined && event_id !== null && event_id !== key)
    throw new Problem('idempotency-key', 'expected the Idempotency-Key to be event_id, found two ids');
  const who = whoBy(whoAsks(request).name, by);
  return { ...message, ...(key !== undefined && { event_id: key }), ...(who !== undefined && { by: who }) };
}

/** The token's name, and whom its owner names besides. */
function whoBy(name: string | undefined, by: unknown): string | undefined {
  // What is no text, or too long a one, is refused as it is.
  if (name === undefined || (by !== undefined && by !== null && typeof by !== 'string'))
    return by as string | undefined;
  if (!by) return name;
  const length = [...by].length;
  return length > LONGEST_BY ? by : [...`${name}: ${by}`].slice(0, LONGEST_BY).join('');
}

/** With `wait`: 200 once WeChat Pay holds it; 202 where it was taken, and is not there yet. */
export async function waited<Taken extends PolicyId & { revision: number }>(
  client: PolicyClient,
  taken: Taken,
  query: unknown,
): Promise<{ code: 200 | 202; body: object }> {
  const { wait } = query as { wait?: string };
  if (wait === undefined) return { code: 200, body: taken };
  const { mchid, out_insurance_no, revision } = taken;
  try {
    const timeout = Number.parseInt(wait, 10) * 1000;
    const status = await waitSynced(client, { mchid, out_insurance_no }, revision, { timeout });
    return { code: 200, body: { ...taken, status } };
  } catch (error) {
    if (!(error instanceof NotSynced)) throw error;
    return { code: 202, body: { ...taken, not_synced: { reason: error.reason, detail: error.message } } };
  }
}
