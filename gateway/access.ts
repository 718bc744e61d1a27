import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Problem } from './problems.ts';
import { ROLES, type Role, type Tokens, type Who } from './tokens.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a token must be for; a route without one is for everybody. */
    role?: Role;
  }
  interface FastifyRequest {
    /** Who asks; null on a route for everybody. */
    who: Who | null;
  }
}

/** As an address to listen on, and as a name in `Host`. */
const THIS_MACHINE = /^(localhost|::1|\[::1\]|127(\.\d+){3})$/i;
const EVERYBODY: Who = { name: undefined, merchants: '*', roles: ROLES };

export function isThisMachine(host: string): boolean {
  return THIS_MACHINE.test(host);
}

/** Lets requests in by their tokens, or all of this machine where there are none. */
export function guard(app: FastifyInstance, tokens: Tokens | undefined): void {
  app.decorateRequest('who', null);
  app.addHook('onRequest', async (request) => {
    onlyOwnPages(request);
    // A stranger's page under a name that leads to this machine has its own name in `Host`.
    if (!tokens && !isThisMachine(request.hostname)) throw new Problem('origin', 'without tokens, ask at 127.0.0.1');
    const { role } = request.routeOptions.config;
    if (role === undefined) return;
    const who = tokens ? whoseOf(tokens, request.headers.authorization) : EVERYBODY;
    request.who = who;
    if (!who.roles.includes(role)) throw lacking(role);
    const { mchid } = request.params as { mchid?: string };
    if (mchid !== undefined && !isFor(who, mchid)) throw new Problem('merchant', 'the token is not for this merchant');
  });
}

/** A page of another origin may send what needs no leave of ours, such as a POST without a body. */
function onlyOwnPages({ headers: { origin, host } }: FastifyRequest): void {
  if (origin === undefined) return;
  const own = URL.canParse(origin) && new URL(origin).host === host;
  if (!own) throw new Problem('origin', 'pages of other origins may not ask');
}

function whoseOf(tokens: Tokens, authorization: string | undefined): Who {
  const [, token] = /^Bearer +(\S+)$/i.exec(authorization ?? '') ?? [];
  if (token === undefined) throw new Problem('token', 'expected "Authorization: Bearer TOKEN", found none');
  const who = tokens.whose(token);
  if (!who) throw new Problem('token', 'there is no such token');
  return who;
}

function lacking(role: Role): Problem {
  return new Problem('role', `the token has not the role ${role}`);
}

/** Who asks, on a route that has a role. */
export function whoAsks({ who }: FastifyRequest): Who {
  if (!who) throw new Error('the route has no role');
  return who;
}

export function mayReveal(request: FastifyRequest): void {
  if (!whoAsks(request).roles.includes('reveal')) throw lacking('reveal');
}

function isFor({ merchants }: Who, mchid: string): boolean {
  return merchants === '*' || merchants.includes(mchid);
}

/** The merchants that are meant, of those that who asks may see: all where it is undefined. */
export function merchantsOf(request: FastifyRequest, mchid: string | undefined): readonly string[] | undefined {
  const who = whoAsks(request);
  if (mchid === undefined) return who.merchants === '*' ? undefined : who.merchants;
  if (!isFor(who, mchid)) throw new Problem('merchant', 'the token is not for this merchant');
  return [mchid];
}
