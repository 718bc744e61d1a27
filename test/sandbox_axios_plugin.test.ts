import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Rsa, Wechatpay } from 'wechatpay-axios-plugin';
import { type Bench, SEED, startBench } from './sandbox_calls.ts';

const PATH = 'v3/inspolicymgr/deduct/policies/{out_insurance_no}';

/** The seed's calls, run by the library whose documentation the seed is; none of its code is ours. */
let bench: Bench;
let wxpay: Wechatpay;
before(async () => {
  bench = await startBench();
  const { mchid, merchant_serial_no, merchant_private_key, wechatpay_public_key_id, ...keys } = bench.sandbox.keys;
  wxpay = new Wechatpay({
    mchid,
    serial: merchant_serial_no,
    privateKey: merchant_private_key.export({ type: 'pkcs8', format: 'pem' }),
    certs: { [wechatpay_public_key_id]: keys.wechatpay_public_key },
    baseURL: bench.sandbox.url,
    proxy: false,
  });
});
after(() => bench.close());

const { out_insurance_no, ...fields } = SEED;

function query(): Promise<{ status: number; data: Record<string, unknown> }> {
  return wxpay.chain(PATH).get({ out_insurance_no });
}

function update(): Promise<{ status: number; data: Record<string, unknown> }> {
  const { wechatpay_public_key, wechatpay_public_key_id } = bench.sandbox.keys;
  const insured_name_list = fields.insured_name_list.map((name) => Rsa.encrypt(name, wechatpay_public_key));
  const headers = { 'Wechatpay-Serial': wechatpay_public_key_id };
  return wxpay.chain(PATH).patch({ ...fields, insured_name_list } as never, { out_insurance_no, headers });
}

function assertSeed({ insured_name_list, insurance_company_code, ...answered }: Record<string, unknown>): void {
  const { insured_name_list: names, ...rest } = SEED;
  for (const [field, value] of Object.entries(rest)) assert.deepEqual(answered[field], value, field);
  assert.deepEqual(Object.keys(answered).sort(), Object.keys(rest).sort());
  assert.equal(insurance_company_code, 'SANDBOX');
  const key = bench.sandbox.keys.merchant_private_key;
  assert.deepEqual(
    (insured_name_list as string[]).map((name) => Rsa.decrypt(name, key)),
    names,
  );
}

describe('wechatpay-axios-plugin', () => {
  test('updates the seed’s policy with the seed’s literal body, and every field comes back', async () => {
    await bench.put({ out_insurance_no, policy_state: SEED.policy_state });
    const { status, data } = await update();
    assert.equal(status, 200);
    assertSeed(data);
    assert.deepEqual(await bench.held(out_insurance_no), SEED);
  });

  test('queries the seed’s policy, and every field comes back', async () => {
    await bench.put(SEED);
    const { status, data } = await query();
    assert.equal(status, 200);
    assertSeed(data);
  });

  test('is told of a refusal by status and code', async () => {
    await bench.put({ ...SEED, policy_state: 'POLICY_STATE_DECLINED' });
    await assert.rejects(update(), (error: { response: { status: number; data: { code: string } } }) => {
      assert.deepEqual([error.response.status, error.response.data.code], [400, 'INVALID_REQUEST']);
      return true;
    });
  });

  for (const [forge, code] of [
    ['signature', 'EV3_RES_HEADER_SIGNATURE_DIGEST'],
    ['timestamp', 'EV3_RES_HEADER_TIMESTAMP_OFFSET'],
    ['signtest', 'EV3_RES_HEADER_SIGNATURE_DIGEST'],
    ['unsigned', 'EV3_RES_HEADERS_INCOMPLATE'],
    ['serial', 'EV3_RES_HEADER_PLATFORM_SERIAL'],
  ])
    test(`does not believe an answer forged by ${forge}`, async () => {
      await bench.put(SEED);
      await bench.faults({ times: 2, do: { forge } });
      await assert.rejects(query(), { code });
      await assert.rejects(update(), { code });
    });
});
