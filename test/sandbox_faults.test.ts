import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { openName } from '../wechatpay/sealing.ts';
import { type Bench, REGULAR, type Reply, startBench } from './sandbox_calls.ts';
import { proof, until } from './sandbox_faults_fixture.ts';

let bench: Bench;
const chances: number[] = [];
before(async () => {
  bench = await startBench({ random: () => chances.shift() ?? assert.fail('no chance was to be taken') });
});
after(() => bench.close());
beforeEach(() => bench.put({ ...REGULAR, address: 'here' }));

const address = async (): Promise<unknown> => (await bench.held('P1')).address;
const move = (): Promise<Reply> => bench.patch('P1', { address: 'there' });

describe('an error that a fault asks for', () => {
  test('has its status, code and Retry-After, is signed, and has no effect', async () => {
    await bench.faults({ do: { status: 429, code: 'FREQUENCY_LIMITED', retry_after: 7 }, times: 1 });
    const reply = await move();
    assert.deepEqual(
      [reply.status, reply.json.code, reply.headers.get('retry-after')],
      [429, 'FREQUENCY_LIMITED', '7'],
    );
    assert.ok(proof(bench, reply).verified);
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
    assert.ok(forged.headers.has('wechatpay-signature') && !proof(bench, forged).verified);
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
  assert.ok(proof(bench, reply).verified);
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
    return { reply, proven: proof(bench, reply) };
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
  assert.ok(proof(bench, known).verified);
  assert.equal((await move()).json.out_insurance_no, 'Nobody1');
  assert.equal(await address(), 'there');
});

test('unreadable names are sealed with a key that is not the merchant’s', async () => {
  await bench.faults({ do: { names: 'unreadable' }, times: 1 });
  const reply = await bench.query('P1');
  assert.ok(proof(bench, reply).verified);
  const [name = ''] = reply.json.insured_name_list as string[];
  assert.equal(openName([bench.sandbox.keys.merchant_private_key], name), undefined);
  assert.equal(Buffer.from(name, 'base64').length, 256);
});
