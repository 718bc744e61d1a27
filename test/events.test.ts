import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { EVENT_TYPES, eventsBetween, NOTHING_TOLD, type Stance } from '../policy/events.ts';
import { SYNCS } from '../policy/state.ts';
import { retryAfter } from '../worker/events/delivery.ts';
import { readEndpoints } from '../worker/events/endpoints_file.ts';
import { bodyOf, webhook } from '../worker/events/webhook.ts';
import { SettingsError } from '../worker/settings.ts';
import { Events } from '../workflows/events.ts';
import { deliveryOf, endpointsFolder, type Received, secretOf, startReceiver } from './events_fixture.ts';
import { sourceOf } from './named_code.ts';

const stance = (changes: Partial<Stance> = {}): Stance => ({
  state: 'APPROVED',
  sync: 'SYNCED',
  revision: 1,
  synced_revision: 1,
  block: null,
  diverged: [],
  attention: [],
  window: 'planned',
  ...changes,
});

/** Types that a row of stances tells, without their `policy.`, a list for each. */
function toldBy(...stances: Partial<Stance>[]): string[][] {
  let told = NOTHING_TOLD;
  return stances.map((changes) => {
    const between = eventsBetween(told, stance(changes));
    told = between.told;
    return between.events.map(([type]) => type.replace('policy.', ''));
  });
}

describe('what is told when a policy stands otherwise than before', () => {
  const blocked: Partial<Stance> = { sync: 'BLOCKED', block: { code: 'PARAM_ERROR' }, revision: 2 };
  const rows: [rule: string, stances: Partial<Stance>[], told: string[][]][] = [
    ['nothing of a policy that waits for its first answer', [{ sync: 'PENDING', synced_revision: 0 }], [[]]],
    [
      'that each revision is confirmed, once',
      [{}, {}, { revision: 2, sync: 'PENDING' }, { revision: 2, synced_revision: 2 }],
      [['confirmed'], [], [], ['confirmed']],
    ],
    ['that one is confirmed though the next is on its way', [{ revision: 2, sync: 'PENDING' }], [['confirmed']]],
    [
      'that it is blocked, once, and again for another code',
      [{}, blocked, blocked, { ...blocked, block: { code: 'NO_AUTH' } }],
      [['confirmed'], ['blocked'], [], ['blocked']],
    ],
    [
      'that it is in step again, though no revision is another',
      [{}, { ...blocked, revision: 1 }, { sync: 'PENDING' }, {}],
      [['confirmed'], ['blocked'], [], ['confirmed']],
    ],
    [
      'not anew that it is blocked by the same after a try in vain',
      [{}, blocked, { ...blocked, sync: 'PENDING' }, blocked],
      [['confirmed'], ['blocked'], [], []],
    ],
    [
      'that it diverges, and again in another field',
      [{}, { sync: 'DIVERGED', diverged: ['policy_state'] }, { sync: 'DIVERGED', diverged: ['address'] }],
      [['confirmed'], ['diverged'], ['diverged']],
    ],
    [
      'that a change waits for long',
      [{}, { sync: 'RETRYING', revision: 2 }, { revision: 2, synced_revision: 2 }],
      [['confirmed'], ['retrying'], ['confirmed']],
    ],
    [
      'that the window is open once WeChat Pay holds it',
      [
        {},
        { window: 'open', sync: 'PENDING', revision: 2 },
        { window: 'open', revision: 2, synced_revision: 2 },
        { window: 'closed', revision: 2, synced_revision: 2 },
      ],
      [['confirmed'], [], ['confirmed', 'window_opened'], []],
    ],
    [
      'marks that are new, not those that were',
      [{ attention: ['a'] }, { attention: ['a', 'b'] }, { attention: ['b'] }, { attention: ['a', 'b'] }],
      [['confirmed', 'attention'], ['attention'], [], ['attention']],
    ],
    ['nothing of a policy that a person holds', [{}, { sync: 'HELD' }, {}], [['confirmed'], [], []]],
  ];
  for (const [rule, stances, told] of rows) it(rule, () => assert.deepEqual(toldBy(...stances), told));

  it('names why: the code of a block with its Request-ID, the fields that differ, the new marks', () => {
    const detail = (changes: Partial<Stance>) =>
      eventsBetween(NOTHING_TOLD, stance({ synced_revision: 0, ...changes })).events[0]?.[1];
    assert.deepEqual(detail({ sync: 'BLOCKED', block: { code: 'X', request_id: '08A' } }), {
      code: 'X',
      request_id: '08A',
    });
    assert.deepEqual(detail({ sync: 'DIVERGED', diverged: ['address'] }), { fields: ['address'] });
    assert.deepEqual(detail({ sync: 'PENDING', attention: ['reset'] }), { marks: ['reset'] });
  });

  const stances = fc.array(
    fc.record({
      sync: fc.constantFrom(...SYNCS),
      more: fc.nat(1),
      window: fc.constantFrom('planned', 'open', 'closed'),
      attention: fc.subarray(['a', 'b', 'c']),
      code: fc.constantFrom('X', 'Y'),
      diverged: fc.subarray(['address', 'policy_state'], { minLength: 1 }),
    }),
    { maxLength: 40 },
  );

  it('is enough to know at any time whether WeChat Pay holds what is wanted: whoever follows events never takes a policy that is out of step for one in step', () => {
    fc.assert(
      fc.property(stances, (row) => {
        const events = new Events();
        events.recorded();
        let synced_revision = 0;
        for (const { sync, more, code, ...rest } of row) {
          if (sync === 'SYNCED') synced_revision += more;
          events.look('life', stance({ sync, block: { code }, synced_revision, ...rest }));
          const last = events.state.entries.filter(({ type }) => !/window|attention|healed/.test(type)).at(-1);
          if (sync === 'BLOCKED' || sync === 'DIVERGED' || sync === 'RETRYING')
            assert.equal(last?.type, `policy.${sync.toLowerCase()}`);
          if (sync === 'SYNCED' && synced_revision > 0) assert.equal(last?.type, 'policy.confirmed');
        }
        const sequences = events.state.entries.map(({ sequence }) => sequence);
        assert.deepEqual(
          sequences,
          [...new Set(sequences)].sort((one, other) => one - other),
        );
        assert.equal(new Set(events.state.entries.map(({ id }) => id)).size, sequences.length);
      }),
    );
  });

  it('is in the table of docs/events.md, type by type', async () => {
    const page = await sourceOf('docs/events.md');
    for (const [type, says] of Object.entries(EVENT_TYPES)) assert.ok(page.includes(`| \`${type}\` | ${says} |`), type);
  });
});

describe('events that MongoDB is not known to have', () => {
  const noted = (events: Events, times: number): void => {
    for (let n = 1; n <= times; n++)
      events.look('life', stance({ synced_revision: events.state.told.synced_revision + 1 }));
  };

  it('stay, however many calls carry them in vain, until one was written by a worker that knows of them', () => {
    const events = new Events();
    events.recorded();
    noted(events, 2);
    const written = [...events.state.entries];
    noted(events, 1);
    assert.equal(events.state.entries.length, 3);
    events.recorded(written);
    assert.deepEqual(
      events.state.entries.map(({ synced_revision }) => synced_revision),
      [3],
    );
  });

  it('are none before a worker has said that somebody waits for them', () => {
    const events = new Events();
    noted(events, 2);
    assert.deepEqual(events.state.entries, []);
    events.recorded();
    noted(events, 1);
    assert.equal(events.state.entries.length, 1);
  });

  it('are handed from run to run, and are numbered on from there', () => {
    const before = new Events();
    before.recorded();
    noted(before, 1);
    const after = new Events(JSON.parse(JSON.stringify(before.state)));
    noted(after, 1);
    const [first, second] = after.state.entries;
    assert.ok(first && second && second.sequence > first.sequence);
  });

  it('are 200 at most', () => {
    const events = new Events();
    events.recorded();
    noted(events, 250);
    assert.equal(events.state.entries.length, 200);
    assert.equal(events.state.entries.at(-1)?.synced_revision, 250);
  });
});

describe('an attempt to deliver', () => {
  const never = new AbortController().signal;
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

  const answers: [answer: string, status: number, headers: Record<string, string>, sent: object][] = [
    ['any 2xx takes it', 202, {}, { outcome: 'taken' }],
    ['500 does not', 500, {}, { outcome: 'not-taken', reason: 'status 500' }],
    [
      '429 may say when to come again',
      429,
      { 'retry-after': '7' },
      { outcome: 'not-taken', reason: 'status 429', retry_after_ms: 7000 },
    ],
    ['a redirect is not followed', 307, { location: '/elsewhere' }, { outcome: 'not-taken', reason: 'status 307' }],
    ['410 says that the endpoint is gone', 410, {}, { outcome: 'gone', reason: 'status 410' }],
  ];
  for (const [answer, status, headers, expected] of answers)
    it(answer, async () => {
      const receiver = await startReceiver(secret, (_, response) => response.writeHead(status, headers).end('a text'));
      const sent = await webhook({ url: receiver.url, secrets: [bytes(secret)] })(deliveryOf(), new Date(), never);
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

  it('has an id without a full stop, which parts what is signed', () => {
    const events = new Events();
    events.recorded();
    events.look('019abc-7', stance());
    assert.match(events.state.entries[0]?.id ?? '', /^[\w-]+$/);
    assert.match(bodyOf(deliveryOf()), /^\{"type":"policy\.confirmed","timestamp":"[^"]+","data":\{/);
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
    assert.equal(retryAfter(1, 1e12, 0), 3600_000);
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
      /0\.url\. expected an https URL/,
    ],
    [
      'with a password in a URL',
      () => folder.write([{ ...good, url: 'https://anna:geheim@core.example.com/' }]),
      /0\.url\. expected an https URL without a password/,
    ],
    [
      'with a type of event that is none',
      () => folder.write([{ ...good, events: ['policy.lost'] }]),
      /0\.events\.0\. expected types of events: policy\.confirmed/,
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
