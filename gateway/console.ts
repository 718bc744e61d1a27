import { readdir, readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import type { FastifyInstance, FastifyReply } from 'fastify';

const FOLDER = new URL('./console/', import.meta.url);
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
};
/** Nothing but its own files, and its own gateway. */
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/** The operators' pages, as they lie in the folder: a few files, kept in memory. Whoever looks at policies there shows a token. */
export async function addConsole(app: FastifyInstance): Promise<void> {
  const hidden = { schema: { hide: true } };
  const send = (reply: FastifyReply, file: string, content: Buffer) =>
    reply
      .type(TYPES[extname(file)] ?? 'application/octet-stream')
      .header('content-security-policy', CSP)
      .send(content);
  for (const file of await readdir(FOLDER)) {
    const content = await readFile(new URL(file, FOLDER));
    app.get(`/console/${file === 'index.html' ? '' : file}`, hidden, async (_request, reply) =>
      send(reply, file, content),
    );
  }
  app.get('/console', hidden, async (_request, reply) => reply.redirect('/console/'));
}
