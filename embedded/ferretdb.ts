import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildWithGo } from './build.ts';
import { findCached, makeCached } from './cache.ts';
import { type Guarded, startGuarded } from './guarded.ts';
import type { Log } from './log.ts';
import { findOnPath } from './path.ts';
import { freePort } from './ports.ts';
import { findPostgres, POSTGRES_CONNECTIONS, startPostgres } from './postgres.ts';
import { withProgress } from './progress.ts';

const build = { tool: 'ferretdb', version: '1.24.2' };
const module = 'github.com/FerretDB/FerretDB@v1.24.2';
const source = fileURLToPath(new URL('ferretdb', import.meta.url));

/** The FerretDB built before; undefined if there is none. Throws where PostgreSQL's package is missing. */
export async function cachedFerretDb(): Promise<string | undefined> {
  await findPostgres();
  return inFolder(findCached(build));
}

/**
 * Builds FerretDB, which speaks MongoDB's protocol and keeps its data in PostgreSQL.
 * @returns its program
 * @throws Error in one line when there is no Go, no answer from its module proxy, or no PostgreSQL package
 */
export async function buildFerretDb(log: Log): Promise<string | undefined> {
  await findPostgres();
  const go = findOnPath('go');
  if (!go) throw new Error('no `go` on PATH');
  const args = ['build', '-trimpath', '-ldflags', '-s -w', '-o'];
  return inFolder(
    await makeCached(build, log, (folder) =>
      withProgress('building FerretDB with Go (about a minute, once)', log, () =>
        buildWithGo(go, module, { args: [...args, folder, '.'], cwd: source, folder }),
      ),
    ),
  );
}

/**
 * Starts PostgreSQL and FerretDB on loopback ports, their data in `directory`.
 * @returns FerretDB, whose `stop()` ends PostgreSQL after it
 */
export async function startFerretDb(program: string, directory: string, port: number): Promise<Guarded> {
  const postgresPort = await freePort();
  const postgres = await startPostgres(await findPostgres(), directory, postgresPort);
  const url = `postgres://ferretdb@127.0.0.1:${postgresPort}/postgres?pool_max_conns=${POSTGRES_CONNECTIONS}`;
  try {
    const ferretdb = await startGuarded({
      command: program,
      args: ['-listen', `127.0.0.1:${port}`, '-postgres', url],
      logFile: join(directory, 'ferretdb.log'),
    });
    const stop = async () => {
      const exit = await ferretdb.stop();
      await postgres.stop();
      return exit;
    };
    void postgres.exited.then(() => ferretdb.stop());
    return { ...ferretdb, stop };
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

function inFolder(folder: string | undefined): string | undefined {
  return folder && join(folder, 'ferretdb');
}
