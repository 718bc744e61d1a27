import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import ky, { type KyInstance } from 'ky';
import { connectPolicyClient, keyringOf } from '../client/connect.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import { makeKey } from '../codec/keys.ts';
import { type Guarded, lastLines, startGuarded } from '../embedded/guarded.ts';
import { startMongo } from '../embedded/mongodb.ts';
import { steadyPort } from '../embedded/ports.ts';
import { startTemporal } from '../embedded/temporal.ts';
import { makeKeys, merchantsFile } from '../sandbox/keys.ts';
import { startSandbox } from '../sandbox/server.ts';
import { connect, type Storage } from '../storage/connection.ts';
import type { Kill } from './plan.ts';
import { startWitness, type Witness } from './witness.ts';

const COMMAND = fileURLToPath(new URL('../bin/policy-sync.mjs', import.meta.url));
/** A busy machine takes minutes to bring a worker up while Temporal is killed again and again. */
const START_MS = 300_000;
/** Whoever waits longer asks again: the same message twice is done once. */
const ANSWER_MS = 20_000;
const RESTARTS = 5;
/** So long the merchant lacks a new key of WeChat Pay's. */
const UNTOLD_MS = 2_000;

/** The engine as in production, on servers that can be killed, with a strict sandbox behind a witness. */
export interface ChaosStage {
  mchid: string;
  client: PolicyClient;
  /** `/_sandbox` of the sandbox. */
  sandbox: KyInstance;
  witness: Witness;
  /** What rests in MongoDB, opened. A storage of its own each time: none has lived through an outage. */
  stored<T>(look: (storage: Storage) => Promise<T>): Promise<T>;
  /** SIGKILL now, and started again once the time is over; resolves when it is up again. */
  kill(kill: Kill): Promise<void>;
  /** WeChat Pay signs with another key from now on, which the merchant gets a little later. */
  rotate(): Promise<void>;
  stop(): Promise<void>;
}

/** A part that comes back where it was. */
interface Part {
  kill(down: number): Promise<void>;
  stop(): Promise<unknown>;
}

/** @throws an error of one line; what was started is ended */
export async function setChaosStage(directory: string, workers: number): Promise<ChaosStage> {
  const ends: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    return { ...(await set(directory, workers, (end) => ends.push(end))), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function set(
  directory: string,
  workers: number,
  atEnd: (end: () => Promise<unknown>) => void,
): Promise<Omit<ChaosStage, 'stop'>> {
  const [log, files] = [(): void => {}, join(directory, 'servers')];
  const [temporalPort, mongoPort] = [await steadyPort(), await steadyPort()];
  const quiet = { log, useEnvironment: false };
  const dataDirectory = join(files, 'temporal');
  const databaseFile = join(dataDirectory, 'temporal.db');
  const temporal = await server(() =>
    startTemporal({ ...quiet, ui: false, dataDirectory, databaseFile, port: temporalPort }),
  );
  atEnd(() => temporal.stop());
  let uri = '';
  const mongo = await server(async () => {
    const started = await startMongo({ ...quiet, directory: join(files, 'mongodb'), port: mongoPort });
    uri = started.uri.replace(/\/(\?|$)/, '/chaos$1');
    return started;
  });
  atEnd(() => mongo.stop());

  const sandbox = await startSandbox({ keys: join(files, 'keys'), strict: true });
  atEnd(() => sandbox.close());
  const witness = await startWitness(sandbox);
  atEnd(() => witness.close());
  const merchants = join(files, 'merchants.json');
  const settings = merchantsFile(sandbox.keys, join(files, 'keys'), witness.url);
  await writeFile(merchants, JSON.stringify(settings));

  const others = Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_'));
  const env = {
    ...Object.fromEntries(others),
    TEMPORAL_ADDRESS: `127.0.0.1:${temporalPort}`,
    TEMPORAL_NAMESPACE: 'default',
    MONGODB_URI: uri,
    POLICY_SYNC_KEYS: makeKey('chaos'),
    WECHATPAY_MERCHANTS: merchants,
  };
  const running: Part[] = [];
  for (let n = 1; n <= workers; n++) {
    const worker = await workerProcess(join(directory, `worker-${n}.log`), env);
    atEnd(() => worker.stop());
    running.push(worker);
  }
  const client = await connectPolicyClient({ env, timeout: ANSWER_MS });
  atEnd(() => client.close());
  return {
    mchid: sandbox.keys.mchid,
    client,
    sandbox: ky.create({ prefixUrl: `${sandbox.url}/_sandbox`, retry: 0, timeout: START_MS }),
    witness,
    stored: async (look) => {
      const storage = await connect(uri, { keyring: keyringOf(env) });
      return look(storage).finally(() => storage.close());
    },
    rotate: async () => {
      const rotated = join(files, 'rotated');
      const keys = await makeKeys(rotated);
      witness.rotate(keys);
      await delay(UNTOLD_MS);
      await writeFile(merchants, JSON.stringify(withKeysOf(settings, merchantsFile(keys, rotated, witness.url))));
    },
    kill: async ({ victim, which, down }) => {
      const part = { worker: running[which], Temporal: temporal, MongoDB: mongo }[victim];
      await part?.kill(down);
    },
  };
}

/** Settings of merchants that know WeChat Pay's keys of the others, too. */
function withKeysOf(settings: Record<string, object>, others: Record<string, object>): Record<string, object> {
  const keysIn = (of: object): object[] => (of as { wechatpay_keys: object[] }).wechatpay_keys;
  const added = Object.values(others).flatMap(keysIn);
  return Object.fromEntries(
    Object.entries(settings).map(([mchid, own]) => [mchid, { ...own, wechatpay_keys: [...keysIn(own), ...added] }]),
  );
}

type Started = { pid?: number; stop(): Promise<unknown> };

async function server(begin: () => Promise<Started>): Promise<Part> {
  let current = await begin();
  const again = async (tries: number): Promise<Started> =>
    begin().catch((error) => {
      if (tries <= 1) throw error;
      return again(tries - 1);
    });
  return {
    kill: async (down) => {
      if (current.pid !== undefined) process.kill(current.pid, 'SIGKILL');
      // What is behind it, as PostgreSQL behind FerretDB, ends in good order.
      await current.stop();
      await delay(down);
      current = await again(RESTARTS);
    },
    stop: () => current.stop(),
  };
}

/** `policy-sync worker`, begun anew whenever it ends: it does so by itself where it finds no Temporal server. */
async function workerProcess(logFile: string, env: NodeJS.ProcessEnv): Promise<Part> {
  const args = [COMMAND, 'worker', '--promote'];
  let [current, down, stopping]: [Guarded | undefined, number, boolean] = [undefined, 0, false];
  const live = async (): Promise<void> => {
    while (!stopping) {
      current = await startGuarded({ command: process.execPath, args, env, logFile });
      await current.exited;
      await delay(down + 500);
      down = 0;
    }
  };
  const lives = live();
  const runs = async (times: number): Promise<void> => {
    for (const deadline = Date.now() + START_MS; Date.now() < deadline; await delay(200))
      if ((await runsIn(logFile)) >= times) return;
    throw new Error(`a worker does not run: ${lastLines(logFile)}`);
  };
  const stop = async (): Promise<void> => {
    stopping = true;
    await current?.stop();
    await lives;
  };
  await runs(1).catch(async (error) => {
    await stop();
    throw error;
  });
  return {
    kill: async (wanted) => {
      const before = await runsIn(logFile);
      down = wanted;
      if (current) process.kill(current.pid, 'SIGKILL');
      await runs(before + 1);
    },
    stop,
  };
}

/** How many workers have begun to run, by their log. */
async function runsIn(logFile: string): Promise<number> {
  return (await readFile(logFile, 'utf8').catch(() => '')).split('worker is running').length - 1;
}
