import { pino } from 'pino';
import { MATTERS } from '../../../gateway/problems.ts';
import { gatewayApp } from '../../../gateway/server.ts';
import type { Servers } from '../../../gateway/servers.ts';
import { code, table } from './markdown.ts';

interface Operation {
  summary: string;
  'x-role'?: string;
}
interface Document {
  paths: Record<string, Record<string, Operation>>;
}

/** The document of a gateway that asks nobody anything. */
export async function gatewayDocument(): Promise<Document> {
  const app = await gatewayApp({} as Servers, pino({ enabled: false }));
  try {
    return app.swagger() as unknown as Document;
  } finally {
    await app.close();
  }
}

export function paths({ paths }: Document): string {
  const rows = Object.entries(paths).flatMap(([path, of]) =>
    Object.entries(of).map(([method, { summary, 'x-role': role }]) => [
      code(`${method.toUpperCase()} ${path}`),
      role === undefined ? 'everybody' : code(role),
      summary,
    ]),
  );
  return table(['path', 'for', ''], rows);
}

export function problems(): string {
  return table(
    ['rule', 'status', 'when', 'what to do'],
    Object.entries(MATTERS).map(([rule, [status, when, todo]]) => [code(rule), String(status), when, todo]),
  );
}
