import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema, HTTPMethods } from 'fastify';
import type { z } from 'zod';
import { MATTERS } from './problems.ts';
import { problem } from './schemas.ts';
import type { Role } from './tokens.ts';

/** A path that the document tells of. */
export interface Route {
  url: string;
  /** What a token must be for; undefined: for everybody. */
  role?: Role;
  schema: FastifySchema;
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

/** Where routes are added. */
export interface Routes {
  get(route: Route, handler: Handler): void;
  post(route: Route, handler: Handler): void;
  put(route: Route, handler: Handler): void;
}

export function routesOf(app: FastifyInstance): Routes {
  const add =
    (method: HTTPMethods) =>
    ({ url, role, schema }: Route, handler: Handler): void => {
      const security = role === undefined ? [] : [{ token: [] }];
      app.route({
        method,
        url,
        handler,
        config: { role },
        schema: { security, ...(role && { 'x-role': role }), ...schema },
      });
    };
  return { get: add('GET'), post: add('POST'), put: add('PUT') };
}

const TITLES: Readonly<Record<number, string>> = {
  200: 'Done.',
  201: 'Opened.',
  202: 'Taken; WeChat Pay does not hold it.',
  409: 'A rule forbids it where the policy stands.',
  422: 'A rule of the record or message is broken.',
};

/** The answers of a route that has a token, by status, and the problems that come in their place. */
export function answers(good: Record<number, z.ZodType>): Record<number, object> {
  return { ...asked(good), ...problems([400, 401, 403, 404, 408, 409, 413, 415, 422, 431, 500, 502, 503]) };
}

/** The same of one that only reads. */
export function readings(good: z.ZodType): Record<number, object> {
  return { ...asked({ 200: good }), ...problems([400, 401, 403, 404, 431, 500, 502, 503]) };
}

/** Of what everybody may ask. */
export function asked(good: Record<number, z.ZodType>): Record<number, object> {
  return Object.fromEntries(
    Object.entries(good).map(([status, schema]) => [status, described(Number(status), 'application/json', schema)]),
  );
}

function problems(statuses: readonly number[]): Record<number, object> {
  return Object.fromEntries(statuses.map((status) => [status, described(status, 'application/problem+json', problem)]));
}

function described(status: number, type: string, schema: z.ZodType): object {
  const whens = Object.values(MATTERS).flatMap(([of, when]) => (of === status ? [when] : []));
  return { description: TITLES[status] ?? `${whens.join('; or ')}.`, content: { [type]: { schema } } };
}

const METHODS: readonly HTTPMethods[] = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'QUERY', 'TRACE'];

/** Has each path answer the methods that it does not take: to be called before any route is added. */
export function refuseOthers(app: FastifyInstance, refuse: (allow: string) => never): () => void {
  const taken = new Map<string, Set<HTTPMethods>>();
  app.addHook('onRoute', ({ url, method }) => {
    const of = taken.get(url) ?? new Set();
    taken.set(url, of);
    for (const one of [method].flat()) of.add(one as HTTPMethods);
  });
  return () => {
    for (const [url, methods] of [...taken]) {
      const allow = [...methods].sort().join(', ');
      const others = METHODS.filter((method) => !methods.has(method));
      app.route({
        method: [...others],
        url,
        schema: { hide: true },
        // Before a body is looked at.
        onRequest: async (_request, reply) => {
          reply.header('allow', allow);
          refuse(allow);
        },
        handler: () => refuse(allow),
      });
    }
  };
}
