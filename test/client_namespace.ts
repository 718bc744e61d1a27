import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import proto from '@temporalio/proto';
import { startTemporal } from '../embedded/temporal.ts';
import { SEARCH_ATTRIBUTES } from '../workflows/messages.ts';

/** A Temporal namespace of this test's own, with search attributes, so that no other test's worker polls in it. */
export interface Namespace {
  address: string;
  namespace: string;
  /** `TEMPORAL_*` for clients and workers, nothing else of Temporal's. */
  env: NodeJS.ProcessEnv;
  connection: Connection;
  stop(): Promise<void>;
}

const { INDEXED_VALUE_TYPE_KEYWORD: Keyword, INDEXED_VALUE_TYPE_DATETIME: Datetime } =
  proto.temporal.api.enums.v1.IndexedValueType;
const ATTRIBUTES = Object.fromEntries(
  Object.values(SEARCH_ATTRIBUTES).map(({ name, type }) => [name, type === 'KEYWORD' ? Keyword : Datetime]),
);

export async function makeNamespace(): Promise<Namespace> {
  const given = process.env.TEST_TEMPORAL_ADDRESS;
  const server = given ? undefined : await startTemporal({ log: () => {}, ui: false, useEnvironment: false });
  const address = given ?? server?.address ?? '';
  const connection = await Connection.connect({ address });
  const namespace = `test-${randomUUID().slice(0, 8)}`;
  const day = { seconds: 86_400 as never };
  await connection.workflowService.registerNamespace({ namespace, workflowExecutionRetentionPeriod: day });
  await until(async () => {
    await connection.operatorService.addSearchAttributes({ namespace, searchAttributes: ATTRIBUTES });
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    return Object.keys(ATTRIBUTES).every((name) => name in (customAttributes ?? {}));
  });
  const others = Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_'));
  return {
    address,
    namespace,
    env: { ...Object.fromEntries(others), TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace },
    connection,
    async stop() {
      await connection.close();
      await server?.stop();
    },
  };
}

/**
 * Until it holds; an error counts as "not yet". Never longer than `limit` ms. What takes long is looked at more seldom: a
 * look at a policy is a query, which costs server and worker as much as a message does.
 */
export async function until(holds: () => Promise<boolean>, limit = 60_000): Promise<void> {
  let last: unknown = 'it never held';
  const deadline = Date.now() + limit;
  for (let pause = 50; Date.now() < deadline; pause = longer(pause)) {
    try {
      if (await holds()) return;
    } catch (error) {
      last = error;
    }
    await delay(pause);
  }
  throw new Error(`not within ${limit} ms: ${String(last)}`);
}

/** The pause after a pause, in ms. */
export function longer(pause: number): number {
  return Math.min(pause * 1.25, 300);
}
