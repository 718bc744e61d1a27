import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { POLICY_STATES, type PolicyState, TRANSITIONS } from '../policy/state.ts';
import { openName, sealName } from '../wechatpay/sealing.ts';
import { answerMessage, verifyMessage } from '../wechatpay/signature.ts';
import { type Bench, POLICIES, REGULAR, type Reply, SEED, startBench, UPLOAD } from './sandbox_calls.ts';

let bench: Bench;
let number = 0;
before(async () => {
  bench = await startBench();
});
after(() => bench.close());

/** A policy of its own for a test; the number is new each time. */
async function held(fields: object = {}): Promise<string> {
  const out_insurance_no = `P${++number}`;
  await bench.put({ ...REGULAR, ...fields, out_insurance_no });
  return out_insurance_no;
}

function isSigned({ headers, text }: Reply): boolean {
  const [timestamp, nonce] = [headers.get('wechatpay-timestamp'), headers.get('wechatpay-nonce')];
  const signature = headers.get('wechatpay-signature');
  if (timestamp === null || nonce === null || signature === null) return false;
  assert.equal(headers.get('wechatpay-serial'), bench.sandbox.keys.wechatpay_public_key_id);
  assert.ok(Math.abs(Date.now() / 1000 - Number(timestamp)) < 60);
  return verifyMessage(
    bench.sandbox.keys.wechatpay_public_key,
    answerMessage({ timestamp, nonce, body: text }),
    signature,
  );
}

function assertRefused(reply: Reply, status: number, code: string, message: RegExp = /./): void {
  assert.deepEqual([reply.status, reply.json.code], [status, code], reply.text);
  assert.match(String(reply.json.message), message);
  assert.equal(isSigned(reply), status !== 401);
}

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

describe('an upload', () => {
  const body = (no: string, fields: object = {}): object => ({
    ...REGULAR,
    ...UPLOAD,
    insured_name_list: [bench.sealed('张三')],
    out_insurance_no: no,
    ...fields,
  });
  const upload = (fields: object, overrides?: Parameters<Bench['patch']>[2]): Promise<Reply> =>
    bench.call('POST', POLICIES, fields, overrides);

  test('of a new number is held, without whom it is for, and answered whole', async () => {
    const reply = await upload(body('New1'));
    assert.equal(reply.status, 200, reply.text);
    assert.ok(isSigned(reply));
    const { appid: _a, openid: _o, ...kept } = UPLOAD;
    assert.deepEqual(await bench.held('New1'), { ...REGULAR, ...kept, out_insurance_no: 'New1' });
    assert.equal(reply.json.insurance_company_code, 'PICC');
    assert.equal((await bench.query('New1')).status, 200);
  });

  test('of a number already held is refused with 400 INVALID_REQUEST', async () => {
    const no = await held({ address: 'here' });
    assertRefused(await upload(body(no)), 400, 'INVALID_REQUEST', /^out_insurance_no/);
    assert.equal((await bench.held(no)).address, 'here');
  });

  const { insurance_name: _authorized, ...required } = { ...REGULAR, ...UPLOAD };
  for (const field of Object.keys(required))
    test(`without ${field} is refused with 400 PARAM_ERROR`, async () => {
      const reply = await upload(body('New2', { [field]: undefined }));
      assertRefused(reply, 400, 'PARAM_ERROR', new RegExp(`^${field}: expected in an upload, found none$`));
      assert.equal((await bench.query('New2')).status, 404);
    });

  test('of cover for life needs no expired_time', async () => {
    const fields = { expired_time: undefined, coverage_term_type: 'COVERAGE_TERM_TYPE_LIFETIME' };
    assert.equal((await upload(body('New3', fields))).status, 200);
  });

  test('of a number that is not letters and digits is refused', async () => {
    assertRefused(await upload(body('New-4')), 400, 'PARAM_ERROR', /^out_insurance_no/);
  });

  test('without Wechatpay-Serial is refused', async () => {
    const overrides = { headers: { 'Wechatpay-Serial': null } };
    assertRefused(await upload(body('New5'), overrides), 400, 'PARAM_ERROR', /^Wechatpay-Serial/);
  });
});

describe('what is not the service', () => {
  for (const [method, path] of [
    ['GET', '/'],
    ['GET', POLICIES],
    ['DELETE', `${POLICIES}/P1`],
    ['POST', '/v3/inspolicymgr/deduct/authorizations'],
    ['GET', `${POLICIES}/${'9'.repeat(99)}`],
  ] as const)
    test(`${method} ${path.slice(0, 60)} is refused with 404, signed over its bytes`, async () => {
      const reply = await bench.call(method, path, method === 'POST' ? { a: '张' } : undefined);
      assertRefused(reply, 404, 'NOT_FOUND');
    });

  test('a path that cannot be decoded is refused with 400', async () => {
    const reply = await bench.call('GET', `${POLICIES}/%zz`);
    assert.deepEqual([reply.status, reply.json.code], [400, 'PARAM_ERROR']);
  });

  test('a body above 1 MiB is refused with 413, and logged', async () => {
    const reply = await bench.patch(await held(), 'x'.repeat(1_100_000));
    assert.equal(reply.status, 413);
    assert.equal((await bench.requests()).at(-1)?.status, 413);
  });

  test('bytes that are no HTTP are refused, and the sandbox goes on', async () => {
    const { port } = new URL(bench.sandbox.url);
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), '127.0.0.1', () => socket.end('nonsense\r\n\r\n'));
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk;
      });
      socket.on('close', () => resolve(text)).on('error', reject);
    });
    assert.match(answer, /^HTTP\/1\.1 400 /);
    assert.equal((await bench.query('Unknown1')).status, 404);
  });
});

describe('the seed’s literal PATCH body', () => {
  const { out_insurance_no, ...fields } = SEED;
  const body = (): object => ({ ...fields, insured_name_list: fields.insured_name_list.map(bench.sealed) });

  test('passes on a policy that is ISSUING', async () => {
    await bench.put(SEED);
    assert.equal((await bench.patch(out_insurance_no, body())).status, 200);
    assert.deepEqual(await bench.held(out_insurance_no), SEED);
  });

  test('is refused by --strict: it carries the state already held', async () => {
    const strict = await startBench({ strict: true }, bench.dir);
    try {
      await strict.put(SEED);
      assertRefused(await strict.patch(out_insurance_no, body()), 400, 'INVALID_REQUEST', /already$/);
    } finally {
      await strict.close();
    }
  });
});

describe('--strict', () => {
  let strict: Bench;
  before(async () => {
    strict = await startBench({ strict: true }, bench.dir);
  });
  after(() => strict.close());

  for (const field of ['insurance_company_code', 'appid', 'openid'])
    test(`refuses an update that carries ${field}, which an upload sets`, async () => {
      await strict.put(REGULAR);
      assertRefused(
        await strict.patch(REGULAR.out_insurance_no, { [field]: 'X1' }),
        400,
        'PARAM_ERROR',
        /not expected/,
      );
    });

  const ends = REGULAR.expired_time;
  const approved = { policy_state: 'POLICY_STATE_APPROVED', policy_code: 'C1' };
  const cases: [rule: string, refused: object, held: object, taken: object][] = [
    ['the state already held', { policy_state: 'POLICY_STATE_ISSUING' }, {}, { address: 'there' }],
    ['APPROVED without policy_code', { policy_state: 'POLICY_STATE_APPROVED' }, {}, approved],
    [
      'INACTIVE without policy_code',
      { policy_state: 'POLICY_STATE_INACTIVE' },
      {},
      { policy_state: 'POLICY_STATE_INACTIVE', policy_code: 'C1' },
    ],
    [
      'equal times',
      { effective_time: '2026-01-01T00:00:00+08:00', expired_time: '2026-01-01T00:00:00+08:00' },
      {},
      { effective_time: '2026-01-01T00:00:00+08:00', expired_time: '2026-01-01T00:00:01+08:00' },
    ],
    [
      'times that are reversed with the one held',
      { effective_time: '2026-09-22T00:00:00+08:00' },
      {},
      { expired_time: ends },
    ],
    [
      'a window that opens more than 60 days before the end',
      { start_renewal_time: '2026-07-23T17:11:11+08:00' },
      {},
      { start_renewal_time: '2026-07-23T17:11:12+08:00' },
    ],
    [
      'a window that closes more than 60 days after the end',
      { end_renewal_time: '2026-11-20T17:11:13+08:00' },
      {},
      { end_renewal_time: '2026-11-20T17:11:12+08:00' },
    ],
    [
      'a window that opens no later than cover begins',
      { start_renewal_time: '2026-09-01T00:00:00+08:00' },
      { effective_time: '2026-09-01T00:00:00+08:00' },
      { start_renewal_time: '2026-09-01T00:00:01+08:00' },
    ],
    [
      'a window that closes before it opens',
      { end_renewal_time: '2026-09-01T00:00:00+08:00' },
      { start_renewal_time: '2026-09-01T00:00:00+08:00' },
      { end_renewal_time: '2026-09-02T00:00:00+08:00' },
    ],
    [
      'CAR without car_number',
      { policy_type: 'POLICY_TYPE_CAR' },
      {},
      { policy_type: 'POLICY_TYPE_CAR', car_number: '粤B·AB123' },
    ],
    [
      'PET without pet_name',
      { policy_type: 'POLICY_TYPE_PET' },
      {},
      { policy_type: 'POLICY_TYPE_PET', pet_name: '小狗' },
    ],
  ];
  for (const [rule, refused, before, taken] of cases)
    test(`refuses ${rule} with 400 INVALID_REQUEST; without it the same is taken`, async () => {
      const policy = { ...REGULAR, ...before };
      await strict.put(policy);
      assertRefused(await strict.patch('P1', refused), 400, 'INVALID_REQUEST');
      assert.deepEqual(await strict.held('P1'), policy);
      assert.equal((await strict.patch('P1', taken)).status, 200);
      assert.equal((await bench.patch(await held(before), refused)).status, 200);
    });

  test('takes a state with the policy_code that is held already', async () => {
    await strict.put({ ...REGULAR, policy_code: 'C1' });
    assert.equal((await strict.patch('P1', { policy_state: 'POLICY_STATE_APPROVED' })).status, 200);
  });

  test('leaves alone what a request does not carry: an old window at a new term', async () => {
    await strict.put({ ...REGULAR, start_renewal_time: '2026-09-01T00:00:00+08:00' });
    assert.equal((await strict.patch('P1', { expired_time: '2027-09-21T17:11:12+08:00' })).status, 200);
  });

  test('holds for uploads too', async () => {
    const upload = (fields: object): Promise<Reply> =>
      strict.call('POST', POLICIES, {
        ...{ ...REGULAR, ...UPLOAD, insured_name_list: [strict.sealed('张三')], out_insurance_no: 'U1' },
        ...fields,
      });
    assertRefused(await upload({ policy_type: 'POLICY_TYPE_CAR' }), 400, 'INVALID_REQUEST', /^car_number/);
    assert.equal((await upload({})).status, 200);
  });
});
