import type { FastifyRequest } from 'fastify';
import { UnknownPolicy } from '../client/errors.ts';
import { describePolicy } from '../client/pending_call.ts';
import type { PolicyId } from '../client/start_operation.ts';
import { listCalls } from '../storage/calls.ts';
import { listCommands } from '../storage/commands.ts';
import type { Storage } from '../storage/connection.ts';
import { keptOf, shownCommand } from '../storage/kept.ts';
import { findPolicy, type ReadPolicy } from '../storage/policies.ts';
import { writeReveal } from '../storage/reveals.ts';
import { mayReveal, whoAsks } from './access.ts';
import { plannedOf } from './planned.ts';
import { problemOf } from './problems.ts';
import { type Route, type Routes, readings } from './routes.ts';
import * as schemas from './schemas.ts';
import type { Servers } from './servers.ts';

const POLICY = '/policies/:mchid/:out_insurance_no';

/** The routes by which one policy is looked at. */
export function addReading(routes: Routes, servers: Servers): void {
  const { storage } = servers;
  const of = (url: string, operationId: string, summary: string, query: object, good: object): Route => ({
    url: `${POLICY}${url}`,
    role: 'read',
    schema: {
      operationId,
      summary,
      tags: ['policies'],
      params: schemas.policyPath,
      querystring: query,
      response: good,
    },
  });
  routes.get(
    of('', 'show', 'All that is known of a policy, ended ones too.', schemas.reveal, readings(schemas.shown)),
    async (request) => shown(servers, request),
  );
  routes.get(
    of('/calls', 'calls', 'Calls to WeChat Pay.', schemas.latestCalls, readings(schemas.calls)),
    async (request) => {
      const { limit } = request.query as { limit: number };
      const { _id } = await onRecord(storage, request);
      return { calls: await listCalls(storage, _id, limit) };
    },
  );
  routes.get(
    of(
      '/changes',
      'changes',
      'Messages, and what came due: who changed what, when.',
      schemas.latest,
      readings(schemas.changes),
    ),
    async (request) => {
      const { limit } = request.query as { limit: number };
      const policy = await onRecord(storage, request);
      const isRevealed = await revealed(storage, request, policy);
      const commands = await listCommands(storage, policy._id, limit);
      return { changes: commands.map((one) => shownCommand(one, isRevealed)) };
    },
  );
  routes.get(
    of(
      '/plan',
      'plan',
      'What the next PATCH would carry, and why; sends nothing.',
      schemas.reveal,
      readings(schemas.planned),
    ),
    async (request) => {
      const policy = await onRecord(storage, request);
      return plannedOf(storage, policy, { reveal: await revealed(storage, request, policy) });
    },
  );
}

/** @throws {UnknownPolicy}, {StorageError} */
async function onRecord(storage: Storage, request: FastifyRequest): Promise<ReadPolicy> {
  const { mchid, out_insurance_no } = request.params as PolicyId;
  const found = await findPolicy(storage, mchid, out_insurance_no);
  if (found) return found;
  throw new UnknownPolicy(`${mchid}/${out_insurance_no}: no such policy is on record; open it first`);
}

/** Whether personal values are to be seen; who sees them is noted first. */
async function revealed(
  storage: Storage,
  request: FastifyRequest,
  policy: Pick<ReadPolicy, 'mchid' | 'out_insurance_no' | 'revision'>,
): Promise<boolean> {
  if ((request.query as { reveal?: string }).reveal !== 'true') return false;
  mayReveal(request);
  await writeReveal(storage, policy, whoAsks(request).name);
  return true;
}

/** Each source may fail by itself: what the others know is told, with a note about the one that failed. */
async function shown({ client, storage }: Servers, request: FastifyRequest) {
  const policy = request.params as PolicyId;
  const wants = (request.query as { reveal?: string }).reveal === 'true';
  const isRevealed = wants && (await revealed(storage, request, await onRecord(storage, request)));
  const [workflow, status, idle, kept] = await Promise.allSettled([
    client().then((engine) => describePolicy(engine, policy)),
    client().then((engine) => engine.status(policy)),
    client().then((engine) => engine.standstill()),
    keptOf(storage, policy, isRevealed),
  ]);
  if (workflow.status === 'rejected' && !known(kept)) {
    // An ended policy may be known to MongoDB alone, and that one may have told nothing.
    const isUnknown = workflow.reason instanceof UnknownPolicy;
    throw isUnknown && kept.status === 'rejected' ? kept.reason : workflow.reason;
  }
  const failed = [workflow, status, kept].flatMap((part) => (part.status === 'rejected' ? [part.reason] : []));
  const told = failed.filter((reason) => !(reason instanceof UnknownPolicy)).map((reason) => problemOf(reason).detail);
  const hindrance = known(idle);
  return {
    ...policy,
    status: known(status),
    workflow: known(workflow),
    kept: known(kept),
    notes: [...new Set([...told, ...(hindrance === null ? [] : [hindrance])])],
  };
}

function known<T>(result: PromiseSettledResult<T | undefined>): T | null {
  return result.status === 'fulfilled' ? (result.value ?? null) : null;
}
