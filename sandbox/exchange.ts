import { setTimeout } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest, RouteHandlerMethod } from 'fastify';
import { type Answer, answerInstead, policyAnswer, refusalAnswer, signatureHeaders } from './answer.ts';
import type { Authentication, Call } from './authentication.ts';
import { objectIn } from './body.ts';
import type { Fault, Faults } from './faults.ts';
import type { HeldPolicy } from './kept_policies.ts';
import type { SandboxKeys } from './keys.ts';
import type { Limit } from './limit.ts';
import { Refusal } from './refusal.ts';
import type { LoggedRequest, RequestLog } from './requests.ts';
import type { PolicyStore } from './store.ts';

/** What a call does to the policies, in one synchronous step; answers the policy or throws a `Refusal`. */
export type Effect = (call: Call) => HeldPolicy;

/** What every exchange needs. */
export interface Parts {
  keys: SandboxKeys;
  authentication: Authentication;
  store: PolicyStore;
  faults: Faults;
  limit: Limit;
  requests: RequestLog;
  /** Unix milliseconds. */
  now: () => number;
  /** Aborted when the sandbox closes: delayed calls end without effect. */
  closing: AbortSignal;
}

/** Where the log's entry of a call hangs on its request. */
export const LOGGED = 'logged';

/** How an answer ends: whole, cut in its middle, or not there at all. */
interface Ending extends Answer {
  truncated?: boolean | undefined;
}
const CUT = 'cut';

/** A route of the service: authenticates, has its fault, takes effect, answers signed, and is logged. */
export function served(parts: Parts, effect: Effect): RouteHandlerMethod {
  return async (request, reply) => {
    const logged = request.getDecorator<LoggedRequest>(LOGGED);
    const call = callOf(request);
    logged.body = call.body.toString();
    const { signature_ok, refusal } = parts.authentication.check(call);
    logged.signature_ok = signature_ok;
    const asked: Effect = (incoming) => {
      try {
        const policy = effect(incoming);
        if (logged.ended_at !== null) parts.requests.landed(logged);
        return policy;
      } catch (error) {
        // Of one that comes after the cut nobody is told.
        if (error instanceof Refusal && logged.ended_at === null) logged.refused = error.code;
        throw error;
      }
    };
    if (refusal) logged.refused = refusal.code;
    // Unsigned, as in life: WeChat Pay does not sign to whom it does not know.
    const ending: Ending | typeof CUT = refusal ? refusalAnswer(refusal) : await endingOf(call, asked, parts);
    if (ending === CUT) {
      parts.requests.ended(logged, null, null);
      return cut(reply);
    }
    parts.requests.ended(logged, ending.status, ending.code);
    return ending.truncated
      ? truncate(reply, ending)
      : reply.code(ending.status).headers(ending.headers).send(ending.body);
  };
}

function callOf({ method, url, headers, body, params }: FastifyRequest): Call {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0);
  const { out_insurance_no } = params as { out_insurance_no?: string };
  return { method, path: url, headers, body: bytes, out_insurance_no: out_insurance_no ?? uploaded(bytes) };
}

function uploaded(body: Buffer): string | undefined {
  try {
    const { out_insurance_no } = objectIn(body);
    return typeof out_insurance_no === 'string' ? out_insurance_no : undefined;
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}

async function endingOf(call: Call, effect: Effect, parts: Parts): Promise<Ending | typeof CUT> {
  const fault = parts.faults.take(call.method, call.out_insurance_no) ?? {};
  if (fault.drop === 'late') {
    land(call, effect, fault, parts);
    return CUT;
  }
  if (!(await waited(fault.delay_ms, parts.closing)) || fault.drop === 'before') return CUT;
  const instead = answerInstead(fault);
  const own = (): Answer => outcome(call, effect, fault, parts);
  if (instead && fault.effect) own();
  const answer = instead ?? own();
  if (fault.drop === 'after') return CUT;
  const unsigned = fault.unsigned || fault.redirect !== undefined || (fault.body !== undefined && !fault.signed);
  const proof = await signatureHeaders(parts.keys, answer.body, parts.now(), unsigned ? 'unsigned' : fault.forge);
  return { ...answer, headers: { ...answer.headers, ...proof }, truncated: fault.truncate };
}

/** Takes effect after the delay, when the caller has long gone. */
async function land(call: Call, effect: Effect, fault: Fault, parts: Parts): Promise<void> {
  if (await waited(fault.delay_ms, parts.closing)) outcome(call, effect, fault, parts);
}

/** Whether the delay passed; it does not once the sandbox closes. */
async function waited(delay_ms: number | undefined, closing: AbortSignal): Promise<boolean> {
  if (delay_ms === undefined) return true;
  return setTimeout(delay_ms, true, { signal: closing }).catch(() => false);
}

function outcome(call: Call, effect: Effect, fault: Fault, { keys, store, limit }: Parts): Answer {
  try {
    limit.take();
    const policy = effect(call);
    const { answer_of: other } = fault;
    const shown = other === undefined ? policy : (store.find(other) ?? { ...policy, out_insurance_no: other });
    const sealing = fault.names === 'unreadable' ? keys.wechatpay_public_key : keys.merchant_certificate.publicKey;
    return policyAnswer(shown, sealing);
  } catch (error) {
    if (error instanceof Refusal) return refusalAnswer(error);
    throw error;
  }
}

function cut(reply: FastifyReply): FastifyReply {
  reply.hijack();
  reply.raw.destroy();
  return reply;
}

function truncate(reply: FastifyReply, { status, headers, body }: Answer): FastifyReply {
  reply.hijack();
  reply.raw.writeHead(status, { ...headers, 'Request-ID': reply.request.id, 'Content-Length': body.length });
  reply.raw.write(body.subarray(0, body.length / 2), () => reply.raw.destroy());
  return reply;
}
