import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { OWN_WORDS } from '../policy/expected.ts';
import { anyJsonIn, objectIn } from './body.ts';
import type { Parts } from './exchange.ts';
import { notFound, paramError, Refusal } from './refusal.ts';

interface OfPolicy {
  Params: { out_insurance_no: string };
  Body: Buffer | undefined;
}

// No field is checked, but the names have to be such as can be sealed, and not so many that sealing them holds the sandbox.
const sealableSchema = z
  .array(z.string().refine((name) => Buffer.byteLength(name) <= 214, 'expected at most 214 bytes in UTF-8'))
  .max(100, 'expected at most 100 names')
  .optional();

/**
 * `/_sandbox`, neither signed nor logged: shows what the sandbox holds, names in the clear, and changes it behind the
 * merchant's back. PUT holds a policy exactly as given; PATCH merges, where `null` takes a field away. PUT replaces the
 * faults, POST adds to them. A limit holds for all calls to the service.
 */
export function control(app: FastifyInstance, { store, faults, limit, requests }: Parts): void {
  app.get('/policies', () => store.all());

  app.get<OfPolicy>('/policies/:out_insurance_no', ({ params }) => store.get(params.out_insurance_no));

  app.put<OfPolicy>('/policies/:out_insurance_no', ({ params, body }) => {
    return store.put({ ...policyIn(body, params.out_insurance_no), ...params });
  });

  app.patch<OfPolicy>('/policies/:out_insurance_no', ({ params, body }) => {
    const held = store.get(params.out_insurance_no);
    const merged = { ...held, ...policyIn(body, params.out_insurance_no) };
    const left = Object.entries(merged).filter(([, value]) => value !== null);
    return store.put({ ...Object.fromEntries(left), ...params });
  });

  app.delete<OfPolicy>('/policies/:out_insurance_no', ({ params }, reply) => {
    store.delete(params.out_insurance_no);
    return reply.code(204).send();
  });

  app.get<{ Querystring: { after?: string } }>('/requests', ({ query: { after = '0' } }) => {
    if (!/^\d+$/.test(after)) throw paramError('after', 'expected the n of a request');
    return requests.after(Number(after));
  });

  app.get('/faults', () => faults.list());

  const told = (fault: string | undefined) => {
    if (fault !== undefined) throw new Refusal(400, 'PARAM_ERROR', fault);
    return faults.list();
  };

  app.put<{ Body: Buffer | undefined }>('/faults', ({ body }) =>
    told(faults.replace(anyJsonIn(body ?? Buffer.alloc(0)))),
  );

  app.post<{ Body: Buffer | undefined }>('/faults', ({ body }) => told(faults.add(anyJsonIn(body ?? Buffer.alloc(0)))));

  app.get('/limit', () => ({ requests_per_second: limit.requests_per_second }));

  app.put<{ Body: Buffer | undefined }>('/limit', ({ body }) => {
    const fault = limit.set(anyJsonIn(body ?? Buffer.alloc(0)));
    if (fault !== undefined) throw new Refusal(400, 'PARAM_ERROR', fault);
    return { requests_per_second: limit.requests_per_second };
  });

  app.setNotFoundHandler(() => {
    throw notFound('no such path and method under /_sandbox');
  });
}

function policyIn(body: Buffer | undefined, out_insurance_no: string): Record<string, unknown> {
  const policy = objectIn(body ?? Buffer.alloc(0));
  if (policy.out_insurance_no !== undefined && policy.out_insurance_no !== out_insurance_no)
    throw paramError('out_insurance_no', 'expected that of the path, or none');
  const issue = sealableSchema.nullable().safeParse(policy.insured_name_list, OWN_WORDS).error?.issues[0];
  if (issue) throw paramError(['insured_name_list', ...issue.path].map(String).join('.'), issue.message);
  return policy;
}
