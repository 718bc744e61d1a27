import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectPolicyClient } from '../client/connect.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import { makeKey } from '../codec/keys.ts';
import { superviseWorker } from '../command/story/worker_process.ts';
import { merchantsFile } from '../sandbox/keys.ts';
import { startSandbox } from '../sandbox/server.ts';
import { makeNamespace, type Namespace, until } from './client_namespace.ts';
import { keysIn } from './made_keys.ts';
import { type Line, lineTo, startDatabase } from './storage_fixture.ts';

// A machine that runs other tests too takes its time to build the workflows' bundle.
const START_MS = 120_000;

/** The whole engine as users run it: Temporal, MongoDB, a strict sandbox, and a worker in a process of its own. */
export interface Stage {
  temporal: Namespace;
  client: PolicyClient;
  /** For commands in processes of their own. */
  env: NodeJS.ProcessEnv;
  sandboxUrl: string;
  /** The ways of worker, client and commands to the servers. */
  lines: { temporal: Line; mongodb: Line };
  /** For files of the test's own; removed at the end. */
  directory: string;
  /** What the supervisor of the worker said: `worker: process …`, `the worker has ended …`. */
  said: string[];
  stop(): Promise<void>;
}

/**
 * @param keys payload keys; a new one by default, none for plain payloads
 * @param settings of the worker beside those that it needs
 */
export async function setStage({
  keys = makeKey('test'),
  settings = {},
}: {
  keys?: string | null;
  settings?: NodeJS.ProcessEnv;
} = {}): Promise<Stage> {
  const directory = await mkdtemp(join(tmpdir(), 'policy-sync-stage-'));
  const ends: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, force: true })];
  const stop = async (): Promise<void> => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    const temporal = await makeNamespace();
    ends.push(() => temporal.stop());
    const database = await startDatabase();
    ends.push(() => database.stop());
    const [host = '', port] = temporal.address.split(':');
    const lines = { temporal: await lineTo({ host, port: Number(port) }), mongodb: await lineTo(database.address) };
    for (const line of Object.values(lines)) ends.push(() => line.cut());
    const sandbox = await startSandbox({ keys: await keysIn(join(directory, 'keys')), strict: true });
    ends.push(() => sandbox.close());
    const merchants = join(directory, 'merchants.json');
    await writeFile(merchants, JSON.stringify(merchantsFile(sandbox.keys, join(directory, 'keys'), sandbox.url)));
    const env = {
      ...temporal.env,
      TEMPORAL_ADDRESS: `127.0.0.1:${lines.temporal.port}`,
      MONGODB_URI: database.uri.replace(/\/\/[^/]+/, `//127.0.0.1:${lines.mongodb.port}`),
      POLICY_SYNC_KEYS: keys ?? undefined,
      POLICY_SYNC_MCHID: sandbox.keys.mchid,
      WECHATPAY_MERCHANTS: merchants,
    };
    const said: string[] = [];
    const worker = await superviseWorker({
      env: { ...env, ...settings },
      logFile: join(directory, 'worker.log'),
      log: (line) => said.push(line),
    });
    ends.push(() => worker.stop());
    const client = await connectPolicyClient({ env, timeout: 60_000 });
    ends.push(() => client.close());
    // A worker that cannot run is told at once, not by every test's time-out.
    await Promise.race([worker.broken, until(() => client.isServed(sandbox.keys.mchid), START_MS)]);
    return { temporal, client, env, sandboxUrl: sandbox.url, lines, directory, said, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
