import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { makeKey } from '../codec/keys.ts';
import { INACTIVE } from '../policy/state.ts';
import { signatureHeaders } from '../sandbox/answer.ts';
import { makeKeys, merchantsFile, type SandboxKeys } from '../sandbox/keys.ts';
import { parseAuthorization } from '../wechatpay/signature.ts';
import { until } from './client_namespace.ts';
import { startWorkerStage, type WorkerStage } from './faults_worker.ts';

const [FIRST, SECOND] = [makeKey('first'), makeKey('second')];

interface Settings {
  merchant_keys: object[];
  wechatpay_keys: object[];
}

/** What stands before the sandbox: it notes who signed a call, and signs answers with the keys of the test's choice. */
interface Front {
  url: string;
  /** Keys that sign the nth answer; undefined leaves it as the sandbox signed it. */
  signer: (n: number) => SandboxKeys | undefined;
  /** Serial of the merchant's key of every call. */
  serials: string[];
  close(): Promise<void>;
}

async function startFront(sandboxUrl: string): Promise<Front> {
  const front: Front = { url: '', signer: () => undefined, serials: [], close: async () => {} };
  let answers = 0;
  const server = createServer(async (request, response) => {
    front.serials.push(parseAuthorization(request.headers.authorization ?? '')?.serial_no ?? '');
    const body = await bodyOf(request);
    const headers = Object.entries(request.headers).filter(([name]) => !HOP.has(name)) as [string, string][];
    const method = request.method ?? 'GET';
    const answer = await fetch(`${sandboxUrl}${request.url}`, { method, headers, ...(body.length > 0 && { body }) });
    const bytes = Buffer.from(await answer.arrayBuffer());
    const signer = answer.headers.has('wechatpay-signature') ? front.signer(answers++) : undefined;
    const signed = signer ? await signatureHeaders(signer, bytes, Date.now()) : {};
    const kept = [...answer.headers].filter(([name]) => !HOP.has(name));
    const lowered = Object.entries(signed).map(([name, value]) => [name.toLowerCase(), value]);
    response.writeHead(answer.status, Object.fromEntries([...kept, ...lowered])).end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  front.url = `http://127.0.0.1:${address.port}`;
  front.close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return front;
}

const HOP: ReadonlySet<string> = new Set(['host', 'connection', 'content-length', 'transfer-encoding', 'keep-alive']);

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

let stage: WorkerStage;
let front: Front;
before(async () => {
  stage = await startWorkerStage({
    payloadKey: FIRST,
    host: async (url) => {
      front = await startFront(url);
      return front.url;
    },
  });
});
after(async () => {
  await stage?.close();
  await front?.close();
});

/** Other keys, and what a merchants file says of them. */
async function newKeys(name: string): Promise<{ keys: SandboxKeys; settings: Settings }> {
  const folder = join(stage.directory, name);
  const keys = await makeKeys(folder);
  return { keys, settings: settingsOf(keys, folder) };
}

function settingsOf(keys: SandboxKeys, folder: string): Settings {
  return merchantsFile(keys, folder, front.url)[keys.mchid] as Settings;
}

const ours = (): Settings => settingsOf(stage.keys, join(stage.directory, 'keys'));

async function amendedAll(numbers: readonly string[], address: string): Promise<void> {
  await Promise.all(numbers.map((number) => stage.amend(number, { address })));
  await assertHeld(numbers, address);
}

async function assertHeld(numbers: readonly string[], address: string): Promise<void> {
  await Promise.all(numbers.map(stage.synced));
  for (const number of numbers) {
    assert.equal((await stage.held(number)).address, address);
    assert.equal((await stage.status(number)).block, null);
  }
}

const several = () => Promise.all(Array.from({ length: 4 }, () => stage.approved()));

describe("WeChat Pay's public key", { timeout: 120_000 }, () => {
  it('old and new both in the merchants file: an answer signed with either verifies', async () => {
    const numbers = await several();
    const { keys, settings } = await newKeys('wechatpay-both');
    const [{ wechatpay_keys: old }, { wechatpay_keys: added }] = [ours(), settings];
    await stage.configure({ wechatpay_keys: [...old, ...added] });
    const signers = new Set<string>();
    front.signer = (n) => {
      signers.add(n % 2 ? 'new' : 'old');
      return n % 2 ? keys : undefined;
    };
    await amendedAll(numbers, 'both');
    assert.deepEqual([...signers].sort(), ['new', 'old']);
    for (const number of numbers)
      assert.ok((await stage.calls(number)).every(({ outcome }) => outcome === 'confirmed'));
    front.signer = () => undefined;
    await stage.configure({ wechatpay_keys: old });
  });

  it('new, and the merchants file has only the old: nothing is a success until the file has it, then all is synced', async () => {
    const numbers = await several();
    const { keys, settings } = await newKeys('wechatpay-new');
    const { wechatpay_keys: old } = ours();
    front.signer = () => keys;
    await Promise.all(numbers.map((number) => stage.amend(number, { address: 'new' })));
    const unproven = async (number: string) =>
      (await stage.calls(number)).filter(({ code }) => code === 'unknown-serial');
    await until(async () => (await Promise.all(numbers.map(unproven))).every(({ length }) => length >= 2));
    for (const number of numbers) {
      assert.equal((await stage.held(number)).address, 'new', 'it took effect, unproven');
      const { block, revision, synced_revision } = await stage.status(number);
      assert.equal(block, null);
      assert.ok((synced_revision ?? 0) < revision);
      assert.ok((await unproven(number)).every(({ outcome }) => outcome === 'unknown'));
    }
    await stage.configure({ wechatpay_keys: [...old, ...settings.wechatpay_keys] });
    await assertHeld(numbers, 'new');
    for (const number of numbers) {
      const patches = (await stage.log(number)).filter(({ method }) => method === 'PATCH');
      assert.equal(patches.length, 1, 'a GET told; nothing was sent twice');
    }
    front.signer = () => undefined;
    await stage.configure({ wechatpay_keys: old });
  });
});

describe("the merchant's own key", { timeout: 120_000 }, () => {
  it('replaced in the file in the middle of traffic: calls go on signed with the new one, none is lost', async () => {
    const numbers = await several();
    const { keys, settings } = await newKeys('merchant-new');
    const before = { ...stage.keys };
    const { merchant_keys: old } = ours();
    const { merchant_serial_no, merchant_certificate, merchant_private_key } = keys;
    await Promise.all(numbers.map((number) => stage.amend(number, { address: 'under way' })));
    Object.assign(stage.keys, { merchant_serial_no, merchant_certificate, merchant_private_key });
    await stage.configure({ merchant_keys: [...settings.merchant_keys, ...old] });
    await assertHeld(numbers, 'under way');
    // What was signed with the old one before may have come a moment after.
    const from = front.serials.length;
    await amendedAll(numbers, 'replaced');
    assert.deepEqual([...new Set(front.serials.slice(from))], [merchant_serial_no]);
    Object.assign(stage.keys, before);
    await stage.configure({ merchant_keys: old });
  });

  it('wrong for a while: 401, the merchant is held and no policy BLOCKED, and put right it is let go', async () => {
    const numbers = await several();
    const { settings } = await newKeys('merchant-wrong');
    const { merchant_keys: good } = ours();
    const alerts = stage.alerts().length;
    await stage.configure({ merchant_keys: settings.merchant_keys });
    await Promise.all(numbers.map((number) => stage.amend(number, { address: 'held' })));
    await until(async () => stage.alerts().length > alerts);
    assert.equal(stage.alerts().at(-1)?.fields.status, 401);
    for (const number of numbers) {
      const { sync, block } = await stage.status(number);
      assert.deepEqual([sync, block], ['PENDING', null]);
    }
    await stage.configure({ merchant_keys: good });
    await assertHeld(numbers, 'held');
    assert.equal(stage.alerts().length, alerts + 1);
  });
});

describe('a payload key', { timeout: 180_000 }, () => {
  it('added as the current one: policies go on, and what is new is sealed with it', async () => {
    await stage.restart(FIRST);
    const number = await stage.approved();
    assert.deepEqual(await keysOf(number), ['first']);
    await stage.restart(`${SECOND},${FIRST}`);
    await amendedAll([number], 'under the new key');
    // A run is sealed with one key: the policy hands over to another.
    await until(async () => String(await keysOf(number)) === 'second');
    assert.deepEqual(await keysOf(await stage.approved()), ['second']);
  });

  it('removed too early: tasks of its policies fail and are tried again, and put back nothing is lost', async () => {
    await stage.restart(FIRST);
    const number = await stage.approved();
    await stage.restart(SECOND);
    const lost = { mchid: stage.mchid, out_insurance_no: number };
    await stage.client().cancelBySignal(lost);
    await until(async () => (await tries(number)) >= 2);
    const fresh = await stage.approved();
    await amendedAll([fresh], 'others go on');
    assert.deepEqual(
      (await stage.log(number)).map(({ method }) => method),
      ['GET'],
      'nothing is sent meanwhile',
    );
    await stage.restart(`${SECOND},${FIRST}`);
    await stage.synced(number);
    assert.equal((await stage.held(number)).policy_state, INACTIVE);
  });
});

/** Ids of the keys that seal the payloads of a policy's history. */
async function keysOf(number: string): Promise<string[]> {
  const ids = new Set<string>();
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return;
    const { metadata } = value as { metadata?: Record<string, Uint8Array> | null };
    const id = metadata?.['encryption-key-id'];
    if (id) ids.add(Buffer.from(id).toString());
    for (const part of Object.values(value)) look(part);
  };
  look((await historyOf(number)).events);
  return [...ids].sort();
}

/** How often the policy's workflow task was tried: more than once only where it fails. */
async function tries(number: string): Promise<number> {
  const { temporal } = stage.client();
  const { pendingWorkflowTask } = await temporal.workflowService.describeWorkflowExecution({
    namespace: temporal.options.namespace,
    execution: { workflowId: `policy/${stage.mchid}/${number}` },
  });
  return pendingWorkflowTask?.attempt ?? 0;
}

function historyOf(number: string) {
  return stage.client().temporal.workflow.getHandle(`policy/${stage.mchid}/${number}`).fetchHistory();
}
