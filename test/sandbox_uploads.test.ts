import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type Bench, POLICIES, REGULAR, type Reply, SEED, startBench, UPLOAD } from './sandbox_calls.ts';
import { serviceOf } from './sandbox_service_fixture.ts';

let bench: Bench;
before(async () => {
  bench = await startBench();
});
after(() => bench.close());
const { held, isSigned, assertRefused } = serviceOf(() => bench);

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
