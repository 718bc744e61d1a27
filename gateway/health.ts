import type { FastifyInstance } from 'fastify';
import { asked, type Routes } from './routes.ts';
import { health } from './schemas.ts';
import type { Servers } from './servers.ts';

/** Whether the gateway lives, and whether it can do anything; and what it does, for programs. */
export function addHealth(routes: Routes, app: FastifyInstance, servers: Pick<Servers, 'away'>): void {
  const tags = ['gateway'];
  const live = { operationId: 'healthz', summary: 'The gateway lives.', tags, response: asked({ 200: health }) };
  routes.get({ url: '/healthz', schema: live }, async () => ({ ok: true }));
  const ready = {
    operationId: 'readyz',
    summary: 'Temporal and MongoDB answer; 503 names those that do not.',
    tags,
    response: asked({ 200: health, 503: health }),
  };
  routes.get({ url: '/readyz', schema: ready }, async (_request, reply) => {
    const away = await servers.away();
    return reply.code(away.length === 0 ? 200 : 503).send({ ok: away.length === 0, away });
  });
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
}
