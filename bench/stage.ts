import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ky from 'ky';
import { connectPolicyClient } from '../client/connect.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import { makeKey } from '../codec/keys.ts';
import { startServers } from '../embedded/servers.ts';
import type { Policy } from '../policy/record.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import { merchantsFile, readKeys } from '../sandbox/keys.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import type { Say } from './bench.ts';
import { COLLECTABLE, COMMAND } from './built.ts';
import { ownProcesses } from './proc.ts';
import { type Ready, startReady } from './processes.ts';

const ANSWER_MS = 60_000;

/** The engine as in production, each part in a process of its own: servers, a strict sandbox, workers. */
export interface Stage {
  /** A folder that goes with the stage. */
  directory: string;
  address: string;
  namespace: string;
  mongoUri: string;
  /** The merchant's calls a second. */
  rate: number;
  mchid: string;
  client: PolicyClient;
  workers: Ready[];
  /** Rejects when one of the workers ends. */
  broken: Promise<never>;
  /** Has the sandbox hold a policy. */
  put(policy: Policy): Promise<void>;
  faults(...rules: Pick<FaultRule, 'match' | 'do'>[]): Promise<void>;
  /** What reached the sandbox after its request number `after`. */
  requests(after?: number): Promise<LoggedRequest[]>;
  /** Whether the workers take the merchant's calls; they look every 2 s. */
  serve(served: boolean): Promise<void>;
  /** One more worker process of ours. */
  startWorker(): Promise<Ready>;
  /** Processes by what they are to a policy. */
  parts(): Record<'worker' | 'temporal' | 'mongodb' | 'sandbox', number[]>;
  end(): Promise<void>;
}

export interface StageOptions {
  /** @default 1 */
  workers?: number;
  /** The merchant's `requests_per_second`. @default 500 */
  rate?: number;
  /** Whether calls are taken from the start on. @default true */
  served?: boolean;
  /** Whether workers can be told to collect garbage; see `settledMemory`. */
  collectable?: boolean;
  /** What the heap of a worker may grow to, in MB. @default as Node has it */
  memory?: number;
  say: Say;
}

/** @throws an error of one line; what was started is ended */
export async function setStage(options: StageOptions): Promise<Stage> {
  const directory = await mkdtemp(join(tmpdir(), 'policy-sync-bench-'));
  const ends: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, force: true })];
  const end = async (): Promise<void> => {
    for (const step of ends.splice(0).reverse()) await step();
  };
  try {
    return { ...(await set(directory, options, (step) => ends.push(step))), end };
  } catch (error) {
    await end();
    throw error;
  }
}

async function set(
  directory: string,
  { workers = 1, rate = 500, served = true, collectable = false, memory, say }: StageOptions,
  atEnd: (end: () => Promise<unknown>) => void,
): Promise<Omit<Stage, 'end'>> {
  const servers = await startServers({ log: say, ui: false, useEnvironment: false });
  atEnd(() => servers.stop());
  const keysIn = join(directory, 'sandbox');
  const sandbox = await startSandbox(keysIn, join(directory, 'sandbox.log'));
  atEnd(() => sandbox.stop());
  const { url } = JSON.parse(sandbox.line) as { url: string };
  const keys = await readKeys(keysIn);
  const { mchid } = keys;
  const file = join(directory, 'merchants.json');
  const settings = { ...merchantsFile(keys, keysIn, url)[mchid], requests_per_second: rate };
  const serve = (taken: boolean): Promise<void> => writeFile(file, JSON.stringify(taken ? { [mchid]: settings } : {}));
  await serve(served);
  const { address, namespace } = servers.temporal;
  const env = {
    ...withoutTemporal(process.env),
    TEMPORAL_ADDRESS: address,
    TEMPORAL_NAMESPACE: namespace,
    MONGODB_URI: servers.mongo.uri,
    POLICY_SYNC_KEYS: makeKey('bench'),
    WECHATPAY_MERCHANTS: file,
  };
  const running: Ready[] = [];
  const startWorker = async (): Promise<Ready> => {
    const flags = [...(collectable ? COLLECTABLE : []), ...(memory ? [`--max-old-space-size=${memory}`] : [])];
    const worker = await startWorkerProcess(env, join(directory, `worker-${running.length + 1}.log`), flags);
    atEnd(() => worker.stop());
    running.push(worker);
    return worker;
  };
  for (let n = 1; n <= workers; n++) await startWorker();
  const client = await connectPolicyClient({ env, timeout: ANSWER_MS });
  atEnd(() => client.close());
  const api = ky.create({ prefixUrl: `${url}/_sandbox`, retry: 0, timeout: ANSWER_MS });
  const only = (pid: number | undefined): number[] => (pid === undefined ? [] : [pid]);
  return {
    directory,
    ...{ address, namespace, mongoUri: servers.mongo.uri, rate, mchid, client },
    workers: running,
    broken: Promise.race(running.map(({ broken }) => broken)),
    put: async (policy) => void (await api.put(`policies/${policy.out_insurance_no}`, { json: policy })),
    faults: async (...rules) => void (await api.put('faults', { json: rules })),
    requests: (after = 0) => api.get('requests', { searchParams: { after } }).json<LoggedRequest[]>(),
    serve,
    startWorker,
    parts: () => ({
      worker: running.map(({ pid }) => pid),
      temporal: only(servers.temporal.pid),
      // FerretDB and its PostgreSQL stand side by side.
      mongodb: [...only(servers.mongo.pid), ...ownProcesses('postgres')],
      sandbox: [sandbox.pid],
    }),
  };
}

/** In a process of its own, so that what it has to do does not delay the clock of who measures. */
function startSandbox(keys: string, logFile: string): Promise<Ready> {
  const args = [COMMAND, 'sandbox', '--strict', '--keys', keys];
  return startReady({ command: process.execPath, args, logFile }, /^\{"url"/);
}

function startWorkerProcess(env: NodeJS.ProcessEnv, logFile: string, flags: readonly string[]): Promise<Ready> {
  const args = [...flags, COMMAND, 'worker', '--promote'];
  return startReady({ command: process.execPath, args, env, logFile }, /worker is running/);
}

function withoutTemporal(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('TEMPORAL_')));
}
