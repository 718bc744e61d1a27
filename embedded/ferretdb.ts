import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildWithGo } from './build.ts';
import { findCached, makeCached } from './cache.ts';
import { earlyBuild, FERRETDB_BUILD } from './early_build.mjs';
import { type Guarded, lastLines, startGuarded } from './guarded.ts';
import type { Log } from './log.ts';
import { findOnPath } from './path.mjs';
import type { Place } from './place.ts';
import { freePort } from './ports.ts';
import { findPostgres, POSTGRES_CONNECTIONS, type Postgres, startPostgres } from './postgres.ts';
import { withProgress } from './progress.ts';

const module = 'github.com/FerretDB/FerretDB@v1.24.2';
const build = { tool: 'ferretdb', version: `1.24.2-${digestOf(['go.mod', 'go.sum', 'in_turn.go', 'main.go'])}` };

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
  const { args, cwd } = FERRETDB_BUILD;
  return inFolder(
    await makeCached(build, log, (folder) =>
      withProgress('building FerretDB with Go (about a minute, once)', log, () =>
        buildWithGo(go, module, { args: [...args, folder, '.'], cwd, folder, after: earlyBuild() }),
      ),
    ),
  );
}

/**
 * Starts PostgreSQL and FerretDB, which listens on `port`.
 * @returns FerretDB, whose `stop()` ends PostgreSQL after it, and which ends when PostgreSQL does
 */
export async function startFerretDb(program: string, { directory, port, scratch }: Place): Promise<Guarded> {
  const postgresPort = await freePort();
  const postgres = await startPostgres(await findPostgres(), { directory, port: postgresPort, scratch });
  const url = `postgres://ferretdb@127.0.0.1:${postgresPort}/postgres?pool_max_conns=${POSTGRES_CONNECTIONS}`;
  const ferretdb = await startGuarded({
    command: program,
    args: ['-listen', `127.0.0.1:${port}`, '-postgres', url],
    logFile: join(directory, 'ferretdb.log'),
  }).catch(async (error) => {
    await postgres.stop();
    throw error;
  });
  return together(ferretdb, postgres);
}

/** FerretDB without its PostgreSQL would only ever answer with errors. */
function together(ferretdb: Guarded, postgres: Postgres): Guarded {
  const withoutPostgres = postgres.exited.then(async (exit) => {
    const reason = `its PostgreSQL ended, ${exit.reason}: ${lastLines(postgres.logFile)}`;
    await ferretdb.stop();
    return { code: exit.code, reason };
  });
  return {
    pid: ferretdb.pid,
    exited: Promise.race([ferretdb.exited, withoutPostgres]),
    async stop() {
      const exit = await ferretdb.stop();
      await postgres.stop();
      return exit;
    },
  };
}

/** A program built of other sources than these is another one. */
function digestOf(files: string[]): string {
  const hash = createHash('sha256');
  for (const file of files) hash.update(readFileSync(join(FERRETDB_BUILD.cwd, file)));
  return hash.digest('hex').slice(0, 12);
}

function inFolder(folder: string | undefined): string | undefined {
  return folder && join(folder, 'ferretdb');
}
