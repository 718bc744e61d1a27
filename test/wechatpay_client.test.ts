import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Formatter, Rsa } from 'wechatpay-axios-plugin';
import { APPROVED } from '../policy/state.ts';
import { RuleViolation } from '../policy/violation.ts';
import { WechatPay } from '../wechatpay/client.ts';
import { parseAuthorization } from '../wechatpay/signature.ts';
import { HOLDS, holds } from './wechatpay_client_fixture.ts';
import {
  answer,
  KEY_ID,
  MERCHANT_SERIAL,
  merchantAt,
  merchantPair,
  NUMBER,
  type Recorded,
  wechatpayPair,
  withCounterpart,
} from './wechatpay_counterpart.ts';

const PATH = `/v3/inspolicymgr/deduct/policies/${NUMBER}`;

/** Verifies a request with wechatpay-axios-plugin, as WeChat Pay would, and returns its Authorization parameters. */
function accepted({ method, path, headers, body }: Recorded): NonNullable<ReturnType<typeof parseAuthorization>> {
  const parameters = parseAuthorization(headers.authorization ?? '');
  assert.ok(parameters);
  const { timestamp, nonce_str, signature, mchid, serial_no } = parameters;
  assert.deepEqual([mchid, serial_no], ['1900000001', MERCHANT_SERIAL]);
  const message = Formatter.request(method, path, timestamp, nonce_str, String(body));
  assert.ok(Rsa.verify(String(message), signature, merchantPair.publicKey));
  return parameters;
}

function only<T>(items: T[]): T {
  assert.equal(items.length, 1);
  return items[0] as T;
}

describe('a call', () => {
  it('queries with a signed GET without a body that names the sealing key', () =>
    withCounterpart(holds, async ({ url, requests }) => {
      await new WechatPay(merchantAt(url)).queryPolicy(NUMBER);
      const request = only(requests);
      accepted(request);
      assert.deepEqual([request.method, request.path, request.body.length], ['GET', PATH, 0]);
      assert.equal(request.headers['wechatpay-serial'], KEY_ID);
      assert.equal(request.headers.accept, 'application/json');
      assert.equal(request.headers['content-type'], undefined);
      assert.match(request.headers['user-agent'] ?? '', /^wechatpay-policy-sync /);
    }));

  it('updates with a PATCH whose bytes are those that were signed, names sealed', () =>
    withCounterpart(holds, async ({ url, requests }) => {
      const fields = {
        policy_state: APPROVED,
        plan_id: 12535,
        insured_name_list: ['张三', '李四'],
        car_number: '粤B·AB123',
      } as const;
      await new WechatPay(merchantAt(url), { userAgent: 'insurer/1' }).updatePolicy(NUMBER, {
        ...fields,
        insured_name_list: [...fields.insured_name_list],
      });
      const request = only(requests);
      accepted(request);
      assert.deepEqual([request.method, request.path], ['PATCH', PATH]);
      assert.equal(request.headers['content-length'], String(request.body.length));
      assert.equal(request.headers['content-type'], 'application/json');
      assert.equal(request.headers['wechatpay-serial'], KEY_ID);
      assert.equal(request.headers['user-agent'], 'insurer/1');
      const { insured_name_list, ...clear } = JSON.parse(String(request.body)) as { insured_name_list: string[] };
      const { insured_name_list: names, ...rest } = fields;
      assert.deepEqual(clear, rest);
      assert.deepEqual(
        insured_name_list.map((sealed) => Rsa.decrypt(sealed, wechatpayPair.privateKey)),
        names,
      );
    }));

  it('never carries in a PATCH what the path or the upload has set, nor an empty list of names', () =>
    withCounterpart(holds, async ({ url, requests }) => {
      const fields = { out_insurance_no: NUMBER, insurance_company_code: 'C1', insured_name_list: [], address: 'a b' };
      await new WechatPay(merchantAt(url)).updatePolicy(NUMBER, fields);
      assert.deepEqual(JSON.parse(String(only(requests).body)), { address: 'a b' });
    }));

  it('uploads with a POST of the whole policy and the upload’s own fields', () =>
    withCounterpart(holds, async ({ url, requests }) => {
      const body = {
        out_insurance_no: NUMBER,
        insurance_company_code: 'C1',
        openid: 'oUpF8uMuAJO',
        insured_name_list: ['张三'],
      };
      const { policy } = await new WechatPay(merchantAt(url)).uploadPolicy(body);
      assert.equal(policy.out_insurance_no, NUMBER);
      const request = only(requests);
      accepted(request);
      assert.deepEqual([request.method, request.path], ['POST', '/v3/inspolicymgr/deduct/policies']);
      const { insured_name_list, ...clear } = JSON.parse(String(request.body)) as { insured_name_list: [string] };
      assert.deepEqual(clear, { out_insurance_no: NUMBER, insurance_company_code: 'C1', openid: 'oUpF8uMuAJO' });
      assert.equal(Rsa.decrypt(insured_name_list[0], wechatpayPair.privateKey), '张三');
    }));

  it('is signed anew each time: another nonce, the time of the attempt', () =>
    withCounterpart(holds, async ({ url, requests }) => {
      let now = Date.now();
      const client = new WechatPay(merchantAt(url), { now: () => now });
      await client.queryPolicy(NUMBER);
      now += 60_000;
      await client.queryPolicy(NUMBER);
      const [first, second] = requests.map(accepted);
      assert.notEqual(first?.nonce_str, second?.nonce_str);
      assert.equal(Number(second?.timestamp) - Number(first?.timestamp), 60);
      assert.equal(Number(second?.timestamp), Math.floor(now / 1000));
    }));

  it('goes to the host it is told to, in turn', () =>
    withCounterpart(holds, (main) =>
      withCounterpart(holds, async (backup) => {
        const client = new WechatPay(merchantAt(main.url, backup.url));
        const hosts: string[] = [];
        for (const host of [0, 1, 2, 3]) hosts.push((await client.queryPolicy(NUMBER, { host })).host);
        const [one, two] = [new URL(main.url).host, new URL(backup.url).host];
        assert.deepEqual(hosts, [one, two, one, two]);
        assert.deepEqual([main.requests.length, backup.requests.length], [2, 2]);
      }),
    ));

  it('signs the path that it sends, percent-encoded', () =>
    withCounterpart(
      (_request, response) => answer(response, 200, { ...HOLDS, out_insurance_no: '保/单?1#' }),
      async ({ url, requests }) => {
        await new WechatPay(merchantAt(url)).queryPolicy('保/单?1#');
        accepted(only(requests));
        assert.equal(only(requests).path, `/v3/inspolicymgr/deduct/policies/${encodeURIComponent('保/单?1#')}`);
      },
    ));

  it('refuses a number that would lead to another resource, and sends nothing', () =>
    withCounterpart(holds, async ({ url, requests }) => {
      const client = new WechatPay(merchantAt(url));
      for (const number of ['', '.', '..'])
        await assert.rejects(
          client.queryPolicy(number),
          (error) => error instanceof RuleViolation && error.rule === 'insurance-number',
        );
      assert.equal(requests.length, 0);
    }));

  it('takes a fetch of the caller’s', () =>
    withCounterpart(holds, async ({ url }) => {
      let calls = 0;
      const counting: typeof fetch = (input, init) => {
        calls++;
        return fetch(input, init);
      };
      await new WechatPay(merchantAt(url), { fetch: counting }).queryPolicy(NUMBER);
      assert.equal(calls, 1);
    }));

  it('brings any fields back as they were sent', () =>
    withCounterpart(
      ({ body }, response) => {
        const { insured_name_list, ...rest } = JSON.parse(String(body)) as { insured_name_list?: string[] };
        const names = insured_name_list?.map((sealed) => Rsa.decrypt(sealed, wechatpayPair.privateKey));
        const resealed = names?.map((name) => Rsa.encrypt(name, merchantPair.publicKey));
        answer(response, 200, { ...rest, ...(resealed && { insured_name_list: resealed }), ...HOLDS });
      },
      async ({ url, requests }) => {
        const client = new WechatPay(merchantAt(url));
        const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
        const fields = fc.record(
          {
            insured_name_list: fc.array(text, { minLength: 1, maxLength: 11 }),
            address: text,
            plan_id: fc.oneof(fc.nat(), text),
            support_renewal: fc.boolean(),
            policy_periods: fc.array(fc.nat()),
            a_field_of_tomorrow: fc.jsonValue(),
          },
          { requiredKeys: [] },
        );
        await fc.assert(
          fc.asyncProperty(fields, async (sent) => {
            const expected = JSON.parse(JSON.stringify({ ...sent, ...HOLDS }), (_, value) => exactly(value));
            assert.deepEqual((await client.updatePolicy(NUMBER, sent)).policy, expected);
          }),
          { numRuns: 40 },
        );
        requests.forEach(accepted);
      },
    ));
});

/** Integers that a number cannot hold to the last digit come as text; JSON writes them with their digits up to 1e21. */
function exactly(value: unknown): unknown {
  const isLost = Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value as number) < 1e21;
  return isLost ? String(value) : value;
}
