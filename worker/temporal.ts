import { setTimeout as delay } from 'node:timers/promises';
import { type MetricsExporterConfig, NativeConnection, TransportError } from '@temporalio/worker';
import type { Log } from '../activities/log.ts';
import { codeOf, GRPC, reasonOf } from './grpc.ts';
import { installRuntime } from './log.ts';
import { type Settings, SettingsError } from './settings.ts';

const PATIENCE_MS = 60_000;
const AGAIN_MS = 5_000;

/**
 * A connection to the Temporal server, waited for up to a minute with one line a try.
 * @throws {SettingsError} when there is none, or not the namespace
 */
export async function connectTemporal(
  { connection: options, address, namespace }: Settings['temporal'],
  log: Log,
  { signal, metrics }: { signal: AbortSignal; metrics?: MetricsExporterConfig },
): Promise<NativeConnection> {
  // Not before: a runtime that never had a connection keeps the process from ending.
  installRuntime(log, metrics);
  const expected = `TEMPORAL_ADDRESS: expected a Temporal server at ${address}`;
  for (const deadline = Date.now() + PATIENCE_MS; ; ) {
    try {
      const connection = await NativeConnection.connect(options);
      await checkNamespace(connection, namespace, address);
      return connection;
    } catch (error) {
      if (error instanceof SettingsError) throw error;
      const passing = error instanceof TransportError || codeOf(error) === GRPC.UNAVAILABLE;
      const fault = `${expected}, found none that answers: ${reasonOf(error)}`;
      if (!passing || Date.now() + AGAIN_MS > deadline) throw new SettingsError([fault]);
      log.warn(`${fault}; trying again`);
      await delay(AGAIN_MS, undefined, { signal });
    }
  }
}

/** The SDK would tell of it in words that few understand. */
async function checkNamespace(connection: NativeConnection, namespace: string, address: string): Promise<void> {
  try {
    await connection.workflowService.describeNamespace({ namespace });
  } catch (error) {
    await connection.close();
    if (codeOf(error) !== GRPC.NOT_FOUND) throw error;
    throw new SettingsError([
      `TEMPORAL_NAMESPACE: expected a namespace of the server at ${address}, found "${namespace}", which it has not`,
    ]);
  }
}
