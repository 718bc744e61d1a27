import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { openName } from '../wechatpay/sealing.ts';
import { answerMessage, verifyMessage } from '../wechatpay/signature.ts';
import { type Bench, POLICIES, REGULAR, type Reply, startBench, UPLOAD } from './sandbox_calls.ts';

let bench: Bench;
const chances: number[] = [];
before(async () => {
  bench = await startBench({ random: () => chances.shift() ?? assert.fail('no chance was to be taken') });
});
after(() => bench.close());
beforeEach(() => bench.put({ ...REGULAR, address: 'here' }));

const address = async (): Promise<unknown> => (await bench.held('P1')).address;
const move = (): Promise<Reply> => bench.patch('P1', { address: 'there' });

/** How far an answer proves itself; the headers that it lacks count as empty. */
function proof({ headers, text }: Reply): { verified: boolean; age: number; known: boolean; serial: string | null } {
  const [timestamp, nonce] = [headers.get('wechatpay-timestamp') ?? '', headers.get('wechatpay-nonce') ?? ''];
  const { wechatpay_public_key, wechatpay_public_key_id } = bench.sandbox.keys;
  const message = answerMessage({ timestamp, nonce, body: text });
  const serial = headers.get('wechatpay-serial');
  return {
    verified: verifyMessage(wechatpay_public_key, message, headers.get('wechatpay-signature') ?? ''),
    age: Math.floor(Date.now() / 1000) - Number(timestamp),
    known: serial === wechatpay_public_key_id,
    serial,
  };
}

async function until<T>(found: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const value = await found();
    if (value !== undefined) return value;
    await setImmediate();
  }
}

describe('an error that a fault asks for', () => {
  test('has its status, code and Retry-After, is signed, and has no effect', async () => {
    await bench.faults({ do: { status: 429, code: 'FREQUENCY_LIMITED', retry_after: 7 }, times: 1 });
    const reply = await move();
    assert.deepEqual(
      [reply.status, reply.json.code, reply.headers.get('retry-after')],
      [429, 'FREQUENCY_LIMITED', '7'],
    );
    assert.ok(proof(reply).verified);
    assert.equal(await address(), 'here');
    assert.equal((await move()).status, 200);
  });

  test('is unsigned, wrongly signed, or has a message of its own, where the fault says so', async () => {
    const rule = { status: 404, code: 'NOT_FOUND' };
    await bench.faults(
      { do: { ...rule, unsigned: true }, times: 1 },
      { do: { ...rule, forge: 'signature' }, times: 1 },
      { do: { ...rule, message: '没有' }, times: 1 },
    );
    assert.equal((await move()).headers.get('wechatpay-signature'), null);
    const forged = await move();
    assert.ok(forged.headers.has('wechatpay-signature') && !proof(forged).verified);
    assert.equal((await move()).json.message, '没有');
  });
});

test('a raw body is answered as given, unsigned, and has no effect', async () => {
  const body = '<html>502</html>';
  await bench.faults({ do: { status: 502, body, headers: { 'Content-Type': 'text/html' } }, times: 1 });
  const reply = await move();
  assert.deepEqual([reply.status, reply.text, reply.headers.get('content-type')], [502, body, 'text/html']);
  assert.equal(reply.headers.get('wechatpay-signature'), null);
  assert.equal(await address(), 'here');
});

test('a redirect is answered unsigned and has no effect', async () => {
  await bench.faults({ do: { redirect: 'http://127.0.0.1:1/elsewhere' }, times: 1 });
  const reply = await move();
  assert.deepEqual([reply.status, reply.headers.get('location')], [307, 'http://127.0.0.1:1/elsewhere']);
  assert.equal(reply.headers.get('wechatpay-signature'), null);
  assert.equal(await address(), 'here');
});

describe('an effect that goes with what is answered in its place', () => {
  for (const [what, action, status] of [
    ['an error', { status: 500, code: 'SYSTEM_ERROR' }, 500],
    ['a raw body', { status: 502, body: '<html>502</html>' }, 502],
    ['a redirect', { redirect: 'http://127.0.0.1:1/elsewhere' }, 307],
  ] as const)
    test(`comes before ${what}`, async () => {
      await bench.faults({ do: { ...action, effect: true }, times: 1 });
      assert.equal((await move()).status, status);
      assert.equal(await address(), 'there');
    });

  test('is logged as refused where the service refuses it, though nobody is told', async () => {
    const drop = { do: { drop: 'after' }, times: 1 };
    await bench.faults({ do: { status: 500, code: 'SYSTEM_ERROR', effect: true }, times: 1 }, drop);
    const unknown = { policy_state: 'POLICY_STATE_NONE' };
    assert.equal((await bench.patch('P1', unknown)).status, 500);
    await assert.rejects(bench.patch('P1', unknown), { message: 'fetch failed' });
    const told = (await bench.requests()).slice(-2).map(({ status, refused }) => [status, refused]);
    assert.deepEqual(told, [
      [500, 'PARAM_ERROR'],
      [null, 'PARAM_ERROR'],
    ]);
  });
});

test('a raw body is signed where the fault says so', async () => {
  await bench.faults({ do: { status: 200, body: '{"out_insur', signed: true }, times: 1 });
  const reply = await move();
  assert.equal(reply.text, '{"out_insur');
  assert.ok(proof(reply).verified);
});

describe('a drop', () => {
  for (const [when, expected] of [
    ['before', 'here'],
    ['after', 'there'],
  ])
    test(`"${when}" cuts the connection, the change ${when === 'after' ? 'applied' : 'not applied'}`, async () => {
      await bench.faults({ do: { drop: when }, times: 1 });
      await assert.rejects(move(), { message: 'fetch failed' });
      assert.equal(await address(), expected);
      const last = (await bench.requests()).at(-1);
      assert.deepEqual([last?.method, last?.status, last?.code, last?.signature_ok], ['PATCH', null, null, true]);
      assert.ok(last?.ended_at);
    });

  test('"late" cuts the connection at once, and the change is applied after the delay', async () => {
    await bench.faults({ do: { drop: 'late', delay_ms: 300 }, times: 1 });
    await assert.rejects(move(), { message: 'fetch failed' });
    assert.equal(await address(), 'here');
    const last = (await bench.requests()).at(-1);
    assert.deepEqual([last?.method, last?.status, last?.signature_ok], ['PATCH', null, true]);
    assert.ok(last?.ended_at);
    await until(async () => (await address()) === 'there' || undefined);
    const landed = (await bench.requests()).find(({ n }) => n === last?.n);
    assert.ok(Date.parse(landed?.landed_at ?? '') >= Date.parse(landed?.ended_at ?? '') + 290, landed?.landed_at);
  });

  test('"late" has no effect that the service refuses by then, and the log tells of none', async () => {
    await bench.faults({ do: { drop: 'late', delay_ms: 50 }, times: 1 });
    await assert.rejects(bench.patch('P1', { policy_state: 'POLICY_STATE_NONE' }), { message: 'fetch failed' });
    await setTimeout(150);
    assert.equal((await move()).status, 200);
    assert.deepEqual(
      (await bench.requests()).slice(-2).map(({ refused, landed_at }) => refused ?? landed_at),
      [undefined, undefined],
    );
  });
});

test('a truncated answer ends in its middle, the change applied', async () => {
  await bench.faults({ do: { truncate: true }, times: 1 });
  await assert.rejects(move());
  assert.equal(await address(), 'there');
  assert.equal((await bench.requests()).at(-1)?.status, 200);
});

describe('a forged answer applies the change, answers 200, and', () => {
  const forged = async (forge: string): Promise<{ reply: Reply; proven: ReturnType<typeof proof> }> => {
    await bench.faults({ do: { forge }, times: 1 });
    const reply = await move();
    assert.equal(reply.status, 200);
    assert.equal(await address(), 'there');
    return { reply, proven: proof(reply) };
  };

  test('signature: does not verify', async () => {
    const { proven } = await forged('signature');
    assert.ok(!proven.verified && proven.known && proven.age < 60);
  });

  test('timestamp: verifies, 10 minutes old', async () => {
    const { proven } = await forged('timestamp');
    assert.ok(proven.verified && proven.known && proven.age >= 600 && proven.age < 660);
  });

  test('signtest: has the prefix of WeChat Pay’s own probes', async () => {
    const { reply, proven } = await forged('signtest');
    assert.match(reply.headers.get('wechatpay-signature') ?? '', /^WECHATPAY\/SIGNTEST\/./);
    assert.ok(!proven.verified && proven.known);
  });

  test('unsigned: has none of the headers', async () => {
    const { reply } = await forged('unsigned');
    assert.deepEqual(
      [...reply.headers.keys()].filter((name) => name.startsWith('wechatpay-')),
      [],
    );
  });

  test('serial: verifies, but names a key that nobody knows', async () => {
    const { proven } = await forged('serial');
    assert.ok(proven.verified && !proven.known);
    assert.match(proven.serial ?? '', /^PUB_KEY_ID_/);
  });
});

test('the answer of another policy is signed and of the other number, the change applied', async () => {
  await bench.put({ ...REGULAR, out_insurance_no: 'Other1', address: 'other' });
  await bench.faults({ do: { answer_of: 'Other1' }, times: 1 }, { do: { answer_of: 'Nobody1' }, times: 1 });
  const known = await move();
  assert.deepEqual([known.json.out_insurance_no, known.json.address], ['Other1', 'other']);
  assert.ok(proof(known).verified);
  assert.equal((await move()).json.out_insurance_no, 'Nobody1');
  assert.equal(await address(), 'there');
});

test('unreadable names are sealed with a key that is not the merchant’s', async () => {
  await bench.faults({ do: { names: 'unreadable' }, times: 1 });
  const reply = await bench.query('P1');
  assert.ok(proof(reply).verified);
  const [name = ''] = reply.json.insured_name_list as string[];
  assert.equal(openName([bench.sandbox.keys.merchant_private_key], name), undefined);
  assert.equal(Buffer.from(name, 'base64').length, 256);
});

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
