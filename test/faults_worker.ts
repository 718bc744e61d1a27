// A worker as it runs in production, in this process, with one merchant: its merchants file is watched, its merchant held
// for a fault, its payload keys exchanged by a restart. WeChat Pay's clock and keys are the test's to change.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectPolicyClient } from '../client/connect.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import { parseKeys } from '../codec/keys.ts';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED } from '../policy/state.ts';
import { merchantsFile, type SandboxKeys } from '../sandbox/keys.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { startSandbox } from '../sandbox/server.ts';
import { listCalls } from '../storage/calls.ts';
import { connect } from '../storage/connection.ts';
import type { CallOutcome } from '../storage/documents.ts';
import { readSettings } from '../worker/settings.ts';
import { type RunningWorker, startWorker } from '../worker/worker.ts';
import type { Status } from '../workflows/messages.ts';
import { makeNamespace, until } from './client_namespace.ts';
import { ofPolicy } from './faults_fixture.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import { startDatabase } from './storage_fixture.ts';
import './quiet.ts';
import { keysIn } from './made_keys.ts';

/** Instead of a minute. */
const PROBE_EVERY_MS = 1_000;

export interface Line {
  level: string;
  message: string;
  fields: Record<string, unknown>;
}

type MerchantSettings = Record<string, unknown>;

export interface WorkerStage {
  mchid: string;
  directory: string;
  /** WeChat Pay's; changed in place they are changed for the sandbox. */
  keys: SandboxKeys;
  lines: Line[];
  client(): PolicyClient;
  /** Changes settings of the merchant in the watched file, and waits until the worker has taken them. */
  configure(changes: MerchantSettings): Promise<void>;
  /** Ends worker and client, and starts others with these payload keys. */
  restart(payloadKeys: string): Promise<void>;
  /** A policy that WeChat Pay holds as APPROVED, synced. */
  approved(): Promise<string>;
  amend(number: string, fields: PolicyFields): Promise<void>;
  status(number: string): Promise<Status>;
  synced(number: string): Promise<void>;
  held(number: string): Promise<PolicyFields>;
  log(number: string): Promise<LoggedRequest[]>;
  /** The attempts in MongoDB whose outcome is there, oldest first. */
  calls(number: string): Promise<CallOutcome[]>;
  /** The log of the worker that tells of merchants held. */
  alerts(): Line[];
  close(): Promise<void>;
}

/** `payloadKey` is the only one at first. `now`: WeChat Pay's clock. `host`: what the merchant calls, given where the sandbox is. */
export async function startWorkerStage({
  payloadKey,
  now,
  host = async (url) => url,
}: {
  payloadKey: string;
  now?: () => number;
  host?: (sandboxUrl: string) => Promise<string>;
}): Promise<WorkerStage> {
  const directory = await mkdtemp(join(tmpdir(), 'policy-sync-stage-'));
  const [temporal, database] = [await makeNamespace(), await startDatabase()];
  const keysFolder = await keysIn(join(directory, 'keys'));
  const sandbox = await startSandbox({ keys: keysFolder, strict: true, ...(now && { now }) });
  const { mchid } = sandbox.keys;
  const file = join(directory, 'merchants.json');
  const base = await host(sandbox.url);
  let merchant = merchantsFile(sandbox.keys, keysFolder, base)[mchid] as MerchantSettings;
  const write = () => writeFile(file, JSON.stringify({ [mchid]: merchant }), { mode: 0o600 });
  await write();

  const lines: Line[] = [];
  const logged = (level: string) => (fields: object | string, message?: string) =>
    void lines.push({
      level,
      message: message ?? String(fields),
      fields: typeof fields === 'object' ? (fields as Line['fields']) : {},
    });
  const log = { debug: logged('debug'), info: logged('info'), warn: logged('warn'), error: logged('error') } as never;

  let worker: RunningWorker | undefined;
  let client: PolicyClient | undefined;
  const end = async (): Promise<void> => {
    await client?.close();
    await worker?.shutdown();
    [client, worker] = [undefined, undefined];
  };
  const restart = async (payloadKeys: string): Promise<void> => {
    await end();
    const env = {
      ...temporal.env,
      MONGODB_URI: database.uri,
      WECHATPAY_MERCHANTS: file,
      POLICY_SYNC_KEYS: payloadKeys,
    };
    worker = await startWorker({ settings: readSettings(env), log, promote: true, probeEvery: PROBE_EVERY_MS });
    client = await connectPolicyClient({ env, timeout: 60_000 });
  };
  const storage = await connect(database.uri, { keyring: parseKeys(payloadKey) });
  await restart(payloadKey);

  const control = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const headers = { 'content-type': 'application/json' };
    const given = body === undefined ? {} : { body: JSON.stringify(body), headers };
    const answer = await fetch(`${sandbox.url}/_sandbox/${path}`, { method, ...given });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
    return answer.status === 204 ? undefined : answer.json();
  };
  const current = (): PolicyClient => client ?? assert.fail('no worker runs');
  const status = (out_insurance_no: string) => current().status({ mchid, out_insurance_no });
  const synced = (number: string): Promise<void> =>
    until(async () => {
      const { sync, revision, synced_revision } = await status(number);
      return sync === 'SYNCED' && revision === synced_revision;
    }, 60_000);

  return {
    mchid,
    directory,
    keys: sandbox.keys,
    lines,
    client: current,
    configure: async (changes) => {
      const taken = () => lines.filter(({ message }) => message === 'merchant changed').length;
      const before = taken();
      merchant = { ...merchant, ...changes };
      await write();
      await until(async () => taken() > before);
    },
    restart,
    approved: async () => {
      const record = recordOf({ out_insurance_no: uniqueNumber('R'), policy_state: APPROVED }, { mchid });
      const number = record.policy.out_insurance_no;
      await control('PUT', `policies/${number}`, record.policy);
      await current().openPolicy(record);
      await synced(number);
      return number;
    },
    amend: async (out_insurance_no, fields) => void (await current().amend({ mchid, out_insurance_no }, fields)),
    status,
    synced,
    held: async (number) => (await control('GET', `policies/${number}`)) as PolicyFields,
    log: async (number) => ofPolicy((await control('GET', 'requests?after=0')) as LoggedRequest[], number),
    calls: async (number) => {
      const all = await listCalls(storage, `${mchid}/${number}`, 1000);
      return all.filter((call): call is CallOutcome & { _id: string } => 'outcome' in call).reverse();
    },
    alerts: () => lines.filter(({ message }) => message.startsWith('calls of this merchant are held')),
    close: async () => {
      await end();
      await storage.close();
      await sandbox.close();
      await database.stop();
      await temporal.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
