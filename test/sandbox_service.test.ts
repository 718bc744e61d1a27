import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { POLICY_STATES, type PolicyState, TRANSITIONS } from '../policy/state.ts';
import { openName, sealName } from '../wechatpay/sealing.ts';
import { type Bench, POLICIES, REGULAR, type Reply, SEED, startBench } from './sandbox_calls.ts';
import { serviceOf } from './sandbox_service_fixture.ts';

let bench: Bench;
before(async () => {
  bench = await startBench();
});
after(() => bench.close());
const { held, isSigned, assertRefused } = serviceOf(() => bench);

describe('Authorization', () => {
  const refusals: [string, Parameters<Bench['patch']>[2]][] = [
    ['is missing', { authorization: null }],
    ['has another scheme', { authorization: 'Bearer abc' }],
    ['lacks a parameter', { authorization: 'WECHATPAY2-SHA256-RSA2048 mchid="1900000001"' }],
    ['names another merchant', { authorization: { mchid: '1900000002' } }],
    ['names another certificate', { authorization: { serial_no: 'A'.repeat(40) } }],
    ['is signed with another body', { sent: '{"address":"elsewhere"}' }],
    ['is signed by nobody', { authorization: { signature: Buffer.alloc(256).toString('base64') } }],
    ['has no time', { authorization: { timestamp: 'yesterday' } }],
  ];
  for (const [what, overrides] of refusals)
    test(`that ${what} is refused with 401 SIGN_ERROR, unsigned, and changes nothing`, async () => {
      const no = await held({ address: 'here' });
      assertRefused(await bench.patch(no, { address: 'there' }, overrides), 401, 'SIGN_ERROR');
      assert.equal((await bench.held(no)).address, 'here');
    });

  test('with a serial in lower case, as wechatpay-node-v3 sends it, is taken, and so is a Wechatpay-Serial', async () => {
    const no = await held({ address: 'here' });
    const { merchant_serial_no, wechatpay_public_key_id } = bench.sandbox.keys;
    const reply = await bench.patch(
      no,
      { address: 'there' },
      {
        authorization: { serial_no: merchant_serial_no.toLowerCase() },
        headers: { 'Wechatpay-Serial': wechatpay_public_key_id.toLowerCase() },
      },
    );
    assert.equal(reply.status, 200, String(reply.json.message));
    assert.equal((await bench.held(no)).address, 'there');
  });

  test('with a time stamp off by over 5 minutes, either way, is refused; one of 5 minutes is not', async () => {
    const now = Date.parse('2026-05-01T00:00:00Z');
    const still = await startBench({ now: () => now }, bench.dir);
    try {
      const at = (seconds: number): Promise<Reply> =>
        still.call('GET', `${POLICIES}/P`, undefined, { authorization: { timestamp: now / 1000 + seconds } });
      for (const off of [-301, 301, -86_400]) assertRefused(await at(off), 401, 'SIGN_ERROR', /^timestamp/);
      for (const off of [-300, 300]) assert.equal((await at(off)).status, 404);
    } finally {
      await still.close();
    }
  });

  test('with a nonce used before is refused, for as long as its time stamp would pass', async () => {
    let now = Date.parse('2026-05-01T00:00:00Z');
    const moved = await startBench({ now: () => now }, bench.dir);
    try {
      const nonce_str = randomBytes(16).toString('hex');
      const again = (): Promise<Reply> =>
        moved.call('GET', `${POLICIES}/P`, undefined, { authorization: { nonce_str } });
      assert.equal((await again()).status, 404);
      assertRefused(await again(), 401, 'SIGN_ERROR', /^nonce_str/);
      now += 300_000;
      assertRefused(await again(), 401, 'SIGN_ERROR', /^nonce_str/);
      now += 1000;
      assert.equal((await again()).status, 404);
    } finally {
      await moved.close();
    }
  });

  test('is checked over the path with its query', async () => {
    const no = await held();
    assert.equal((await bench.call('GET', `${POLICIES}/${no}?a=1&b=%E5%BC%A0`)).status, 200);
  });
});

describe('a query', () => {
  test('answers the whole policy, signed, its names sealed anew for the merchant', async () => {
    const no = await held({ insured_name_list: ['张三', '李四🙂'], plan_id: '12535', unknown_field: { a: [1] } });
    const [first, second] = [await bench.query(no), await bench.query(no)];
    assert.equal(first.status, 200);
    assert.ok(isSigned(first));
    const { insured_name_list, ...rest } = first.json;
    const { insured_name_list: _names, ...given } = REGULAR;
    assert.deepEqual(rest, {
      ...given,
      out_insurance_no: no,
      plan_id: '12535',
      unknown_field: { a: [1] },
      insurance_company_code: 'SANDBOX',
    });
    const key = bench.sandbox.keys.merchant_private_key;
    assert.deepEqual(
      (insured_name_list as string[]).map((name) => openName([key], name)),
      ['张三', '李四🙂'],
    );
    assert.notDeepEqual(second.json.insured_name_list, insured_name_list);
  });

  test('of an unknown policy is refused with 404 NOT_FOUND, signed', async () => {
    assertRefused(await bench.query('Unknown1'), 404, 'NOT_FOUND');
  });
});

test('every answer has a Request-ID of its own, which the log has too', async () => {
  const replies = [
    await bench.query('Unknown1'),
    await bench.call('GET', `${POLICIES}/P1`, undefined, { authorization: null }),
    await bench.call('GET', '/v3/%zz'),
  ];
  const ids = replies.map(({ headers }) => headers.get('request-id'));
  assert.equal(new Set(ids).size, 3);
  for (const id of ids) assert.match(String(id), /^[0-9A-F]{46}-0$/);
  const logged = new Set((await bench.requests()).map(({ request_id }) => request_id));
  assert.ok(logged.has(String(ids[0])) && logged.has(String(ids[1])));
});

describe('an update', () => {
  test('replaces what it carries, keeps the rest, and answers 200 with the whole policy', async () => {
    const no = await held({ address: 'here' });
    const reply = await bench.patch(no, {
      policy_state: 'POLICY_STATE_APPROVED',
      policy_code: 'C1',
      insured_name_list: [bench.sealed('王五')],
      plan_id: '99',
      policy_periods: [1, 2],
      not_yet_documented: { kept: true },
    });
    assert.equal(reply.status, 200);
    assert.ok(isSigned(reply));
    const stored = await bench.held(no);
    const expected = {
      ...REGULAR,
      out_insurance_no: no,
      address: 'here',
      insured_name_list: ['王五'],
      policy_state: 'POLICY_STATE_APPROVED',
      policy_code: 'C1',
      plan_id: '99',
      policy_periods: [1, 2],
      not_yet_documented: { kept: true },
    };
    assert.deepEqual(stored, expected);
    const { insured_name_list: sealed, insurance_company_code: _company, ...answered } = reply.json;
    const { insured_name_list: _names, ...rest } = expected;
    assert.deepEqual(answered, rest);
    assert.equal(openName([bench.sandbox.keys.merchant_private_key], (sealed as string[])[0] ?? ''), '王五');
  });

  test('with an empty list of names, or none, leaves the names', async () => {
    const no = await held();
    assert.equal((await bench.patch(no, { insured_name_list: [] })).status, 200);
    assert.equal((await bench.patch(no, {})).status, 200);
    assert.deepEqual((await bench.held(no)).insured_name_list, ['张三']);
  });

  test('keeps a time as the instant that it is, in +08:00', async () => {
    const no = await held();
    assert.equal((await bench.patch(no, { expired_time: '2026-12-31T16:00:00Z' })).status, 200);
    assert.equal((await bench.held(no)).expired_time, '2027-01-01T00:00:00+08:00');
  });

  const bad: [string, unknown, string][] = [
    ['a text where a number belongs', { first_period_amount: '1' }, '/first_period_amount'],
    ['a number where a text belongs', { address: 1 }, '/address'],
    ['a text where a boolean belongs', { support_renewal: 'true' }, '/support_renewal'],
    ['null', { car_number: null }, '/car_number'],
    ['an unknown state', { policy_state: 'POLICY_STATE_LOST' }, '/policy_state'],
    ['an unknown type', { policy_type: 'POLICY_TYPE_BOAT' }, '/policy_type'],
    ['a name of the insurance above 50 characters', { insurance_name: '保'.repeat(51) }, '/insurance_name'],
    ['a contract code above 32 characters', { out_contract_code: 'c'.repeat(33) }, '/out_contract_code'],
    ['a character of 4 bytes', { address: '𠮷野家' }, '/address'],
    ['a time without an offset', { expired_time: '2026-09-21T17:11:12' }, '/expired_time'],
    ['a time above 25 characters', { expired_time: '2027-12-31T16:00:00.000+08:00' }, '/expired_time'],
    ['a time that has no text', { expired_time: { toString: null } }, '/expired_time'],
    ['a day that does not exist', { effective_time: '2026-02-30T00:00:00+08:00' }, '/effective_time'],
    ['a period that is no number', { policy_periods: [1, '2'] }, '/policy_periods/1'],
    ['names that are no list', { insured_name_list: '张三' }, '/insured_name_list'],
    ['a name that is no text', { insured_name_list: [1] }, '/insured_name_list/0'],
    ['a name in the clear', { insured_name_list: ['张三'] }, '/insured_name_list/0'],
    ['a ciphertext above 1024 characters', { insured_name_list: ['A'.repeat(1028)] }, '/insured_name_list/0'],
    ['the number of the policy', { out_insurance_no: 'P1' }, '/out_insurance_no'],
  ];
  for (const [what, body, field] of bad)
    test(`with ${what} is refused with 400 PARAM_ERROR, naming the field, and changes nothing`, async () => {
      const no = await held();
      const reply = await bench.patch(no, { insurance_name: '另一份', ...(body as object) });
      assertRefused(reply, 400, 'PARAM_ERROR');
      assert.equal((reply.json.detail as { field: string }).field, field);
      assert.deepEqual(await bench.held(no), { ...REGULAR, out_insurance_no: no });
    });

  test('with more than 11 names is refused, with 11 it is not', async () => {
    const no = await held();
    const names = (count: number): object => ({
      insured_name_list: Array.from({ length: count }, () => bench.sealed('张三')),
    });
    assertRefused(await bench.patch(no, names(12)), 400, 'PARAM_ERROR', /^insured_name_list/);
    assert.equal((await bench.patch(no, names(11))).status, 200);
  });

  test('with a name sealed with a wrong key is refused', async () => {
    const no = await held();
    const wrong = sealName(bench.sandbox.keys.merchant_certificate.publicKey, '张三');
    const reply = await bench.patch(no, { insured_name_list: [bench.sealed('张三'), wrong] });
    assertRefused(reply, 400, 'PARAM_ERROR', /^insured_name_list\.1: expected a name sealed/);
  });

  for (const body of ['', '{', '[]', 'null', '"text"', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])])
    test(`whose body is ${JSON.stringify(String(body))}, no JSON object, is refused`, async () => {
      assertRefused(await bench.patch(await held(), body), 400, 'PARAM_ERROR', /^body/);
    });

  test('without Wechatpay-Serial, or with an unknown one, is refused; a query needs none', async () => {
    const no = await held();
    const serial = (id: string | null): Promise<Reply> =>
      bench.patch(no, { address: 'there' }, { headers: { 'Wechatpay-Serial': id } });
    assertRefused(await serial(null), 400, 'PARAM_ERROR', /^Wechatpay-Serial: expected/);
    assertRefused(await serial('PUB_KEY_ID_0'), 400, 'PARAM_ERROR', /^Wechatpay-Serial: no such key/);
    const query = await bench.call('GET', `${POLICIES}/${no}`, undefined, { headers: { 'Wechatpay-Serial': null } });
    assert.equal(query.status, 200);
  });

  test('of an unknown policy is refused with 404 NOT_FOUND', async () => {
    assertRefused(await bench.patch('Unknown1', { address: 'there' }), 404, 'NOT_FOUND');
  });

  for (const state of [{ toString: null }, [[]], 7, undefined, 'toString', '__proto__'])
    test(`of a state that was put in as ${JSON.stringify(state)} is refused as no transition`, async () => {
      const reply = await bench.patch(await held({ policy_state: state }), { policy_state: 'POLICY_STATE_APPROVED' });
      assertRefused(reply, 400, 'INVALID_REQUEST', /^policy_state: .+ cannot become POLICY_STATE_APPROVED$/);
    });

  test('along any sequence of states moves only by the table of transitions', async () => {
    const states = fc.array(fc.constantFrom(...POLICY_STATES), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...POLICY_STATES), states, async (start, sequence) => {
        const no = await held({ policy_state: start, policy_code: 'C1' });
        let state: PolicyState = start;
        for (const next of sequence) {
          const reply = await bench.patch(no, { policy_state: next });
          if (next === state || TRANSITIONS[state].includes(next)) {
            assert.equal(reply.status, 200);
            state = next;
          } else assertRefused(reply, 400, 'INVALID_REQUEST', /^policy_state/);
          assert.equal((await bench.held(no)).policy_state, state);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('from a state that nobody knows is refused', async () => {
    const no = await held({ policy_state: 'constructor' });
    assertRefused(await bench.patch(no, { policy_state: 'POLICY_STATE_APPROVED' }), 400, 'INVALID_REQUEST');
  });

  test('of any JSON, and of any bytes, is taken or refused, never a failure', async () => {
    const no = await held();
    const bodies = fc.oneof(
      fc.json(),
      fc.dictionary(fc.constantFrom(...Object.keys(SEED)), fc.jsonValue()).map((fields) => JSON.stringify(fields)),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    );
    await fc.assert(
      fc.asyncProperty(bodies, async (body) => {
        const { status, text } = await bench.patch(no, body);
        assert.ok(status === 200 || status === 400, text);
        assert.equal((await bench.query(no)).status, 200);
      }),
      { numRuns: 150 },
    );
  });
});
