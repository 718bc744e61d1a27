import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildWithGo } from './build.ts';
import { findCached, makeCached } from './cache.ts';
import { startGuarded } from './guarded.ts';
import type { Log } from './log.ts';
import { findOnPath } from './path.ts';
import { freePort } from './ports.ts';
import { findPostgres, startPostgres } from './postgres.ts';
import { withProgress } from './progress.ts';

const build = { tool: 'ferretdb', version: '1.24.2' };
const module = 'github.com/FerretDB/FerretDB@v1.24.2';
const source = fileURLToPath(new URL('ferretdb', import.meta.url));

/**
 * Finds or builds FerretDB, which speaks MongoDB's protocol and keeps its data in PostgreSQL.
 * @returns its program
 * @throws Error in one line when there is no Go, no answer from its module proxy, or no PostgreSQL package
 */
export async function findFerretDb(log: Log): Promise<string> {
  await findPostgres();
  return join(findCached(build) ?? (await built(log)), 'ferretdb');
}

/** Starts PostgreSQL and FerretDB on free loopback ports, their data in `directory`. */
export async function startFerretDb(program: string, directory: string, port: number) {
  const postgresPort = await freePort();
  const postgres = await startPostgres(await findPostgres(), directory, postgresPort);
  const logFile = join(directory, 'ferretdb.log');
  const url = `postgres://ferretdb@127.0.0.1:${postgresPort}/postgres?pool_max_conns=50`;
}

async function built(log: Log): Promise<string> {
  const go = findOnPath('go');
  if (!go) throw new Error('no `go` on PATH');
  return makeCached(build, log, (folder) =>
    withProgress('building FerretDB with Go (about a minute, once)', log, () =>
      buildWithGo(go, module, { args: ['build', '-trimpath', '-ldflags', '-s -w', '-o', folder, '.'], cwd: source, folder }),
    ),
  );
}
