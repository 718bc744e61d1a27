import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import proto from '@temporalio/proto';
import ky from 'ky';
import { connectPolicyClient } from '../client/connect.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import { makeKey } from '../codec/keys.ts';
import { superviseWorker, type WorkerProcess } from '../command/story/worker_process.ts';
import { startGuarded } from '../embedded/guarded.ts';
import { startServers } from '../embedded/servers.ts';
import type { Policy } from '../policy/record.ts';
import { merchantsFile, readKeys } from '../sandbox/keys.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { callQueueOf } from '../workflows/messages.ts';

const COMMAND = fileURLToPath(new URL('../bin/policy-sync.mjs', import.meta.url));
const START_MS = 60_000;

/** The engine as in production, each part in a process of its own: servers, a strict sandbox, workers. */
export interface Stage {
  mchid: string;
  client: PolicyClient;
  /** Rejects when a worker keeps dying. */
  broken: Promise<never>;
  /** Has the sandbox hold a policy. */
  put(policy: Policy): Promise<void>;
  /** What reached the sandbox after its request number `after`. */
  requests(after?: number): Promise<LoggedRequest[]>;
  /** Whether the workers take the merchant's calls, at first they do not; they look every 2 s. */
  serve(served: boolean): Promise<void>;
  /** The merchant's queue by the Temporal server's own figures, which are some seconds old. */
  queue(): Promise<Queue>;
  end(): Promise<void>;
}

export interface Queue {
  /** How many calls wait. */
  waiting: number;
  /** How long the one whose turn is next has waited, in ms. */
  oldest_ms: number;
}

export interface StageOptions {
  workers: number;
  /** The merchant's `requests_per_second`. */
  rate: number;
  log: (line: string) => void;
}

/** @throws an error of one line; what was started is ended */
export async function setStage({ workers, rate, log }: StageOptions): Promise<Stage> {
  const directory = await mkdtemp(join(tmpdir(), 'policy-sync-bench-'));
  const ends: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, force: true })];
  const end = async (): Promise<void> => {
    for (const step of ends.splice(0).reverse()) await step();
  };
  try {
    const servers = await startServers({ log, ui: false, useEnvironment: false });
    ends.push(() => servers.stop());
    const keysIn = join(directory, 'sandbox');
    const sandbox = await startSandboxProcess(keysIn, join(directory, 'sandbox.log'));
    ends.push(() => sandbox.stop());
    const { mchid, ...keys } = await readKeys(keysIn);
    const file = join(directory, 'merchants.json');
    const settings = { ...merchantsFile({ mchid, ...keys }, keysIn, sandbox.url)[mchid], requests_per_second: rate };
    const serve = (served: boolean): Promise<void> =>
      writeFile(file, JSON.stringify(served ? { [mchid]: settings } : {}));
    await serve(false);
    const others = Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_'));
    const env = {
      ...Object.fromEntries(others),
      TEMPORAL_ADDRESS: servers.temporal.address,
      TEMPORAL_NAMESPACE: servers.temporal.namespace,
      MONGODB_URI: servers.mongo.uri,
      POLICY_SYNC_KEYS: makeKey('bench'),
      WECHATPAY_MERCHANTS: file,
    };
    const running: WorkerProcess[] = [];
    for (let n = 1; n <= workers; n++) {
      const worker = await superviseWorker({ env, logFile: join(directory, `worker-${n}.log`), log });
      ends.push(() => worker.stop());
      running.push(worker);
    }
    const client = await connectPolicyClient({ env, timeout: START_MS });
    ends.push(() => client.close());
    const api = ky.create({ prefixUrl: `${sandbox.url}/_sandbox`, retry: 0, timeout: START_MS });
    return {
      mchid,
      client,
      broken: Promise.race(running.map(({ broken }) => broken)),
      put: async (policy) => void (await api.put(`policies/${policy.out_insurance_no}`, { json: policy })),
      requests: (after = 0) => api.get('requests', { searchParams: { after } }).json<LoggedRequest[]>(),
      serve,
      queue: () => queueOf(client, callQueueOf(mchid)),
      end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** In a process of its own, so that what it has to do does not delay the clock of who measures. */
async function startSandboxProcess(keys: string, logFile: string): Promise<{ url: string; stop(): Promise<unknown> }> {
  const sandbox = await startGuarded({
    command: process.execPath,
    args: [COMMAND, 'sandbox', '--strict', '--keys', keys],
    logFile,
  });
  let ended = false;
  sandbox.exited.then(() => {
    ended = true;
  });
  for (const deadline = Date.now() + START_MS; Date.now() < deadline && !ended; await delay(100)) {
    const said = await readFile(logFile, 'utf8');
    const line = /^\{"url".*\}\n/m.exec(said)?.[0];
    if (line) return { ...(JSON.parse(line) as { url: string }), stop: () => sandbox.stop() };
  }
  await sandbox.stop();
  throw new Error(`the sandbox did not start; see ${logFile}`);
}

const { TASK_QUEUE_TYPE_ACTIVITY } = proto.temporal.api.enums.v1.TaskQueueType;

async function queueOf({ temporal }: PolicyClient, name: string): Promise<Queue> {
  const { stats } = await temporal.workflowService.describeTaskQueue({
    namespace: temporal.options.namespace,
    taskQueue: { name },
    taskQueueType: TASK_QUEUE_TYPE_ACTIVITY,
    reportStats: true,
  });
  const { approximateBacklogCount = 0, approximateBacklogAge: age } = stats ?? {};
  return {
    waiting: Number(approximateBacklogCount),
    oldest_ms: Number(age?.seconds ?? 0) * 1000 + (age?.nanos ?? 0) / 1e6,
  };
}
