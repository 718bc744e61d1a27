import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Connection } from '@temporalio/client';
import { buildWithGo } from './build.ts';
import { findCached, makeCached } from './cache.ts';
import { download } from './download.ts';
import { startGuarded } from './guarded.ts';
import { launch } from './launch.ts';
import type { Log } from './log.ts';
import { findOnPath } from './path.ts';
import { freePort } from './ports.ts';
import { withProgress } from './progress.ts';
import { searchAttributes } from './search_attributes.ts';
import { type Found, firstOf, type Source } from './sources.ts';

export type TemporalOptions = {
  log: Log;
  /** Keeps workflows over a restart; without it they are in memory only. */
  databaseFile?: string;
  /** Serves Temporal's web UI too (default). */
  ui?: boolean;
  /** Where the server's log file goes; by default a folder removed by `stop()`. */
  dataDirectory?: string;
  /** Whether the user's own server, named by TEMPORAL_ADDRESS, comes first (default). */
  useEnvironment?: boolean;
};

export type Temporal = {
  /** host:port of the gRPC front end. */
  address: string;
  namespace: string;
  uiUrl?: string;
  /** Where the server comes from, in words. */
  source: string;
  /** Ends the server; does nothing to the user's own. */
  stop(): Promise<void>;
};

const official = { tool: 'temporal', version: 'sdk-1.24' };
const byGo = { tool: 'temporal', version: 'cli-1.5.1' };
const module = 'github.com/temporalio/cli@v1.5.1';
const program = 'github.com/temporalio/cli/cmd/temporal@v1.5.1';
const otherwise =
  'set TEMPORAL_ADDRESS to a server of yours, or put the `temporal` command line on PATH, or install Go 1.24 or later';

// A proxy in the environment is not for loopback.
const direct = { 'grpc.enable_http_proxy': 0 };

const dynamicConfig = {
  // A user's change overtakes verifications: 0.24 s instead of 10 s behind 200 waiting calls.
  'matching.useNewMatcher': true,
  'matching.numTaskqueueReadPartitions': 1,
  'matching.numTaskqueueWritePartitions': 1,
  // It would ask a server outside.
  'frontend.enableServerVersionCheck': false,
};

/** Finds, or fetches, or builds the Temporal development server. See `firstOf` for its errors. */
export function findTemporal(log: Log): Promise<Found> {
  return firstOf('Temporal server', sources(log), otherwise, log);
}

/**
 * Starts a Temporal server on free loopback ports, unless the user names one, and waits until its namespace answers.
 * @throws EmbeddedServerError in one line when there is none, or when it ends before it answers
 */
export async function startTemporal(options: TemporalOptions): Promise<Temporal> {
  const address = options.useEnvironment === false ? undefined : process.env.TEMPORAL_ADDRESS;
  if (address) {
    options.log(`Temporal: yours at ${address} (TEMPORAL_ADDRESS)`);
    const namespace = process.env.TEMPORAL_NAMESPACE || 'default';
    return { address, namespace, source: 'TEMPORAL_ADDRESS', stop: async () => {} };
  }
  const found = await findTemporal(options.log);
  options.log(`Temporal: ${found.source}`);
  return start(found, options);
}

function sources(log: Log): Source[] {
  return [
    { name: '`temporal` on PATH', find: () => recentEnough(findOnPath('temporal')) },
    { name: 'the official download, from the cache', find: () => inFolder(findCached(official)) },
    { name: 'the build by Go, from the cache', find: () => inFolder(findCached(byGo)) },
    { name: 'the official download', find: () => downloaded(log) },
    { name: 'a build by Go', find: () => built(log) },
  ];
}

/** Priorities, update-with-start and worker deployments need server 1.29; the CLI has no use for anything older. */
function recentEnough(file: string | undefined): string | undefined {
  if (!file) return undefined;
  const version = execFileSync(file, ['--version'], { encoding: 'utf8', timeout: 10_000 });
  const [major, minor] = /Server (\d+)\.(\d+)/.exec(version)?.slice(1).map(Number) ?? [];
  if (major === undefined || minor === undefined) throw new Error(`\`${file}\` does not tell its server's version`);
  if (major < 1 || (major === 1 && minor < 29)) throw new Error(`its server is ${major}.${minor}, 1.29 is needed`);
  return file;
}

function inFolder(folder: string | undefined): string | undefined {
  return folder && join(folder, 'temporal');
}

async function downloaded(log: Log): Promise<string | undefined> {
  return inFolder(
    await makeCached(official, log, (folder) =>
      withProgress('downloading Temporal', log, () => download('temporal', folder)),
    ),
  );
}

async function built(log: Log): Promise<string | undefined> {
  const go = findOnPath('go');
  if (!go) throw new Error('no `go` on PATH');
  return inFolder(
    await makeCached(byGo, log, (folder) =>
      withProgress('building Temporal with Go (about 3 minutes, once)', log, () =>
        buildWithGo(go, module, { args: ['install', '-ldflags', '-s -w', program], cwd: folder, folder }),
      ),
    ),
  );
}

async function start(found: Found, options: TemporalOptions): Promise<Temporal> {
  const scratch = options.dataDirectory ? undefined : mkdtempSync(join(tmpdir(), 'policy-sync-temporal-'));
  const directory = options.dataDirectory ?? scratch ?? '';
  const logFile = join(directory, 'temporal.log');

  const attempt = async () => {
    mkdirSync(directory, { recursive: true });
    if (options.databaseFile) mkdirSync(dirname(options.databaseFile), { recursive: true });
    const [port, uiPort] = [await freePort(), options.ui === false ? undefined : await freePort()];
    const address = `127.0.0.1:${port}`;
    const server = await startGuarded({
      command: found.file,
      args: arguments_(port, uiPort, options.databaseFile),
      logFile,
      lockFile: options.databaseFile && `${options.databaseFile}.lock`,
      scratch,
    });
    return { server, logFile, address, uiPort, answers: () => answers(address) };
  };
  const { server, address, uiPort } = await launch('Temporal server', attempt, scratch);
  return {
    address,
    namespace: 'default',
    ...(uiPort ? { uiUrl: `http://127.0.0.1:${uiPort}` } : {}),
    source: found.source,
    stop: async () => void (await server.stop()),
  };
}

function arguments_(port: number, uiPort: number | undefined, databaseFile: string | undefined): string[] {
  return [
    ...['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port), '--namespace', 'default'],
    ...(uiPort ? ['--ui-port', String(uiPort)] : ['--headless']),
    ...(databaseFile ? ['--db-filename', databaseFile] : []),
    ...['--log-level', 'error'],
    ...Object.entries(dynamicConfig).flatMap(([key, value]) => ['--dynamic-config-value', `${key}=${value}`]),
    ...Object.entries(searchAttributes).flatMap(([name, type]) => ['--search-attribute', `${name}=${type}`]),
  ];
}

async function answers(address: string): Promise<boolean> {
  let connection: Connection | undefined;
  try {
    connection = await Connection.connect({ address, connectTimeout: '2s', channelArgs: direct });
    const [namespace, registered] = await connection.withDeadline(Date.now() + 2_000, () =>
      Promise.all([
        connection?.workflowService.describeNamespace({ namespace: 'default' }),
        connection?.operatorService.listSearchAttributes({ namespace: 'default' }),
      ]),
    );
    const names = Object.keys(registered?.customAttributes ?? {});
    return namespace !== undefined && Object.keys(searchAttributes).every((name) => names.includes(name));
  } catch {
    return false;
  } finally {
    await connection?.close().catch(() => {});
  }
}
