import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Connection } from '@temporalio/client';
import { onLoopback } from './grpc.ts';
import { startGuarded } from './guarded.ts';
import { launch } from './launch.ts';
import type { Log } from './log.ts';
import { freePort } from './ports.ts';
import { searchAttributes } from './search_attributes.ts';
import type { Found } from './sources.ts';
import { findTemporal } from './temporal_program.ts';

export type TemporalOptions = {
  log: Log;
  /** Keeps workflows over a restart; without it they are in memory only. */
  databaseFile?: string;
  /** Where it listens; by default any free port. One that is started again is found where it was. */
  port?: number;
  /** Serves Temporal's web UI too (default). */
  ui?: boolean;
  /** URL of the codec server that the UI opens payloads by; without it the UI shows them as they are. */
  codecEndpoint?: string;
  /** Dynamic configuration other than the usual one here, say for a server that cannot do what ours can. */
  dynamicConfig?: Record<string, boolean | number>;
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
  /** Its process; undefined for the user's own. */
  pid?: number;
  /** Ends the server; does nothing to the user's own. */
  stop(): Promise<void>;
};

const dynamicConfig = {
  // A user's change overtakes verifications: 0.24 s instead of 10 s behind 200 waiting calls.
  'matching.useNewMatcher': true,
  'matching.numTaskqueueReadPartitions': 1,
  'matching.numTaskqueueWritePartitions': 1,
  // Off by default: a policy's workflow can be paused here as it can be elsewhere.
  'frontend.WorkflowPauseEnabled': true,
  // A run is deleted at once, and not after half a minute: `policy-sync erase` waits for it.
  'history.transferProcessorEnsureCloseBeforeDelete': false,
  'history.visibilityProcessorEnsureCloseBeforeDelete': false,
  // It would ask a server outside.
  'frontend.enableServerVersionCheck': false,
};

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

async function start(found: Found, options: TemporalOptions): Promise<Temporal> {
  const scratch = options.dataDirectory ? undefined : mkdtempSync(join(tmpdir(), 'policy-sync-temporal-'));
  const directory = options.dataDirectory ?? scratch ?? '';
  const logFile = join(directory, 'temporal.log');

  const attempt = async () => {
    mkdirSync(directory, { recursive: true });
    if (options.databaseFile) mkdirSync(dirname(options.databaseFile), { recursive: true });
    const [port, uiPort] = [options.port ?? (await freePort()), options.ui === false ? undefined : await freePort()];
    const address = `127.0.0.1:${port}`;
    const server = await startGuarded({
      command: found.file,
      args: flags(port, uiPort, options),
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
    pid: server.pid,
    stop: async () => void (await server.stop()),
  };
}

function flags(port: number, uiPort: number | undefined, options: TemporalOptions): string[] {
  const { databaseFile, codecEndpoint } = options;
  const configured = { ...dynamicConfig, ...options.dynamicConfig };
  return [
    ...['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port), '--namespace', 'default'],
    ...(uiPort ? ['--ui-port', String(uiPort)] : ['--headless']),
    ...(uiPort && codecEndpoint ? ['--ui-codec-endpoint', codecEndpoint] : []),
    ...(databaseFile ? ['--db-filename', databaseFile] : []),
    ...['--log-level', 'error'],
    ...Object.entries(configured).flatMap(([key, value]) => ['--dynamic-config-value', `${key}=${value}`]),
    ...Object.entries(searchAttributes).flatMap(([name, type]) => ['--search-attribute', `${name}=${type}`]),
  ];
}

async function answers(address: string): Promise<boolean> {
  let connection: Connection | undefined;
  try {
    connection = await Connection.connect({ address, connectTimeout: '2s', channelArgs: onLoopback });
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
