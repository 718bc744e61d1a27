import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection, type ConnectionOptions } from '@temporalio/client';
import { InternalConnectionOptionsSymbol } from '@temporalio/client/lib/connection.js';
import proto from '@temporalio/proto';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { NativeConnection, Runtime } from '@temporalio/worker';
import { onLoopback } from './grpc.ts';
import { type Guarded, startGuarded } from './guarded.ts';
import { launch } from './launch.ts';
import type { Log } from './log.ts';
import { freePort } from './ports.ts';
import { searchAttributes } from './search_attributes.ts';
import { findTimeSkipping, timeSkippingCommand } from './time_skipping_program.ts';

export type TimeSkippingOptions = {
  log: Log;
  /** Options of the environment's client, its data converter for example. */
  client?: TestWorkflowEnvironment['options']['client'];
};

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
    const server = await startGuarded({ ...timeSkippingCommand(found.file, port), logFile, scratch });
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

const withTestService = { [InternalConnectionOptionsSymbol]: { supportsTestService: true } };

function connect(address: string): Promise<Connection> {
  const options = { address, connectTimeout: '2s', channelArgs: onLoopback, ...withTestService };
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
