import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { inspect } from 'node:util';
import { listPolicies } from '../client/list.ts';
import type { PolicyId } from '../client/start_operation.ts';
import { waitSynced } from '../client/wait.ts';
import { WechatPay } from '../command/story/wechatpay.ts';
import { startServers } from '../embedded/servers.ts';
import { type RecordInput, workflowIdOf } from '../policy/record.ts';
import { connect } from '../storage/connection.ts';
import { listHolds } from '../storage/holds.ts';
import type { Status } from '../workflows/messages.ts';
import { until } from './client_namespace.ts';
import { type Stage, setStage } from './client_stage.ts';
import { CommandLine } from './command_process.ts';
import { MCHID, recordOf, SEED, uniqueNumber } from './fixtures.ts';
import { formsOf, leaksBelow, privateKeyOf, type Texts } from './leaks.ts';
import { told } from './told.ts';

const log = (): void => {};
const line = new CommandLine();
let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'policy-sync-secrecy-'));
});
after(async () => {
  line.end();
  await rm(scratch, { recursive: true, force: true });
});

describe('what rests on disk', { concurrency: 2 }, () => {
  it('a search finds a text in every form that programs write texts in, wherever it begins', async () => {
    const folder = join(scratch, 'planted');
    await mkdir(folder);
    const text = '张三 oDemo';
    for (const [at, [, bytes]] of formsOf(text).entries())
      await writeFile(join(folder, `${at}`), Buffer.concat([randomBytes(1000 + at), bytes, randomBytes(1000)]));
    for (const offset of [0, 1, 2, 3, 4])
      await writeFile(
        join(folder, `base64-${offset}`),
        Buffer.from(`${'x'.repeat(offset)}${text}!`).toString('base64'),
      );
    await writeFile(join(folder, 'none'), randomBytes(100_000));
    const { leaks, files } = await leaksBelow(folder, { text });
    const found = new Set(leaks.map(({ file }) => file));
    assert.deepEqual(
      files.filter((file) => !found.has(file)),
      ['none'],
    );
  });

  it('nor does what goes wrong: refusals that quote, drift, unreadable names, outages, restarts', async () => {
    const keep = join(scratch, 'wrong');
    const servers = await startServers({ log, directory: keep, ui: false, useEnvironment: false });
    let secrets: Texts = {};
    const personal: Texts = {
      name: '张三',
      'another name': '李四光',
      'car number': SEED.car_number,
      'pet name': SEED.pet_name,
      coverage: '可保190种疾病',
      address: '晨晖路1001号',
      'address amended': '体育西路191号',
      'address refused': '解放碑步行街8号',
      'address found': '春熙路北段77号',
      'field of tomorrow': '未知字段的值',
      openid: 'oSecretOfAPerson00000000001',
      reason: 'a diagnosis that nobody should read',
    };
    try {
      Object.assign(process.env, {
        TEST_TEMPORAL_ADDRESS: servers.temporal.address,
        TEST_MONGODB_URI: servers.mongo.uri,
      });
      Object.assign(process.env, { POLICY_SYNC_LOG_LEVEL: 'debug', POLICY_SYNC_METRICS_PORT: '0' });
      const stage = await setStage();
      try {
        secrets = await secretsOf(stage);
        await writeFile(join(keep, 'errors.log'), (await wrongs(stage)).join('\n'));
        await told(keep, servers);
        await copyFile(join(stage.directory, 'worker.log'), join(keep, 'worker.log'));
        await shown(stage, keep);
      } finally {
        await stage.stop();
      }
    } finally {
      await servers.stop();
    }
    const { leaks, files } = await leaksBelow(keep, { ...personal, ...secrets });
    assert.deepEqual(leaks, []);
    for (const file of ['worker.log', 'errors.log', 'metrics.txt', 'list.json', 'list---attention.json', 'audit.json'])
      assert.ok(files.includes(file), file);
    const logged = await readFile(join(keep, 'worker.log'), 'utf8');
    assert.match(logged, /"level":20,/);
    for (const sync of ['BLOCKED', 'DIVERGED', 'STOPPED'])
      assert.match(logged, new RegExp(`"level":40,[^\\n]*"sync":"${sync}"[^\\n]*a policy is ${sync}`));
  });
});

/** Every key that the engine on a stage has. */
async function secretsOf({ directory, env }: Stage): Promise<Texts> {
  const payloadKey = env.POLICY_SYNC_KEYS?.split(':')[1] ?? '';
  assert.equal(Buffer.from(payloadKey, 'base64').length, 32);
  return {
    ...(await privateKeyOf(join(directory, 'keys/merchant_private_key.pem'))),
    ...(await privateKeyOf(join(directory, 'keys/wechatpay_private_key.pem'))),
    'APIv3 key': (await readFile(join(directory, 'keys/api_v3_key.txt'), 'utf8')).trim(),
    'payload key': payloadKey,
    'bytes of the payload key': Buffer.from(payloadKey, 'base64'),
  };
}

/** What a worker's metrics and the commands say of all that, without --reveal. */
async function shown({ client, env, directory }: Stage, into: string): Promise<void> {
  const log = await readFile(join(directory, 'worker.log'), 'utf8');
  const [, port = ''] = /"port":(\d+)[^\n]*metrics are served/.exec(log) ?? [];
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  assert.match(metrics, /policy_sync_calls_total/);
  await writeFile(join(into, 'metrics.txt'), metrics);
  const numbers: string[] = [];
  for await (const { out_insurance_no } of listPolicies(client)) numbers.push(out_insurance_no);
  assert.ok(numbers.length >= 3);
  for (const words of [['list'], ['list', '--attention'], ['audit'], ...numbers.map((number) => ['show', number])]) {
    const { stdout, stderr } = await line.run([...words, '--json'], env);
    assert.notEqual(stdout, '', stderr);
    await writeFile(join(into, `${words.join('-')}.json`), stdout + stderr);
  }
}

/** Policies to which everything happens that writes errors, findings and restarts down. Returns the errors' texts. */
async function wrongs({ client, sandboxUrl, env }: Stage): Promise<string[]> {
  const errors: string[] = [];
  const refusing = (asked: Promise<unknown>): Promise<void> =>
    assert.rejects(asked, (error) => errors.push(inspect(error, { depth: 10 })) > 0);
  const wechatpay = new WechatPay(sandboxUrl);
  const faults = async (...rules: unknown[]): Promise<void> => {
    const answer = await fetch(`${sandboxUrl}/_sandbox/faults`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(rules),
    });
    assert.ok(answer.ok, await answer.text());
  };
  const opened = async (settings: Partial<RecordInput> = {}) => {
    const out_insurance_no = uniqueNumber('W');
    const record = recordOf(
      {
        out_insurance_no,
        insurance_company_code: 'DEMO',
        free_insurance: false,
        field_of_tomorrow: { deep: '未知字段的值' },
      },
      { extra_fields: ['field_of_tomorrow'], ...settings },
    );
    const policy = { mchid: MCHID, out_insurance_no };
    if (!settings.upload) await wechatpay.put(out_insurance_no, record.policy);
    const { revision } = await client.openPolicy(record);
    return { policy, number: out_insurance_no, revision };
  };
  const becomes = (policy: PolicyId, wanted: (status: Status) => boolean) =>
    until(async () => wanted(await client.status(policy)));
  const storage = await connect(String(env.MONGODB_URI), { keyring: undefined });
  const held = async (): Promise<boolean> => (await listHolds(storage)).length > 0;
  let rate = 100;
  /** Other settings have a merchant that is held probed at once. */
  const probed = async (): Promise<void> => {
    const file = String(env.WECHATPAY_MERCHANTS);
    const merchants = JSON.parse(await readFile(file, 'utf8'));
    await writeFile(file, JSON.stringify({ [MCHID]: { ...merchants[MCHID], requests_per_second: ++rate } }));
  };
  /** A merchant is held, and a probe is denied like the call, before another lets it go on. */
  const throughHold = async <T>(asked: Promise<T>): Promise<T> => {
    await until(held);
    const [before] = await listHolds(storage);
    await faults({ match: { method: 'GET' }, times: 1, do: denial });
    await probed();
    await until(async () => (await listHolds(storage))[0]?.probed_at.getTime() !== before?.probed_at.getTime(), 60_000);
    // Kept now: a database may not show any more what was in it.
    errors.push(JSON.stringify(await listHolds(storage)));
    const { stdout, stderr } = await line.run(['list', '--attention', '--json'], env);
    assert.match(stdout, /merchant held since \S+ NO_AUTH/, stderr);
    errors.push(stdout, stderr);
    await probed();
    await until(async () => !(await held()), 60_000);
    return asked;
  };
  const quoting = '参数错误：张三 粤B·AB123 小狗 可保190种疾病,确诊一次性赔付';
  const upload = { appid: 'wx0000000000000000', openid: 'oSecretOfAPerson00000000001' };
  const fault = (number: string, method: string, wrong: object) => ({
    match: { method, out_insurance_no: number },
    times: 1,
    do: wrong,
  });
  const refusal = { status: 400, code: 'PARAM_ERROR', message: `${quoting} 重庆市渝中区解放碑步行街8号` };
  const denial = { status: 403, code: 'NO_AUTH', message: `${quoting} ${upload.openid}` };

  const refused = await opened();
  await waitSynced(client, refused.policy, refused.revision);
  await faults(fault(refused.number, 'PATCH', refusal));
  await client.amend(refused.policy, { address: '重庆市渝中区解放碑步行街8号' });
  await becomes(refused.policy, ({ sync }) => sync === 'BLOCKED');
  // Another field is sent now, and the answer quotes those that are held.
  await faults(fault(refused.number, 'PATCH', refusal));
  await client.amend(refused.policy, { address: '重庆市渝中区解放碑步行街8号', plan_id: 4711 });
  await becomes(refused.policy, ({ sync, revision }) => sync === 'BLOCKED' && revision === 3);

  const unsent = await opened({ upload });
  await waitSynced(client, unsent.policy, unsent.revision);
  await faults(fault(unsent.number, 'GET', denial));
  await throughHold(client.verify(unsent.policy));
  for (const wrong of [
    { ...denial, status: 500, code: 'SYSTEM_ERROR' },
    { status: 502, body: quoting },
  ]) {
    await faults(fault(unsent.number, 'GET', wrong));
    await client.verify(unsent.policy);
  }
  for (const wrong of [denial, { ...denial, unsigned: true }, { drop: 'after' }, { forge: 'signature' }]) {
    await faults(fault(unsent.number, 'PATCH', wrong));
    const { revision } = await client.amend(unsent.policy, { address: `广州市天河区体育西路191号${uniqueNumber()}` });
    const synced = waitSynced(client, unsent.policy, revision);
    await (wrong === denial ? throughHold(synced) : synced);
  }
  await storage.close();
  await faults(fault(unsent.number, 'PATCH', { names: 'unreadable' }));
  await client.amend(unsent.policy, { insured_name_list: ['李四光'] });
  await becomes(unsent.policy, ({ sync }) => sync === 'SYNCED');

  const drifted = await opened({ verification: { on_drift: 'report' } });
  await waitSynced(client, drifted.policy, drifted.revision);
  await wechatpay.change(drifted.number, { address: '成都市锦江区春熙路北段77号' });
  await client.verify(drifted.policy);
  await becomes(drifted.policy, ({ sync }) => sync === 'DIVERGED');
  for (const fields of [{ address: '春熙路北段77号🙂' }, { address: '' }, { pet_name: 7 }])
    await refusing(client.amend(drifted.policy, fields as never));
  await refusing(client.openPolicy(recordOf({ address: '春熙路北段77号🙂' })));
  await client.cancel(drifted.policy, { reason: 'a diagnosis that nobody should read', by: 'clerk' });
  const stopped = client.temporal.workflow.getHandle(workflowIdOf(MCHID, drifted.number));
  await stopped.cancel();
  await stopped.result().catch(() => {});
  await client.resume(drifted.policy);
  await becomes(drifted.policy, ({ sync }) => sync !== 'STOPPED' && sync !== 'PENDING');
  return errors;
}
