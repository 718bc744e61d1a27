import { STATUS_CODES } from 'node:http';
import { PolicyRefused } from '../client/errors.ts';
import type { RuleName } from '../policy/rules.ts';
import { RuleViolation, type Violation } from '../policy/violation.ts';

/** A problem of RFC 9457, as it is answered. */
export interface ProblemBody {
  type: string;
  title: string;
  status: number;
  /** One line for people: no personal value, no secret, nothing of our servers. */
  detail: string;
  /** What callers branch on: a rule that was broken, or what else is the matter. */
  rule: string;
  /** Every broken rule of a record or message. */
  violations?: readonly Violation[];
}

/** What is the matter where no rule of policies was broken: its status, and what to do. */
export const MATTERS = {
  request: [400, 'the path, the query or a header is not as the document says', 'correct what `violations` names'],
  json: [400, 'the body is no JSON', 'send JSON in UTF-8'],
  'idempotency-key': [422, 'the header `Idempotency-Key` and `event_id` of the body differ', 'send one of them'],
  token: [401, 'no token, or one that is not known', 'send `Authorization: Bearer TOKEN`'],
  role: [403, 'the token has not the role that this asks for', 'ask for one that has'],
  merchant: [403, 'the token is not for this merchant', 'ask for one that is'],
  origin: [403, 'a page of another origin asks', 'ask from a program, or from the console'],
  'not-found': [404, 'there is no such path', 'see the document'],
  method: [405, 'the path does not take this method', '`Allow` says which it takes'],
  'too-slow': [408, 'the request did not come to its end in time', 'send it again'],
  path: [409, 'the record is of another policy than the path', 'name the same in both, or in the path alone'],
  body: [413, 'the body is larger than a record can be', 'leave out what WeChat Pay does not need'],
  media: [415, 'the body is of another media type', 'send `Content-Type: application/json`'],
  internal: [500, 'a fault of the gateway, or of its settings', 'see its log by the request id'],
  refused: [502, 'Temporal or MongoDB refuses what the gateway asks', 'see its log by the request id'],
  unavailable: [
    503,
    'Temporal, MongoDB, a worker or WeChat Pay does not answer',
    'send the same again, with the same `Idempotency-Key`, after `Retry-After`: it may have taken effect',
  ],
} as const satisfies Record<string, readonly [status: number, when: string, todo: string]>;

type Matter = keyof typeof MATTERS;

/** Answered in place of what was asked for. */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly rule: Matter;
  constructor(rule: Matter, detail: string) {
    super(detail);
    this.rule = rule;
  }
}

/** Rules that where the policy stands breaks, and not what was sent. */
const STANDING: ReadonlySet<string> = new Set<RuleName>([
  'illegal-transition',
  'not-amendable',
  'cannot-clear',
  'lifetime',
  'renewal-term',
  'cancellation-pending',
  'nothing-to-accept',
  'unknown-outcome',
  'held',
  'exists',
  'ended',
  'stopped',
]);
/** Rules that the settings of gateway and workers break. */
const SETTINGS: ReadonlySet<string> = new Set<RuleName>(['locked-payload', 'plain-payload', 'unreadable-payload']);

/** The status of a record or message that a rule refuses. */
export function statusOfRule(rule: string): number {
  if (STANDING.has(rule)) return 409;
  if (SETTINGS.has(rule)) return 500;
  return rule === 'unknown-policy' ? 404 : 422;
}

// By name: a class of the library's may come twice, where the package and a checkout meet.
const AWAY: Readonly<Record<string, string>> = {
  Unavailable: 'nobody answered in time: no worker runs, or WeChat Pay is slow',
  NotBegun: 'the policy has just been opened, and a worker has yet to begin it',
  ServerUnreachable: 'Temporal does not answer',
  StorageUnavailable: 'MongoDB does not answer',
};
const REFUSING: ReadonlySet<string> = new Set(['ServerRefused', 'StorageRefused']);
/** Fastify's own, by status: its messages may quote what was sent. 403: a path that leaves the folder of the document's page. */
const OF_FASTIFY: Readonly<Record<number, Matter>> = {
  400: 'request',
  403: 'not-found',
  404: 'not-found',
  408: 'too-slow',
  413: 'body',
  414: 'request',
  415: 'media',
  431: 'request',
  503: 'unavailable',
};

/** Anything thrown, as it is answered. */
export function problemOf(error: unknown): ProblemBody {
  if (error instanceof RuleViolation) return bodyOf('request', error.message, { violations: error.violations });
  if (error instanceof PolicyRefused) {
    const status = statusOfRule(error.rule);
    if (status < 500) return bodyOf(error.rule, error.message, { status, violations: error.violations });
    return bodyOf('internal', 'workers and gateway have other payload keys: see the log by the request id');
  }
  if (error instanceof Problem) return bodyOf(error.rule, error.message);
  const { name, message, statusCode } = error as Error & { statusCode?: number };
  if (name === 'UnknownPolicy') return bodyOf('unknown-policy', message, { status: 404 });
  if (name === 'PolicyEnded') return bodyOf('ended', message, { status: 409 });
  const away = AWAY[name];
  if (away !== undefined) return bodyOf('unavailable', away);
  if (REFUSING.has(name)) return bodyOf('refused', 'Temporal or MongoDB refuses: see the log by the request id');
  const matter = OF_FASTIFY[statusCode ?? 500] ?? 'internal';
  const [, when, todo] = MATTERS[matter];
  return bodyOf(matter, `${when}: ${todo}`);
}

function bodyOf(
  rule: string,
  detail: string,
  { status, violations }: { status?: number; violations?: readonly Violation[] | undefined } = {},
): ProblemBody {
  const code = status ?? MATTERS[rule as Matter][0];
  return {
    type: `urn:policy-sync:problem:${rule}`,
    title: STATUS_CODES[code] ?? 'Problem',
    status: code,
    detail,
    rule,
    ...(violations && { violations }),
  };
}
