import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { type Bench, POLICIES, REGULAR, type Reply, startBench, UPLOAD } from './sandbox_calls.ts';
import { until } from './sandbox_faults_fixture.ts';

let bench: Bench;
const chances: number[] = [];
before(async () => {
  bench = await startBench({ random: () => chances.shift() ?? assert.fail('no chance was to be taken') });
});
after(() => bench.close());
beforeEach(() => bench.put({ ...REGULAR, address: 'here' }));

const address = async (): Promise<unknown> => (await bench.held('P1')).address;
const move = (): Promise<Reply> => bench.patch('P1', { address: 'there' });

describe('a delay', () => {
  test('lets the request proceed, and the log covers it', async () => {
    await bench.faults({ do: { delay_ms: 60 }, times: 1 });
    assert.equal((await move()).status, 200);
    const last = (await bench.requests()).at(-1);
    const [at, ended] = [Date.parse(last?.at ?? ''), Date.parse(last?.ended_at ?? '')];
    // A timer may fire within the millisecond before its own.
    assert.ok(ended - at >= 59, `${last?.at} to ${last?.ended_at}`);
  });

  test('goes together with another fault, which comes after it', async () => {
    await bench.faults({ do: { delay_ms: 60, drop: 'after' }, times: 1 });
    await assert.rejects(move(), { message: 'fetch failed' });
    assert.equal(await address(), 'there');
  });

  test('has no effect before its end, and the request is listed as under way', async () => {
    const own = await startBench({}, bench.dir);
    await own.put(REGULAR);
    await own.faults({ do: { delay_ms: 600_000 } });
    const cut = assert.rejects(own.patch('P1', { address: 'there' }), { message: 'fetch failed' });
    const listed = await until(async () => (await own.requests()).find(({ body }) => body !== ''));
    assert.deepEqual([listed.n, listed.ended_at, listed.status, listed.signature_ok], [1, null, null, true]);
    assert.equal((await own.held('P1')).address, undefined);
    // The sandbox does not wait for the delay when it closes.
    await own.close();
    await cut;
  });

  test('ends in the effect, though the caller has given up', async () => {
    await bench.faults({ do: { delay_ms: 50 }, times: 1 });
    const before = (await bench.requests()).length;
    const abort = new AbortController();
    const given = assert.rejects(bench.patch('P1', { address: 'there' }, { signal: abort.signal }), {
      name: 'AbortError',
    });
    await until(async () => (await bench.requests(before)).find(({ body }) => body !== ''));
    abort.abort();
    await given;
    await until(async () => ((await address()) === 'there' ? true : undefined));
  });

  test('holds up any number of answers at a time without a warning', async (t) => {
    const warned: string[] = [];
    const note = ({ name }: Error): number => warned.push(name);
    process.on('warning', note);
    t.after(() => process.off('warning', note));
    await bench.faults({ do: { delay_ms: 100 }, times: 20 });
    await Promise.all(Array.from({ length: 20 }, move));
    assert.deepEqual(warned, []);
  });
});

describe('a rule', () => {
  test('matches by method and number, an upload’s too; the first that matches is the one', async () => {
    await bench.faults(
      { match: { method: 'GET' }, do: { status: 500, code: 'A' } },
      { match: { out_insurance_no: 'P2' }, do: { status: 500, code: 'B' } },
      { match: { method: 'PATCH', out_insurance_no: 'P1' }, do: { status: 500, code: 'C' } },
      { do: { status: 500, code: 'D' } },
    );
    const upload = { ...REGULAR, ...UPLOAD, out_insurance_no: 'P2' };
    const replies = [
      await bench.query('P2'),
      await bench.patch('P2', {}),
      await bench.call('POST', POLICIES, upload),
      await bench.patch('P1', {}),
      await bench.patch('P3', {}),
      await bench.call('POST', POLICIES, 'no JSON'),
    ];
    assert.deepEqual(
      replies.map(({ json }) => json.code),
      ['A', 'B', 'B', 'C', 'D', 'D'],
    );
  });

  test('happens as many times as it says, and tells how many are left', async () => {
    await bench.faults({ times: 2, do: { status: 500, code: 'SYSTEM_ERROR' } });
    const statuses = [(await move()).status, (await move()).status, (await move()).status];
    assert.deepEqual(statuses, [500, 500, 200]);
    const { json } = await bench.control('GET', '/faults');
    assert.deepEqual(json, [{ match: {}, times: 0, do: { status: 500, code: 'SYSTEM_ERROR' } }]);
  });

  test('is added behind those that are there, their counts kept', async () => {
    await bench.faults({ times: 2, do: { status: 500, code: 'A' } });
    await move();
    await bench.control('POST', '/faults', [{ times: 1, do: { status: 500, code: 'B' } }]);
    assert.deepEqual([(await move()).json.code, (await move()).json.code, (await move()).status], ['A', 'B', 200]);
    assert.equal((await bench.control('POST', '/faults', [{}])).status, 400);
  });

  test('of a probability happens that often; another one then has its turn', async () => {
    await bench.faults(
      { probability: 0.5, times: 1, do: { status: 500, code: 'A' } },
      { times: 1, do: { status: 500, code: 'B' } },
    );
    chances.push(0.5, 0.49);
    assert.deepEqual([(await move()).json.code, (await move()).json.code], ['B', 'A']);
    assert.equal((await move()).status, 200);
  });

  test('is not used up by a request that is not the merchant’s', async () => {
    await bench.faults({ times: 1, do: { status: 500, code: 'SYSTEM_ERROR' } });
    assert.equal((await bench.patch('P1', {}, { authorization: null })).status, 401);
    assert.equal((await move()).status, 500);
  });

  const bad: [string, unknown, RegExp][] = [
    ['is in no list', { do: { delay_ms: 1 } }, /^faults: /],
    ['has nothing to do', [{}], /^faults\.0\.do: expected delay_ms /],
    ['does something unknown', [{ do: { explode: true } }], /^faults\.0\.do: expected /],
    ['does two things at once', [{ do: { drop: 'after', forge: 'serial' } }], /^faults\.0\.do: expected /],
    ['has a status that is none', [{ do: { status: 99, code: 'A' } }], /^faults\.0\.do\.status: .*200/],
    [
      'would break the answer’s frame',
      [{ do: { status: 200, body: '', headers: { 'Content-Length': '9' } } }],
      /^faults\.0\.do/,
    ],
    ['matches by something unknown', [{ match: { path: '/' }, do: { delay_ms: 1 } }], /^faults\.0\.match: .*path/],
    [
      'is as probable as 2',
      [{ do: { delay_ms: 1 } }, { probability: 2, do: { delay_ms: 1 } }],
      /^faults\.1\.probability: /,
    ],
  ];
  for (const [what, rules, message] of bad)
    test(`that ${what} is refused with 400 in one line, and the list stays`, async () => {
      await bench.faults({ times: 0, do: { delay_ms: 1 } });
      const { status, json } = await bench.control<{ message: string }>('PUT', '/faults', rules);
      assert.equal(status, 400);
      assert.match(json.message, message);
      assert.ok(!json.message.includes('\n'));
      assert.equal((await bench.control<unknown[]>('GET', '/faults')).json.length, 1);
    });
});
