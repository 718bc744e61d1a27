import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { PolicyFields } from '../policy/record.ts';
import { merchantsFile } from '../sandbox/keys.ts';
import { WechatPay } from '../wechatpay/client.ts';
import { readMerchants } from '../wechatpay/merchants_file.ts';
import { type Bench, REGULAR, startBench, UPLOAD } from './sandbox_calls.ts';

describe('our own client, with the merchants file of a strict sandbox', () => {
  let bench: Bench;
  let wechatpay: WechatPay;
  before(async () => {
    bench = await startBench({ strict: true });
    const file = join(bench.dir, 'merchants.json');
    await writeFile(file, JSON.stringify(merchantsFile(bench.sandbox.keys, bench.dir, bench.sandbox.url)));
    const merchant = (await readMerchants(file)).merchants.get(bench.sandbox.keys.mchid);
    assert.ok(merchant);
    wechatpay = new WechatPay(merchant);
  });
  after(() => bench.close());

  test('uploads, updates and queries a policy, and reads each answer as the policy that is held', async () => {
    const uploaded = { ...REGULAR, ...UPLOAD } as PolicyFields & { out_insurance_no: string };
    assert.deepEqual((await wechatpay.uploadPolicy(uploaded)).policy, await bench.held('P1'));
    const approved = { policy_state: 'POLICY_STATE_APPROVED', policy_code: 'C1' } as const;
    const { policy } = await wechatpay.updatePolicy('P1', { ...approved, insured_name_list: ['李四'] });
    assert.deepEqual(policy, await bench.held('P1'));
    assert.deepEqual(policy.insured_name_list, ['李四']);
    assert.deepEqual((await wechatpay.queryPolicy('P1')).policy, policy);
  });

  test('is refused an unknown policy as such', async () => {
    await assert.rejects(wechatpay.queryPolicy('Unknown1'), {
      name: 'RefusedError',
      reason: 'not-found',
      code: 'NOT_FOUND',
    });
  });
});
