import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Connection, type ConnectionOptions } from '@temporalio/client';
import { InternalConnectionOptionsSymbol } from '@temporalio/client/lib/connection.js';
import proto from '@temporalio/proto';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { NativeConnection, Runtime } from '@temporalio/worker';
import { runToEnd } from './build.ts';
import { findCached, makeCached } from './cache.ts';
import { download } from './download.ts';
import { type Guarded, startGuarded } from './guarded.ts';
import { launch } from './launch.ts';
import type { Log } from './log.ts';
import { findOnPath } from './path.ts';
import { freePort } from './ports.ts';
import { withProgress } from './progress.ts';
import { searchAttributes } from './search_attributes.ts';
import { type Found, firstOf, type Source } from './sources.ts';

export type TimeSkippingOptions = {
  log: Log;
  /** Options of the environment's client, its data converter for example. */
  client?: TestWorkflowEnvironment['options']['client'];
};

const downloaded = { tool: 'temporal-test-server', version: 'sdk-1.24' };
const jars = { tool: 'temporal-test-server', version: 'java-1.32.0' };
const pom = fileURLToPath(new URL('time_skipping/pom.xml', import.meta.url));
const otherwise =
  'it is for tests only, and needs its official download, or Java 11 or later and Maven (`java`, `mvn` on PATH)';
const javaOptions = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];

/** Finds or fetches Temporal's test server, whose clock jumps to the next timer. See `firstOf` for its errors. */
export function findTimeSkipping(log: Log): Promise<Found> {
  return firstOf('time-skipping test server', sources(log), otherwise, log);
}

/**
 * Starts a time-skipping test server, the search attributes of policies registered, and connects to it.
 * @returns the SDK's environment, whose `teardown()` ends the server too
 * @throws EmbeddedServerError in one line when there is no server, or it ends before it answers
 */
export async function startTimeSkipping({ log, client = {} }: TimeSkippingOptions): Promise<TestWorkflowEnvironment> {
  const found = await findTimeSkipping(log);
  log(`time-skipping test server: ${found.source}`);
  const scratch = mkdtempSync(join(tmpdir(), 'policy-sync-time-skipping-'));
  const logFile = join(scratch, 'time-skipping.log');

  const attempt = async () => {
    const port = await freePort();
    const address = `127.0.0.1:${port}`;
    const server = await startGuarded({ ...commandOf(found.file, port), logFile, scratch });
    return { server, logFile, address, answers: () => answers(address) };
  };
  const { server, address } = await launch('time-skipping test server', attempt, scratch);
  try {
    const connection = await connect(address);
    await register(connection);
    const nativeConnection = await NativeConnection.connect({ address, ...withTestService });
    return new TimeSkippingEnvironment(address, connection, nativeConnection, client, server);
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/**
 * The SDK starts such a server by itself, but as a child that a `kill -9` of this process would leave behind; so the
 * server runs under our guard, and the environment is told of it.
 */
class TimeSkippingEnvironment extends TestWorkflowEnvironment {
  readonly #server: Guarded;

  constructor(
    address: string,
    connection: Connection,
    nativeConnection: NativeConnection,
    client: TestWorkflowEnvironment['options']['client'],
    server: Guarded,
  ) {
    const options = { server: { type: 'existing' as const }, client, plugins: [] };
    super(Runtime.instance(), options, true, 'existing', connection, nativeConnection, undefined, address);
    this.#server = server;
  }

  override async teardown(): Promise<void> {
    await super.teardown();
    await this.#server.stop();
  }
}

// A proxy in the environment is not for loopback.
const direct = { 'grpc.enable_http_proxy': 0 };
const withTestService = { [InternalConnectionOptionsSymbol]: { supportsTestService: true } };

function sources(log: Log): Source[] {
  return [
    { name: 'the official download, from the cache', find: () => inFolder(findCached(downloaded)) },
    { name: 'its Java build, from the cache', find: () => (findOnPath('java') ? findCached(jars) : undefined) },
    { name: 'the official download', find: () => official(log) },
    { name: 'its Java build, by Maven', find: () => fetchedByMaven(log) },
  ];
}

function inFolder(folder: string | undefined): string | undefined {
  return folder && join(folder, 'temporal-test-server');
}

async function official(log: Log): Promise<string | undefined> {
  return inFolder(
    await makeCached(downloaded, log, (folder) =>
      withProgress('downloading the time-skipping test server', log, () => download('time-skipping', folder)),
    ),
  );
}

async function fetchedByMaven(log: Log): Promise<string> {
  const mvn = findOnPath('mvn');
  if (!findOnPath('java') || !mvn) throw new Error('no `java` and `mvn` on PATH');
  const args = ['-B', '-f', pom, 'dependency:copy-dependencies', '-DincludeScope=runtime'];
  return makeCached(jars, log, (folder) =>
    withProgress('fetching the time-skipping test server with Maven', log, () =>
      runToEnd(
        { command: mvn, args: [...args, `-DoutputDirectory=${folder}`], logFile: join(folder, 'build.log') },
        20_000,
      ),
    ),
  );
}

/** The official build is a program, the Java build a folder of jars. */
function commandOf(found: string, port: number): { command: string; args: string[] } {
  if (!found.includes(jars.version)) return { command: found, args: [String(port)] };
  const args = [...javaOptions, '-cp', join(found, '*'), 'io.temporal.testserver.TestServer', String(port)];
  return { command: findOnPath('java') ?? 'java', args };
}

function connect(address: string): Promise<Connection> {
  const options = { address, connectTimeout: '2s', channelArgs: direct, ...withTestService };
  return Connection.connect(options as ConnectionOptions);
}

async function answers(address: string): Promise<boolean> {
  try {
    await (await connect(address)).close();
    return true;
  } catch {
    return false;
  }
}

async function register(connection: Connection): Promise<void> {
  const { INDEXED_VALUE_TYPE_DATETIME, INDEXED_VALUE_TYPE_KEYWORD } = proto.temporal.api.enums.v1.IndexedValueType;
  const numbers = { Keyword: INDEXED_VALUE_TYPE_KEYWORD, Datetime: INDEXED_VALUE_TYPE_DATETIME };
  await connection.operatorService.addSearchAttributes({
    namespace: 'default',
    searchAttributes: Object.fromEntries(Object.entries(searchAttributes).map(([name, type]) => [name, numbers[type]])),
  });
}
