// Somebody's own test: their code calls WeChat Pay by the signed client, the sandbox answers.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { startSandbox } from 'wechatpay-policy-sync/sandbox';
import { RefusedError, readMerchants, WechatPay } from 'wechatpay-policy-sync/wechatpay';

let sandbox;
let folder;
let wechatPay;

before(async () => {
  sandbox = await startSandbox();
  folder = await mkdtemp(join(tmpdir(), 'consumer-'));
  const file = join(folder, 'merchants.json');
  await writeFile(file, JSON.stringify(sandbox.merchants), { mode: 0o600 });
  const { merchants, faults } = await readMerchants(file);
  assert.deepEqual(faults, []);
  wechatPay = new WechatPay([...merchants.values()][0]);
});
after(async () => {
  await sandbox.close();
  await rm(folder, { recursive: true });
});

it('answers, signed, what was put there', async () => {
  const policy = {
    insurance_name: '微医保·百万医疗险',
    insured_name_list: ['张三'],
    effective_time: '2026-01-01T00:00:00+08:00',
    expired_time: '2027-01-01T00:00:00+08:00',
    coverage_detail: '可保190种疾病',
    support_renewal: true,
    policy_type: 'POLICY_TYPE_MEDICAL',
    policy_state: 'POLICY_STATE_ISSUING',
    plan_id: 12535,
    out_contract_code: 'wxwtdk20200910100000',
  };
  const put = await fetch(`${sandbox.url}/_sandbox/policies/A1`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(policy),
  });
  assert.ok(put.ok, await put.text());
  const approved = { policy_state: 'POLICY_STATE_APPROVED', policy_code: 'P-1' };
  assert.equal((await wechatPay.updatePolicy('A1', approved)).policy.policy_code, 'P-1');
  assert.deepEqual((await wechatPay.queryPolicy('A1')).policy.insured_name_list, ['张三']);
});

it('refuses a policy that it does not know', async () => {
  await assert.rejects(wechatPay.queryPolicy('NOBODY'), RefusedError);
});
