import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { Limit } from '../sandbox/limit.ts';
import type { Refusal } from '../sandbox/refusal.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { type Bench, POLICIES, REGULAR, startBench } from './sandbox_calls.ts';

let bench: Bench;
before(async () => {
  bench = await startBench();
});
after(() => bench.close());

describe('/_sandbox/policies', () => {
  test('shows all that it holds, names in the clear', async () => {
    const own = await startBench({}, bench.dir);
    try {
      assert.deepEqual((await own.control('GET', '/policies')).json, []);
      await own.put(REGULAR);
      await own.patch('P1', { insured_name_list: [own.sealed('李四')] });
      assert.deepEqual((await own.control('GET', '/policies')).json, [{ ...REGULAR, insured_name_list: ['李四'] }]);
    } finally {
      await own.close();
    }
  });

  test('PUT holds a policy exactly as given, in any state and shape; the path says its number', async () => {
    const odd = { policy_state: 'POLICY_STATE_DECLINED', expired_time: 'whenever', plan_id: 1, nested: { a: null } };
    assert.deepEqual(await bench.control('PUT', '/policies/Odd1', odd), {
      status: 200,
      json: { ...odd, out_insurance_no: 'Odd1' },
    });
    assert.deepEqual(await bench.held('Odd1'), { ...odd, out_insurance_no: 'Odd1' });
  });

  test('PATCH merges by no rule at all; null takes a field away', async () => {
    await bench.put({ ...REGULAR, policy_state: 'POLICY_STATE_DECLINED', address: 'here' });
    const drift = { policy_state: 'POLICY_STATE_ISSUING', address: null };
    assert.equal((await bench.control('PATCH', '/policies/P1', drift)).status, 200);
    assert.deepEqual(await bench.held('P1'), REGULAR);
  });

  test('DELETE forgets a policy: the service then answers 404', async () => {
    await bench.put(REGULAR);
    assert.equal((await bench.control('DELETE', '/policies/P1')).status, 204);
    assert.equal((await bench.query('P1')).status, 404);
  });

  for (const method of ['GET', 'PATCH', 'DELETE'])
    test(`${method} of an unknown policy is answered 404`, async () => {
      assert.equal(
        (await bench.control(method, '/policies/Unknown1', method === 'PATCH' ? {} : undefined)).status,
        404,
      );
    });

  for (const [what, body] of [
    ['no JSON', '{'],
    ['a list', '[]'],
    ['of another number', '{"out_insurance_no":"P2"}'],
    ['with names that are no list', '{"insured_name_list":"张三"}'],
    ['with a name too long to be sealed', JSON.stringify({ insured_name_list: ['张'.repeat(72)] })],
  ])
    test(`PUT of a policy that is ${what} is refused with 400`, async () => {
      assert.equal((await bench.control('PUT', '/policies/P1', body)).status, 400);
    });

  test('any policy put in can be asked for and updated', async () => {
    const fields = fc.dictionary(fc.constantFrom(...Object.keys(REGULAR), 'policy_code', 'x'), fc.jsonValue());
    await fc.assert(
      fc.asyncProperty(fields, async ({ out_insurance_no: _number, ...policy }) => {
        const { status } = await bench.control('PUT', '/policies/Any1', policy);
        if (status === 400) return;
        assert.equal((await bench.query('Any1')).status, 200);
        const reply = await bench.patch('Any1', { policy_state: 'POLICY_STATE_APPROVED', policy_code: 'C' });
        assert.ok(reply.status === 200 || reply.json.code === 'INVALID_REQUEST', reply.text);
      }),
      { numRuns: 60 },
    );
  });

  test('an unknown path is answered 404', async () => {
    assert.equal((await bench.control('GET', '/nowhere')).status, 404);
  });
});

describe('/_sandbox/requests', () => {
  const last = async (): Promise<LoggedRequest | undefined> => (await bench.requests()).at(-1);

  test('lists each service call with all that the design names', async () => {
    await bench.put(REGULAR);
    const since = Date.now();
    const body = ' {"policy_state": "POLICY_STATE_DECLINED"} ';
    const reply = await bench.patch('P1', body);
    const { n, at, ended_at, ...rest } = (await last()) as LoggedRequest;
    assert.deepEqual(rest, {
      method: 'PATCH',
      path: `${POLICIES}/P1`,
      body,
      status: 200,
      code: null,
      request_id: reply.headers.get('request-id'),
      signature_ok: true,
      refused: null,
    });
    assert.match(at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.ok(since <= Date.parse(at) && at <= String(ended_at) && Date.parse(String(ended_at)) <= Date.now());
    assert.equal(n, (await bench.requests()).length);
  });

  test('says which were refused, with what code, and whether the signature was the merchant’s', async () => {
    const told = async (): Promise<unknown[]> => {
      const { status, code, signature_ok } = (await last()) as LoggedRequest;
      return [status, code, signature_ok];
    };
    await bench.query('Unknown1');
    assert.deepEqual(await told(), [404, 'NOT_FOUND', true]);
    await bench.call('GET', '/x', undefined, { authorization: null });
    assert.deepEqual(await told(), [401, 'SIGN_ERROR', false]);
    await bench.call('GET', '/x', undefined, { authorization: { timestamp: 1 } });
    assert.deepEqual(await told(), [401, 'SIGN_ERROR', true]);
  });

  test('after=N lists those after N, in order, from 1 on without a gap', async () => {
    await bench.query('Unknown1');
    await bench.query('Unknown1');
    const all = await bench.requests();
    assert.deepEqual(
      all.map(({ n }) => n),
      all.map((_, at) => at + 1),
    );
    assert.deepEqual(await bench.requests(all.length - 2), all.slice(-2));
    assert.deepEqual(await bench.requests(all.length), []);
    assert.equal((await bench.control('GET', '/requests?after=x')).status, 400);
  });

  test('does not list calls of /_sandbox', async () => {
    const before = (await bench.requests()).length;
    await bench.control('GET', '/policies');
    assert.equal((await bench.requests()).length, before);
  });

  test('lists a request that broke off before it was whole, from its arrival to its end', async () => {
    const before = (await bench.requests()).length;
    const socket = connect(Number(new URL(bench.sandbox.url).port), '127.0.0.1');
    socket.write(`PATCH ${POLICIES}/P1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"a`);
    while ((await bench.requests(before)).length === 0) await setImmediate();
    assert.equal((await last())?.ended_at, null);
    socket.destroy();
    while (!(await last())?.ended_at) await setImmediate();
    assert.deepEqual([(await last())?.status, (await last())?.signature_ok], [400, false]);
  });
});

test('close ends connections that are kept alive', async () => {
  const own = await startBench({}, bench.dir);
  const socket = connect(Number(new URL(own.sandbox.url).port), '127.0.0.1');
  const ended = new Promise((resolve) => socket.on('close', resolve));
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await new Promise((resolve) => socket.once('data', resolve));
  await own.close();
  await ended;
  await assert.rejects(fetch(own.sandbox.url));
});

describe('/_sandbox/limit', () => {
  test('takes a second’s worth of calls at once, answers more with 429 and without effect, and is taken away by null', async () => {
    const own = await startBench({}, bench.dir);
    try {
      await own.put(REGULAR);
      assert.deepEqual((await own.control('GET', '/limit')).json, { requests_per_second: null });
      const limit = { requests_per_second: 0.001 };
      assert.deepEqual(await own.control('PUT', '/limit', limit), { status: 200, json: limit });
      assert.equal((await own.query('P1')).status, 200);
      const refused = await own.patch('P1', { address: 'elsewhere' });
      assert.deepEqual([refused.status, refused.json.code], [429, 'FREQUENCY_LIMITED']);
      assert.deepEqual(await own.held('P1'), REGULAR);
      await own.control('PUT', '/limit', { requests_per_second: null });
      assert.equal((await own.patch('P1', { address: 'elsewhere' })).status, 200);
    } finally {
      await own.close();
    }
  });

  test('counts calls by their time: the rate goes through, and no more', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.array(fc.integer({ min: 0, max: 300 })), (rate, waits) => {
        let now = 0;
        const limit = new Limit(() => now);
        limit.set({ requests_per_second: rate });
        let taken = 0;
        for (const wait of [0, ...waits]) {
          now += wait;
          try {
            limit.take();
            taken++;
          } catch (error) {
            assert.equal((error as Refusal).status, 429);
          }
        }
        assert.ok(taken >= 1 && taken <= rate + (rate * now) / 1000 + 1e-6, `${taken}`);
      }),
    );
  });

  for (const bad of [
    {},
    { requests_per_second: 0 },
    { requests_per_second: '5' },
    [],
    { requests_per_second: 1, more: 1 },
  ])
    test(`${JSON.stringify(bad)} is refused with 400, and changes nothing`, async () => {
      assert.equal((await bench.control('PUT', '/limit', bad)).status, 400);
      assert.deepEqual((await bench.control('GET', '/limit')).json, { requests_per_second: null });
    });
});
