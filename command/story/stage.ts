import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { connectPolicyClient } from '../../client/connect.ts';
import type { PolicyClient } from '../../client/policy_client.ts';
import { type Keyring, makeKey, parseKeys } from '../../codec/keys.ts';
import { startCodecServer } from '../../codec/server.ts';
import { type Servers, startServers } from '../../embedded/servers.ts';
import { startGateway } from '../../gateway/server.ts';
import { serversOf } from '../../gateway/servers.ts';
import { merchantsFile } from '../../sandbox/keys.ts';
import { type Sandbox, startSandbox } from '../../sandbox/server.ts';
import { aborted } from './aborted.ts';
import { OwnDatabase } from './own_database.ts';
import { OwnNamespace } from './own_namespace.ts';
import { originsOf } from './ui_origins.ts';
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
  gatewayUrl: string;
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

type End = () => Promise<unknown>;

/**
 * Starts servers, sandbox and worker. Without a folder to keep, servers keep their data to themselves.
 * @throws an error of one line; what was started is ended
 */
export async function setStage({ keep, log, interrupted }: StageOptions): Promise<Stage> {
  const directory = keep === undefined ? await mkdtemp(join(tmpdir(), 'policy-sync-')) : resolve(keep);
  const ends: End[] = keep === undefined ? [() => rm(directory, { recursive: true, force: true })] : [];
  const end = async (): Promise<void> => {
    for (const step of ends.splice(0).reverse()) await step();
  };
  try {
    await mkdir(directory, { recursive: true });
    const { codecEndpoint, admit } = await openPayloads(directory, ends);
    const starting = startServers({ log, directory: keep && directory, codecEndpoint });
    const servers = await serversUnless(interrupted, starting);
    ends.push(() => servers.stop());
    admit(servers.temporal.uiUrl);
    const place = await placeAt(servers, directory, { keep, log, interrupted }, ends);
    const policies = keep && join(directory, 'sandbox_policies.json');
    const sandbox = await startSandbox({ keys: join(directory, 'sandbox'), policies, strict: true });
    ends.push(() => sandbox.close());
    log(`WeChat Pay: a sandbox at ${sandbox.url} (--strict)`);
    const env = await settingsFor(directory, place, sandbox);
    const worker = await superviseWorker({ env, logFile: join(directory, 'worker.log'), log });
    ends.push(() => worker.stop());
    // The clients are left to the end of the process: the SDK throws, for nobody to catch, when a call that it is about
    // to try again finds its channel closed.
    const client = await connectPolicyClient({ env, timeout: PATIENCE_MS });
    const glance = await connectPolicyClient({ env, timeout: GLANCE_MS });
    const gatewayUrl = await serve(env, directory, ends);
    if (keep !== undefined) log(`data, logs and settings: ${directory}`);
    log(`policy-sync, in another terminal: . ${join(directory, 'env')}; npx policy-sync list`);
    const { uiUrl } = servers.temporal;
    const { namespace } = place;
    const wechatpay = new WechatPay(sandbox.url);
    return {
      mchid: sandbox.keys.mchid,
      wechatpay,
      client,
      glance,
      uiUrl,
      gatewayUrl,
      namespace,
      broken: worker.broken,
      end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/**
 * A codec server for the UI that comes after it. Nobody has to show a token: it listens on loopback only, pages of that UI
 * alone may ask it, and the persons are made up. A server of the user's has settings of its own for its UI.
 */
async function openPayloads(
  directory: string,
  ends: End[],
): Promise<{ codecEndpoint?: string; admit(uiUrl: string | undefined): void }> {
  if (process.env.TEMPORAL_ADDRESS) return { admit: () => {} };
  const keyring = parseKeys(await payloadKeys(directory)) as Keyring;
  const uiOrigins: string[] = [];
  const log = pino(pino.destination({ dest: join(directory, 'codec-server.log'), sync: true }));
  const { url, close } = await startCodecServer({ keyring, uiOrigins, log });
  ends.push(close);
  return { codecEndpoint: url, admit: (uiUrl) => void (uiUrl && uiOrigins.push(...originsOf(uiUrl))) };
}

/** A gateway for whoever wants to try it. Nobody has to show a token: it serves this machine alone, and the persons are made up. */
async function serve(env: NodeJS.ProcessEnv, directory: string, ends: End[]): Promise<string> {
  const log = pino(pino.destination({ dest: join(directory, 'gateway.log'), sync: true }));
  const servers = await serversOf(env);
  const { url, close } = await startGateway({ servers, log });
  // Its client of Temporal is left to the end of the process, as the others are.
  ends.push(() => Promise.all([close(), servers.storage.close()]));
  return url;
}

/** A folder used again has policies sealed with its keys. */
function payloadKeys(directory: string): Promise<string> {
  return keptIn(join(directory, 'payload_keys'), () => makeKey('demo'));
}

/** A build may take minutes: Ctrl-C does not wait for it. Under their guards, servers end with this process. */
async function serversUnless(interrupted: AbortSignal, starting: Promise<Servers>): Promise<Servers> {
  const servers = await Promise.race([starting, aborted(interrupted)]);
  if (servers && !interrupted.aborted) return servers;
  const late = starting.then((started) => started.stop()).catch(() => {});
  await Promise.race([late, delay(SETTLE_MS)]);
  throw interrupted.reason;
}

/** Where on the servers the policies live. */
interface Place {
  address: string;
  namespace: string;
  mongoUri: string;
  isUsersTemporal: boolean;
}

/**
 * On the user's own servers a namespace and a database of the story's own: its worker, which has other keys and another
 * merchant, must get no policy of production's. They are removed at the end, unless the folder is kept.
 */
async function placeAt(
  { temporal, mongo }: Servers,
  directory: string,
  { keep, log, interrupted }: StageOptions,
  ends: End[],
): Promise<Place> {
  const isUsersTemporal = temporal.source === 'TEMPORAL_ADDRESS';
  const place = { address: temporal.address, namespace: temporal.namespace, mongoUri: mongo.uri, isUsersTemporal };
  if (!isUsersTemporal && mongo.kind !== 'own') return place;
  // Of this run alone: another story there, or a folder that was kept, has its own.
  const run = await keptIn(join(directory, 'run'), () => randomBytes(4).toString('hex'));
  if (isUsersTemporal) {
    const own = await OwnNamespace.register(`policy-sync-demo-${run}`, withoutSettings(process.env, ENGINE));
    if (keep === undefined) ends.push(() => own.remove(log));
    log(`Temporal: in a namespace of this demo's own, ${own.name}`);
    await own.served(interrupted);
    place.namespace = own.name;
  }
  if (mongo.kind === 'own') {
    const own = await OwnDatabase.make(`policy_sync_demo_${run}`, mongo.uri);
    if (keep === undefined) ends.push(() => own.remove(log));
    log(`MongoDB: in a database of this demo's own, ${own.name}`);
    place.mongoUri = own.uri;
  }
  return place;
}

/** The environment of worker and clients: this place, the sandbox's merchant, payload keys of this folder. */
async function settingsFor(directory: string, place: Place, sandbox: Sandbox): Promise<NodeJS.ProcessEnv> {
  const merchants = join(directory, 'merchants.json');
  const file = merchantsFile(sandbox.keys, join(directory, 'sandbox'), sandbox.url);
  const paced = Object.entries(file).map(([mchid, one]) => [
    mchid,
    { ...one, requests_per_second: REQUESTS_PER_SECOND },
  ]);
  await writeFile(merchants, JSON.stringify(Object.fromEntries(paced), null, 2));
  const settings = {
    TEMPORAL_ADDRESS: place.address,
    TEMPORAL_NAMESPACE: place.namespace,
    MONGODB_URI: place.mongoUri,
    POLICY_SYNC_KEYS: await payloadKeys(directory),
    POLICY_SYNC_MCHID: sandbox.keys.mchid,
    WECHATPAY_MERCHANTS: merchants,
  };
  const lines = Object.entries(settings).map(([name, value]) => `export ${name}='${value}'\n`);
  await writePrivate(join(directory, 'env'), lines.join(''));
  return { ...(await inherited(directory, place)), ...settings };
}

/** The settings of an engine, but for those of its Temporal server. */
const ENGINE = /^(POLICY_SYNC|WECHATPAY|MONGODB)_/;

/** The user's environment without what is said in it of another engine. */
async function inherited(directory: string, { isUsersTemporal }: Place): Promise<NodeJS.ProcessEnv> {
  const others = withoutSettings(process.env, ENGINE);
  if (isUsersTemporal) return others;
  // Our own server takes neither TLS nor an API key that the user's settings have for another.
  const TEMPORAL_CONFIG_FILE = join(directory, 'temporal.toml');
  await writeFile(TEMPORAL_CONFIG_FILE, '[profile.default]\n');
  return { ...withoutSettings(others, /^TEMPORAL_/), TEMPORAL_CONFIG_FILE };
}

function withoutSettings(env: NodeJS.ProcessEnv, names: RegExp): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !names.test(name)));
}

/** What a file says; made where it is not there. */
async function keptIn(file: string, make: () => string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const made = make();
  await writePrivate(file, made);
  return made;
}

async function writePrivate(file: string, text: string): Promise<void> {
  await writeFile(file, text, { mode: 0o600 });
  await chmod(file, 0o600);
}
