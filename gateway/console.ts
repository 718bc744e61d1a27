import type { FastifyInstance } from 'fastify';

export async function addConsole(_app: FastifyInstance): Promise<void> {}
