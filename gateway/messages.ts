import { z } from 'zod';
import { PolicyRefused, UnknownPolicy } from '../client/errors.ts';
import { describePolicy } from '../client/pending_call.ts';
import type { PolicyClient, Verified } from '../client/policy_client.ts';
import type { PolicyId } from '../client/start_operation.ts';
import { amendSchema } from '../policy/amendment.ts';
import { bareSchema, COMMAND_SCHEMAS, type CommandName } from '../policy/commands.ts';
import type { Envelope } from '../policy/envelope.ts';
import { kindOf } from '../policy/kind.ts';
import { policyFieldsSchema, type RecordInput, recordSchema, withoutNulls } from '../policy/record.ts';
import { parse, RuleViolation } from '../policy/violation.ts';
import { shownValue } from '../storage/masked.ts';
import { writeReveal } from '../storage/reveals.ts';
import { mayReveal, whoAsks } from './access.ts';
import { enveloped, waited } from './envelopes.ts';
import { Problem } from './problems.ts';
import { answers, type Route, type Routes } from './routes.ts';
import * as schemas from './schemas.ts';
import type { Servers } from './servers.ts';

/** The messages that change nothing in the record of themselves. */
const BARE = ['accept', 'resume'] as const;
type Name = CommandName | (typeof BARE)[number];

const SAYS: Record<Name, string> = {
  approve: 'The insurer has taken the risk: ISSUING → APPROVED.',
  decline: 'The insurer does not take the risk: ISSUING → DECLINED, for good.',
  cancel: 'The user surrenders, now or at a time to come: → INACTIVE.',
  withdraw: 'Takes back a cancellation whose time has not come.',
  amend: 'Changes fields: any but number and state. null takes one back that WeChat Pay does not hold.',
  renew: 'A new term of the policy, or another policy that continues it.',
  reinstate: 'INACTIVE → APPROVED; one that has ended begins a new run.',
  hold: 'Takes messages, but sends nothing to WeChat Pay, and lets due times wait: HELD.',
  unhold: 'Goes on with what is HELD; what came due meanwhile is done at once.',
  observe: 'on: true watches and compares, and never writes: OBSERVED. false: ours to write from now on.',
  accept: "Takes WeChat Pay's record for ours (DIVERGED), or gives up what it refused (BLOCKED).",
  resume: 'Tries again at once what is BLOCKED, DIVERGED or waits to be retried; goes on with what is STOPPED.',
};
/** For operators, not for the systems that tell what happens to a policy. */
const OPERATORS: ReadonlySet<Name> = new Set(['hold', 'unhold', 'observe', ...BARE]);

/** What the document says of an amendment: the fields of the policy, too. */
function amendBody() {
  const { out_insurance_no: _names, policy_state: _has_messages, ...fields } = policyFieldsSchema.shape;
  const nullable = Object.entries(fields).map(([name, field]) => [name, (field as z.ZodType).nullable()]);
  return z.looseObject({ ...amendSchema.shape, ...Object.fromEntries(nullable) });
}

/** The routes by which policies are opened and told what happens to them. */
export function addMessages(routes: Routes, servers: Pick<Servers, 'client' | 'storage'>): void {
  const { client } = servers;
  addOpen(routes, client);
  const bodies: [Name, z.ZodType][] = [
    ...(Object.entries(COMMAND_SCHEMAS) as [CommandName, z.ZodType][]),
    ...BARE.map((name): [Name, z.ZodType] => [name, bareSchema]),
  ];
  const amendment = amendBody();
  for (const [name, body] of bodies)
    routes.post(messageRoute(name, name === 'amend' ? amendment : body), async (request, reply) => {
      const policy = request.params as PolicyId;
      if (name === 'amend') expectAmendment(amendment, request.body ?? {});
      const engine = await client();
      const send = engine[name].bind(engine) as (
        policy: PolicyId,
        message: Envelope,
      ) => ReturnType<typeof engine.accept>;
      const answer = { ...policy, ...(await send(policy, enveloped(request))) };
      const { code, body } = await waited(engine, answer, request.query);
      return reply.code(code).send(body);
    });
  addVerify(routes, servers);
}

/** Fields that no policy could have are refused here: the workflow looks at them only where the event is not known yet. */
function expectAmendment(schema: z.ZodType, body: unknown): void {
  try {
    parse(schema, withoutNulls(body));
  } catch (error) {
    if (!(error instanceof RuleViolation)) throw error;
    throw new PolicyRefused(error.rule, error.message, error.violations, { cause: error });
  }
}

function messageRoute(name: Name, body: z.ZodType): Route {
  return {
    url: `/policies/:mchid/:out_insurance_no/${name}`,
    role: OPERATORS.has(name) ? 'operate' : 'write',
    schema: {
      operationId: name,
      summary: SAYS[name],
      tags: ['messages'],
      params: schemas.policyPath,
      querystring: schemas.wait,
      headers: schemas.idempotency,
      body,
      response: answers({ 200: schemas.taken, 202: schemas.notYet }),
    },
  };
}

function addOpen(routes: Routes, client: Servers['client']): void {
  const schema = {
    operationId: 'open',
    summary: 'Opens a policy. The same record again is answered the same, with 200; another one is refused: `exists`.',
    tags: ['messages'],
    params: schemas.policyPath,
    querystring: schemas.wait,
    headers: schemas.idempotency,
    body: recordSchema,
    response: answers({ 200: schemas.openedAnswer, 201: schemas.openedAnswer, 202: schemas.openedNotYet }),
  };
  routes.put({ url: '/policies/:mchid/:out_insurance_no', role: 'write', schema }, async (request, reply) => {
    const policy = request.params as PolicyId;
    const record = recordOf(policy, (request.body ?? {}) as Record<string, unknown>);
    const engine = await client();
    const before = await wasThere(engine, policy);
    const opened = await engine.openPolicy(record, enveloped(request, {}));
    const { code, body } = await waited(engine, opened, request.query);
    return reply.code(code === 200 && !before ? 201 : code).send(body);
  });
}

/** Asked first, for the answer of `open` is the same each time. One that was refused in its first act has opened nothing. */
async function wasThere(client: PolicyClient, policy: PolicyId): Promise<boolean> {
  try {
    return (await describePolicy(client, policy)).status !== 'FAILED';
  } catch (error) {
    if (error instanceof UnknownPolicy) return false;
    throw error;
  }
}

/** The record of a body, whose path names the policy: what the body says of it must be the same. */
function recordOf({ mchid, out_insurance_no }: PolicyId, body: Record<string, unknown>): RecordInput {
  const { policy } = body;
  const named: [string, unknown, string][] = [
    ['mchid', body.mchid, mchid],
    [
      'policy.out_insurance_no',
      (policy as { out_insurance_no?: unknown } | undefined)?.out_insurance_no,
      out_insurance_no,
    ],
  ];
  for (const [field, said, path] of named)
    if (said !== undefined && said !== null && said !== path)
      throw new Problem('path', `${field}: expected the one of the path, found another`);
  const isObject = kindOf(policy) === 'an object';
  return { ...body, mchid, policy: isObject ? { ...(policy as object), out_insurance_no } : policy } as RecordInput;
}

function addVerify(routes: Routes, { client, storage }: Pick<Servers, 'client' | 'storage'>): void {
  const schema = {
    operationId: 'verify',
    summary: 'Asks WeChat Pay now, and tells what differs. It may take a minute.',
    tags: ['messages'],
    params: schemas.policyPath,
    querystring: schemas.reveal,
    headers: schemas.idempotency,
    body: bareSchema,
    response: answers({ 200: schemas.verified }),
  };
  routes.post({ url: '/policies/:mchid/:out_insurance_no/verify', role: 'operate', schema }, async (request) => {
    const policy = request.params as PolicyId;
    const isRevealed = (request.query as { reveal?: string }).reveal === 'true';
    if (isRevealed) mayReveal(request);
    const engine = await client();
    const found: Verified = await engine.verify(policy, enveloped(request));
    const { differences, ...answer } = found;
    if (isRevealed) await writeReveal(storage, { ...answer, ...policy }, whoAsks(request).name);
    const shown = (field: string, value: unknown) => shownValue(field, value, isRevealed);
    return {
      ...policy,
      ...answer,
      differences: differences.map(({ field, ours, theirs }) => ({
        field,
        ours: shown(field, ours),
        theirs: shown(field, theirs),
      })),
    };
  });
}
