import assert from 'node:assert/strict';
import { setMaxListeners } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { retryAfter } from '../worker/events/delivery.ts';
import { readEndpoints } from '../worker/events/endpoints_file.ts';
import { webhook } from '../worker/events/webhook.ts';
import { SettingsError } from '../worker/settings.ts';
import { deliveryOf, endpointsFolder, type Received, secretOf, startReceiver } from './events_fixture.ts';
import { DAY } from './fixtures.ts';

describe('an attempt to deliver', () => {
  const never = new AbortController().signal;
  setMaxListeners(0, never);
  const secret = secretOf('one');
  const bytes = (text: string) => Buffer.from(text.replace('whsec_', ''), 'base64');

  it('carries the headers of Standard Webhooks, and a body of type, timestamp and data', async () => {
    const receiver = await startReceiver(secret);
    const delivery = deliveryOf({ type: 'policy.blocked', told: { ...deliveryOf().told, code: 'X' } });
    const sent = await webhook({ url: receiver.url, secrets: [bytes(secret)] })(delivery, new Date(), never);
    await receiver.close();
    assert.deepEqual(sent, { outcome: 'taken' });
    const [{ event, id, headers } = {} as Received] = receiver.received;
    assert.equal(id, delivery.event);
    assert.equal(headers['content-type'], 'application/json');
    const { mchid, out_insurance_no, sequence, told } = delivery;
    assert.deepEqual(event, {
      type: delivery.type,
      timestamp: delivery.at.toISOString(),
      data: { mchid, out_insurance_no, sequence, ...told },
    });
  });

  it('is signed by each secret while one is exchanged, so that who knows either takes it', async () => {
    for (const known of ['one', 'two']) {
      const receiver = await startReceiver(secretOf(known));
      const secrets = [secretOf('two'), secretOf('one')].map(bytes);
      await webhook({ url: receiver.url, secrets })(deliveryOf(), new Date(), never);
      await receiver.close();
      assert.deepEqual([receiver.received.length, receiver.forged], [1, 0]);
      assert.equal(String(receiver.received[0]?.headers['webhook-signature']).split(' ').length, 2);
    }
  });

  /** A whole second, as a date of HTTP's is. */
  const NOW = Math.floor(Date.now() / 1000) * 1000;
  const answers: [answer: string, status: number, headers: Record<string, string>, sent: object][] = [
    ['any 2xx takes it', 202, {}, { outcome: 'taken' }],
    ['500 does not', 500, {}, { outcome: 'not-taken', reason: 'status 500' }],
    [
      '429 may say when to come again',
      429,
      { 'retry-after': '7' },
      { outcome: 'not-taken', reason: 'status 429', retry_after_ms: 7000 },
    ],
    [
      'a date says it, too',
      503,
      { 'retry-after': new Date(NOW + 600_000).toUTCString() },
      { outcome: 'not-taken', reason: 'status 503', retry_after_ms: 600_000 },
    ],
    ['what is no time says nothing', 503, { 'retry-after': 'soon' }, { outcome: 'not-taken', reason: 'status 503' }],
    ['a redirect is not followed', 307, { location: '/elsewhere' }, { outcome: 'not-taken', reason: 'status 307' }],
    ['410 says that the endpoint is gone', 410, {}, { outcome: 'gone', reason: 'status 410' }],
  ];
  for (const [answer, status, headers, expected] of answers)
    it(answer, async () => {
      const at = new Date(NOW);
      const receiver = await startReceiver(secret, (_, response) => response.writeHead(status, headers).end('a text'));
      const sent = await webhook({ url: receiver.url, secrets: [bytes(secret)] })(deliveryOf(), at, never);
      await receiver.close();
      assert.deepEqual(sent, expected);
      assert.equal(receiver.received.length, 1);
    });

  it('to an endpoint that does not answer ends by its time-out; to one that is not there, at once', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const { port } = silent.address() as { port: number };
    const secrets = [bytes(secret)];
    const url = `http://127.0.0.1:${port}/`;
    assert.deepEqual(await webhook({ url, secrets }, 100)(deliveryOf(), new Date(), never), {
      outcome: 'not-taken',
      reason: 'time-out',
    });
    silent.closeAllConnections();
    await new Promise((resolve) => silent.close(resolve));
    assert.deepEqual(await webhook({ url, secrets })(deliveryOf(), new Date(), never), {
      outcome: 'not-taken',
      reason: 'ECONNREFUSED',
    });
  });

  it('that is broken off, for the worker ends, says nothing about the endpoint', async () => {
    const over = new AbortController();
    const receiver = await startReceiver(secret, () => over.abort());
    const sent = await webhook({ url: receiver.url, secrets: [bytes(secret)] })(deliveryOf(), new Date(), over.signal);
    await receiver.close();
    assert.deepEqual(sent, { outcome: 'given-up' });
  });
});

describe('an event that was not taken', () => {
  it('is tried again after 5 s, doubling to an hour, half of it by chance, and not before the endpoint asks', () => {
    assert.deepEqual(
      [1, 2, 3, 10, 11, 500].map((attempts) => retryAfter(attempts, 0, 1) / 1000),
      [5, 10, 20, 2560, 3600, 3600],
    );
    assert.equal(retryAfter(1, 0, 0), 2500);
    assert.equal(retryAfter(1, 60_000, 0), 60_000);
    assert.equal(retryAfter(1, 7_200_000, 0), 7_200_000);
    assert.equal(retryAfter(1, 1e12, 0), 3 * DAY, 'no longer than it is tried at all');
  });
});

describe('the webhooks file', () => {
  let folder: Awaited<ReturnType<typeof endpointsFolder>>;
  before(async () => {
    folder = await endpointsFolder();
  });
  after(() => folder.remove());
  const good = { name: 'core', url: 'https://core.example.com/events', secrets: [secretOf('one'), secretOf('two')] };

  it('is a list of endpoints, with what each is told of', async () => {
    await folder.write([
      { ...good, merchants: ['1900000001'], events: ['policy.ended'] },
      { ...good, name: 'b', url: 'http://127.0.0.1:8080' },
    ]);
    const [core, b] = await readEndpoints(folder.file);
    assert.deepEqual([core?.merchants, core?.types, core?.secrets.length], [['1900000001'], ['policy.ended'], 2]);
    assert.deepEqual([b?.merchants, b?.types], [undefined, undefined]);
  });

  const bad: [fault: string, write: () => Promise<unknown>, says: RegExp][] = [
    ['that is not there', async () => folder.remove(), /expected a readable file at .*, found none/],
    [
      'that is no JSON',
      () => writeFile(folder.file, '[{"name": "core",\n}]'),
      /expected JSON, found a fault in line 2/,
    ],
    [
      'with plain http over a network',
      () => folder.write([{ ...good, url: 'http://core.example.com/' }]),
      /0\.url: expected an https URL/,
    ],
    [
      'with a password in a URL',
      () => folder.write([{ ...good, url: 'https://anna:geheim@core.example.com/' }]),
      /0\.url: expected an https URL without a password/,
    ],
    [
      'with a type of event that is none',
      () => folder.write([{ ...good, events: ['policy.lost'] }]),
      /0\.events\.0: expected types of events: policy\.confirmed/,
    ],
    ['with a name twice', () => folder.write([good, good]), /expected each name once, found core twice/],
    [
      'with a secret that is none',
      () => folder.write([{ ...good, secrets: ['geheim'] }]),
      /expected whsec_ and 24 to 64 bytes in base64 at .*core-0\.secret/,
    ],
    [
      'with a secret that is too short',
      () => folder.write([{ ...good, secrets: ['whsec_Z2VoZWlt'] }]),
      /expected whsec_ and 24 to 64 bytes/,
    ],
    [
      'with a secret that is not there',
      () =>
        writeFile(
          join(folder.directory, 'webhooks.json'),
          JSON.stringify([{ name: 'a', url: 'https://a.example', secret_files: ['none'] }]),
        ),
      /found none \(secret_files of a\)/,
    ],
  ];
  for (const [fault, write, says] of bad)
    it(`${fault} is refused in one line, without a secret`, async () => {
      folder = await endpointsFolder();
      await write();
      await assert.rejects(readEndpoints(folder.file), (error) => {
        assert.ok(error instanceof SettingsError);
        assert.match(error.message, says);
        assert.match(error.message, /^POLICY_SYNC_WEBHOOKS: [^\n]+$/);
        assert.doesNotMatch(error.message, /geheim|Z2VoZWlt/);
        return true;
      });
      await folder.remove();
    });
});
