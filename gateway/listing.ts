import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { shortState } from '../policy/state.ts';
import { instantOf } from '../policy/time.ts';
import { causeOf, NO_CAUSE } from '../storage/cause.ts';
import type { Storage } from '../storage/connection.ts';
import { listFindings } from '../storage/findings.ts';
import { listHolds } from '../storage/holds.ts';
import { causeOfPolicy } from '../storage/kept_cause.ts';
import type { ReadPolicy } from '../storage/policies.ts';
import { listPolicies, type PolicyFilter } from '../storage/policy_list.ts';
import { countByStanding } from '../storage/standing_counts.ts';
import { merchantsOf, whoAsks } from './access.ts';
import { type Route, type Routes, readings } from './routes.ts';
import * as schemas from './schemas.ts';
import type { Servers } from './servers.ts';

/** Policies whose causes are looked for at a time: each costs some reads. */
const AT_ONCE = 10;
/** So many findings of an audit are told. */
const MOST_FINDINGS = 1_000;

/** The routes by which many policies are looked at. */
export function addListing(routes: Routes, { storage }: Pick<Servers, 'storage'>): void {
  const route = (url: string, operationId: string, summary: string, query: object, good: z.ZodType): Route => ({
    url,
    role: 'read',
    schema: { operationId, summary, tags: ['policies'], querystring: query, response: readings(good) },
  });
  routes.get(
    route(
      '/policies',
      'list',
      'Policies, in the order of merchant and number, a page at a time.',
      schemas.listing,
      schemas.policies,
    ),
    async (request) => page(storage, request),
  );
  routes.get(
    route('/counts', 'counts', 'How many policies stand how.', schemas.ofMerchant, schemas.counts),
    async (request) => {
      const counted = await countByStanding(storage, asked(request));
      return { counts: counted.map(({ policy_state, ...of }) => ({ state: shortState(policy_state), ...of })) };
    },
  );
  routes.get(
    route(
      '/attention',
      'attention',
      'What asks for a person beside single policies: merchants held, findings of the last audit.',
      schemas.ofMerchant,
      schemas.attention,
    ),
    async (request) => wide(storage, asked(request)),
  );
  routes.get(
    {
      url: '/me',
      role: 'read',
      schema: {
        operationId: 'me',
        summary: 'What the token is for.',
        tags: ['policies'],
        response: readings(schemas.me),
      },
    },
    async (request) => {
      const { name = null, merchants, roles } = whoAsks(request);
      return { name, merchants, roles };
    },
  );
}

function asked(request: FastifyRequest): readonly string[] | undefined {
  return merchantsOf(request, (request.query as { mchid?: string }).mchid);
}

async function page(storage: Storage, request: FastifyRequest) {
  const { limit, cursor, ...query } = request.query as z.output<typeof schemas.listing>;
  const found: ReadPolicy[] = [];
  // One more than are told, so that it is known whether there are more.
  for await (const policy of listPolicies(storage, filterOf(query, asked(request)), {
    limit: limit + 1,
    after: cursor,
  }))
    found.push(policy);
  const policies = found.slice(0, limit);
  const next = found.length > limit ? (policies.at(-1)?._id ?? null) : null;
  return { policies: await explained(storage, policies), next };
}

function filterOf(
  { state, sync, type, expires_before, attention }: Omit<z.output<typeof schemas.listing>, 'limit' | 'cursor'>,
  merchants: readonly string[] | undefined,
): PolicyFilter {
  const [only] = merchants ?? [];
  const before = expires_before === undefined ? undefined : instantOf(expires_before);
  return {
    ...(merchants?.length === 1 ? { mchid: only } : { mchids: merchants }),
    ...(state !== undefined && { policy_state: `POLICY_STATE_${state}` as const }),
    ...{ sync, policy_type: type },
    ...(before !== undefined && { expires_before: new Date(before) }),
    ...(attention === 'true' && { asks_for_person: true }),
  };
}

async function explained(storage: Storage, policies: readonly ReadPolicy[]) {
  const rows: object[] = [];
  for (let at = 0; at < policies.length; at += AT_ONCE)
    rows.push(...(await Promise.all(policies.slice(at, at + AT_ONCE).map((policy) => rowOf(storage, policy)))));
  return rows;
}

const ASKING: ReadonlySet<string> = new Set(['RETRYING', 'BLOCKED', 'DIVERGED', 'STOPPED']);

async function rowOf(storage: Storage, policy: ReadPolicy) {
  const { mchid, out_insurance_no, sync, revision, synced_revision, due, attention, verified_at, updated_at, end } =
    policy;
  const asks = end !== 'ERASED' && (ASKING.has(sync) || (end === null && attention.length > 0));
  return {
    ...{ mchid, out_insurance_no, sync, revision, synced_revision, due, attention, verified_at, updated_at, end },
    state: shortState(policy.policy_state),
    type: policy.policy_type,
    expires_at: policy.record.policy.expired_time ?? null,
    ...(asks ? await causeOfPolicy(storage, policy) : NO_CAUSE),
  };
}

/** What concerns more than one policy, or one that its record may not tell of. */
async function wide(storage: Storage, merchants: readonly string[] | undefined) {
  const [holds, findings] = [await listHolds(storage), await listFindings(storage, MOST_FINDINGS, merchants)];
  return {
    merchants: holds
      .filter(({ _id }) => !merchants || merchants.includes(_id))
      .map(({ _id, code, message, since }) => ({ mchid: _id, ...causeOf(code, message, since) })),
    findings: findings.map(({ mchid, out_insurance_no, kind, reason, since }) => ({
      ...{ mchid, out_insurance_no },
      ...causeOf(kind, reason, since),
    })),
  };
}
