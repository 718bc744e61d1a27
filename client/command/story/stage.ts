import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { makeKey } from '../../../codec/keys.ts';
import { type Servers, startServers } from '../../../embedded/servers.ts';
import { merchantsFile } from '../../../sandbox/keys.ts';
import { type Sandbox, startSandbox } from '../../../sandbox/server.ts';
import { connectPolicyClient } from '../../connect.ts';
import type { PolicyClient } from '../../policy_client.ts';
import { aborted } from './aborted.ts';
import { WechatPay } from './wechatpay.ts';
import { superviseWorker } from './worker_process.ts';

export interface StageOptions {
  keep?: string;
  log: (line: string) => void;
  interrupted: AbortSignal;
}

/** All that the policies need to be lived. */
export interface Stage {
  mchid: string;
  wechatpay: WechatPay;
  client: PolicyClient;
  /** The same with little patience, for looks at policies while the worker may be away. */
  glance: PolicyClient;
  uiUrl: string | undefined;
  /** Temporal is the user's own server, which goes on when the story has ended. */
  isUsersTemporal: boolean;
  namespace: string;
  /** Rejects when the stage breaks down: the worker keeps dying. */
  broken: Promise<never>;
  /** Ends every process, and removes the folder unless it is to be kept. */
  end(): Promise<void>;
}

const PATIENCE_MS = 60_000;
const GLANCE_MS = 2_000;
const REQUESTS_PER_SECOND = 50;
const SETTLE_MS = 3_000;

/**
 * Starts servers, sandbox and worker. Without a folder to keep, servers keep their data to themselves.
 * @throws an error of one line; what was started is ended
 */
export async function setStage({ keep, log, interrupted }: StageOptions): Promise<Stage> {
  const directory = keep === undefined ? await mkdtemp(join(tmpdir(), 'policy-sync-')) : resolve(keep);
  const ends: (() => Promise<unknown>)[] =
    keep === undefined ? [() => rm(directory, { recursive: true, force: true })] : [];
  const end = async (): Promise<void> => {
    for (const step of ends.splice(0).reverse()) await step();
  };
  try {
    await mkdir(directory, { recursive: true });
    const servers = await serversUnless(interrupted, startServers({ log, directory: keep && directory }));
    ends.push(() => servers.stop());
    const sandbox = await startSandbox({ keys: join(directory, 'sandbox'), strict: true });
    ends.push(() => sandbox.close());
    log(`WeChat Pay: a sandbox at ${sandbox.url} (--strict)`);
    const env = await settingsFor(directory, servers, sandbox);
    const worker = await superviseWorker({ env, logFile: join(directory, 'worker.log'), log });
    ends.push(() => worker.stop());
    // The clients are left to the end of the process: the SDK throws, for nobody to catch, when a call that it is about
    // to try again finds its channel closed.
    const client = await connectPolicyClient({ env, timeout: PATIENCE_MS });
    const glance = await connectPolicyClient({ env, timeout: GLANCE_MS });
    if (keep !== undefined)
      log(`data, logs and settings: ${directory} (\`. ${join(directory, 'env')}\` for policy-sync)`);
    const { uiUrl, namespace } = servers.temporal;
    const isUsersTemporal = isUsers(servers);
    const wechatpay = new WechatPay(sandbox.url);
    return {
      mchid: sandbox.keys.mchid,
      wechatpay,
      client,
      glance,
      uiUrl,
      isUsersTemporal,
      namespace,
      broken: worker.broken,
      end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** A build may take minutes: Ctrl-C does not wait for it. Under their guards, servers end with this process. */
async function serversUnless(interrupted: AbortSignal, starting: Promise<Servers>): Promise<Servers> {
  const servers = await Promise.race([starting, aborted(interrupted)]);
  if (servers && !interrupted.aborted) return servers;
  const late = starting.then((started) => started.stop()).catch(() => {});
  await Promise.race([late, delay(SETTLE_MS)]);
  throw interrupted.reason;
}

/** The environment of worker and clients: these servers, the sandbox's merchant, payload keys of this folder. */
async function settingsFor(directory: string, servers: Servers, sandbox: Sandbox): Promise<NodeJS.ProcessEnv> {
  const merchants = join(directory, 'merchants.json');
  const file = merchantsFile(sandbox.keys, join(directory, 'sandbox'), sandbox.url);
  const paced = Object.entries(file).map(([mchid, one]) => [
    mchid,
    { ...one, requests_per_second: REQUESTS_PER_SECOND },
  ]);
  await writeFile(merchants, JSON.stringify(Object.fromEntries(paced), null, 2));
  const settings = {
    TEMPORAL_ADDRESS: servers.temporal.address,
    TEMPORAL_NAMESPACE: servers.temporal.namespace,
    MONGODB_URI: servers.mongo.uri,
    POLICY_SYNC_KEYS: await payloadKeys(join(directory, 'payload_keys')),
    WECHATPAY_MERCHANTS: merchants,
  };
  const lines = Object.entries(settings).map(([name, value]) => `export ${name}='${value}'\n`);
  await writePrivate(join(directory, 'env'), lines.join(''));
  return { ...(await inherited(directory, servers)), ...settings };
}

// Our own server takes neither TLS nor an API key that the user's settings have for another.
async function inherited(directory: string, servers: Servers): Promise<NodeJS.ProcessEnv> {
  if (isUsers(servers)) return process.env;
  const TEMPORAL_CONFIG_FILE = join(directory, 'temporal.toml');
  await writeFile(TEMPORAL_CONFIG_FILE, '[profile.default]\n');
  const others = Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_'));
  return { ...Object.fromEntries(others), TEMPORAL_CONFIG_FILE };
}

function isUsers({ temporal }: Servers): boolean {
  return temporal.source === 'TEMPORAL_ADDRESS';
}

/** A folder used again has policies sealed with its keys. */
async function payloadKeys(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const keys = makeKey('demo');
  await writePrivate(file, keys);
  return keys;
}

async function writePrivate(file: string, text: string): Promise<void> {
  await writeFile(file, text, { mode: 0o600 });
  await chmod(file, 0o600);
}
