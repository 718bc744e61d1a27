// A production worker: runs by the installed command, without development or optional packages, and brings a policy to
// WeChat Pay, here the sandbox. Given: TEMPORAL_ADDRESS, MONGODB_URI, POLICY_SYNC_KEYS, BUILD_ID of the checkout.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { connectPolicyClient, waitSynced } from 'wechatpay-policy-sync';
import { startSandbox } from 'wechatpay-policy-sync/sandbox';

const COMMAND = 'node_modules/wechatpay-policy-sync/bin/policy-sync.mjs';
const cache = resolve('cache');
for (const name of ['tsx', 'typescript', '@temporalio/testing'])
  assert.ok(!existsSync(`node_modules/${name}`), `${name} is not installed`);

const sandbox = await startSandbox({ strict: true });
await writeFile('merchants.json', JSON.stringify(sandbox.merchants), { mode: 0o600 });
const worker = spawn(process.execPath, [COMMAND, 'worker', '--promote'], {
  env: { ...process.env, WECHATPAY_MERCHANTS: 'merchants.json', XDG_CACHE_HOME: cache },
  stdio: ['ignore', 'inherit', 'pipe'],
});
const ended = once(worker, 'exit');
let log = '';
worker.stderr.on('data', (chunk) => {
  log += chunk;
});

try {
  const policies = await connectPolicyClient();
  const policy = { mchid: sandbox.keys.mchid, out_insurance_no: `C${Date.now()}` };
  const times = [-1, 365].map((days) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 19));
  const opened = await policies.openPolicy({
    mchid: policy.mchid,
    policy: {
      out_insurance_no: policy.out_insurance_no,
      insurance_name: '微医保·百万医疗险',
      insurance_company_code: 'C001',
      insured_name_list: ['张三'],
      effective_time: `${times[0]}+00:00`,
      expired_time: `${times[1]}+00:00`,
      coverage_detail: '可保190种疾病',
      support_renewal: true,
      free_insurance: false,
      policy_type: 'POLICY_TYPE_MEDICAL',
      policy_state: 'POLICY_STATE_ISSUING',
      plan_id: 12535,
      out_contract_code: 'wxwtdk20200910100000',
    },
    upload: { appid: 'wxcbda96de0b165486', openid: 'oUpF8uMuAJO_M2pxb1Q9zNjWeS6o' },
  });
  await waitSynced(policies, policy, opened.revision);
  const approved = await policies.approve(policy, { policy_code: 'P-1' });
  const status = await waitSynced(policies, policy, approved.revision);
  assert.deepEqual([status.sync, status.state], ['SYNCED', 'APPROVED']);
  const held = await fetch(`${sandbox.url}/_sandbox/policies/${policy.out_insurance_no}`);
  assert.equal((await held.json()).policy_state, 'POLICY_STATE_APPROVED');
  await policies.close();
  worker.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null]);
  assert.ok(log.includes(`"buildId":"${process.env.BUILD_ID}"`), 'its version is that of the checkout');
  assert.ok(!existsSync(cache), 'it built nothing');
} catch (error) {
  console.error(log);
  throw error;
} finally {
  worker.kill('SIGKILL');
  await sandbox.close();
}
