import assert from 'node:assert/strict';
import { promises } from 'node:dns';
import { after, before, test } from 'node:test';
import { writeVerification } from '../storage/answers.ts';
import { listCalls, writeIntent } from '../storage/calls.ts';
import { connect, InvalidUri, type Storage } from '../storage/connection.ts';
import { listDiscrepancies, writeDiscrepancies } from '../storage/discrepancies.ts';
import { StorageRefused, StorageUnavailable } from '../storage/errors.ts';
import { claim, findPolicy, restore, writePolicy } from '../storage/policies.ts';
import { listPolicies } from '../storage/policy_list.ts';
import { type Database, entries, keyring, type Line, lineTo, opened, startDatabase } from './storage_fixture.ts';

let database: Database;
let line: Line;
let storage: Storage;

/** The test database's URI, by way of the line. */
const through = (uri: string, port: number) => uri.replace(/^(mongodb:\/\/(?:[^@/]*@)?)[^/]+/, `$1127.0.0.1:${port}`);

before(async () => {
  database = await startDatabase();
  line = await lineTo(database.address);
  // A replica set would tell the driver its own address, past the line.
  const uri = through(database.uri, line.port);
  storage = await connect(`${uri}${uri.includes('?') ? '&' : '?'}directConnection=true`, {
    keyring: keyring(...entries),
  });
});

after(async () => {
  await storage?.close();
  await line?.cut().catch(() => {});
  await database?.stop();
});

const policy = opened();
const { mchid, out_insurance_no, revision, step, life } = policy;
const attempt = { workflow_run: 'r', activity_id: 'a', attempt: 1, policy: `${mchid}/${out_insurance_no}`, mchid };
const now = new Date();
const one = { id: '1', field: 'address', kind: 'drift' as const, found_at: 0, became: 'healed' as const };
const found = { policy: attempt.policy, mchid, discrepancies: [one] };

const operations: Record<string, () => Promise<unknown>> = {
  claim: () => claim(storage, policy),
  restore: () => restore(storage, { mchid, out_insurance_no, life, namespace: 'default' }),
  writePolicy: () => writePolicy(storage, policy),
  writeVerification: () =>
    writeVerification(storage, {
      mchid,
      out_insurance_no,
      life,
      revision,
      verified_at: now,
      next_verification_at: now,
    }),
  findPolicy: () => findPolicy(storage, mchid, out_insurance_no),
  listPolicies: () => listPolicies(storage, {}, { limit: 1 }).next(),
  writeIntent: () => writeIntent(storage, { ...attempt, method: 'GET', revision, step, at: now }),
  listCalls: () => listCalls(storage, attempt.policy, 1),
  writeDiscrepancies: () => writeDiscrepancies(storage, found),
  listDiscrepancies: () => listDiscrepancies(storage, attempt.policy, 1),
};

async function failsSoon(name: string, operation: () => Promise<unknown>): Promise<void> {
  const start = performance.now();
  await assert.rejects(operation(), (error: Error) => {
    assert.ok(error instanceof StorageUnavailable, `${name}: ${error.name} ${error.message}`);
    assert.match(error.message, /^MongoDB at 127\.0\.0\.1:\d+ is not available \([^\n]+\): check [^\n]+$/);
    return true;
  });
  const took = performance.now() - start;
  const most = name === 'listPolicies' ? 13_000 : 5_000;
  assert.ok(took < most, `${name} took ${Math.round(took)} ms to fail`);
}

const allFail = () => Promise.all(Object.entries(operations).map(([name, run]) => failsSoon(name, run)));
/** The driver learns of a server's return within its heartbeats. */
async function allWork(): Promise<void> {
  for (const [name, run] of Object.entries(operations)) {
    const deadline = performance.now() + 20_000;
    for (;;) {
      try {
        await run();
        break;
      } catch (error) {
        assert.ok(error instanceof StorageUnavailable, `${name}: ${error}`);
        assert.ok(performance.now() < deadline, `${name} does not work again: ${error.message}`);
      }
    }
  }
}

test('MongoDB down at the start, then up, then gone, then silent, then back: each operation fails soon, then works', async () => {
  await line.cut();
  await allFail();
  await allFail();
  await line.mend();
  await allWork();
  await line.cut();
  await allFail();
  await line.mend();
  await allWork();
  line.hang();
  await allFail();
  await line.mend();
  await allWork();
});

test('what MongoDB refuses is one line with its code, and quotes no document', async () => {
  const secret = 'the address of a person';
  const refused = storage.write('x', () =>
    storage.policies.updateOne({ _id: 'x' }, { $nonsense: { address: secret } } as object, { upsert: true }),
  );
  await assert.rejects(refused, (error: Error) => {
    assert.ok(error instanceof StorageRefused);
    assert.match(error.message, /^MongoDB at \S+ refused the operation: code [^\n]+$/);
    assert.ok(!error.message.includes(secret) && !error.message.includes('nonsense'));
    return true;
  });
});

test('an operation that fails lets the next on the same document run', async () => {
  const failing = storage.write('y', () => Promise.reject(new Error('its own')));
  const next = storage.write('y', async () => 'next');
  await assert.rejects(failing, /its own/);
  assert.equal(await next, 'next');
});

test('a bad MONGODB_URI is one line that names the setting and quotes nothing of it', async () => {
  for (const uri of ['', 'localhost:27017', 'postgres://u:secret@h/d', 'mongodb://u:secret@h:port/d', 'mongodb://']) {
    await assert.rejects(connect(uri, { keyring: undefined }), (error: Error) => {
      assert.ok(error instanceof InvalidUri);
      assert.match(error.message, /^MONGODB_URI: expected [^\n]+$/);
      assert.ok(!error.message.includes('secret'));
      return true;
    });
  }
});

test('the database is the one of the URI, else policy_sync', async () => {
  const hosts = 'mongodb://u:p%2Fw@h1:1,h2:2';
  for (const [uri, name] of [
    [`${hosts}/own?authSource=admin`, 'own'],
    [`${hosts}/own`, 'own'],
    [`${hosts}/?authSource=admin`, 'policy_sync'],
    [hosts, 'policy_sync'],
  ] as const) {
    const named = await connect(uri, { keyring: undefined });
    assert.equal(named.policies.dbName, name);
    await named.close();
  }
});

test('hosts of mongodb+srv that cannot be looked up are MongoDB that is not available', async () => {
  const servers = promises.getServers();
  // Nobody answers there: the look-up fails at once, and leaves this machine alone.
  promises.setServers(['127.0.0.1:9']);
  const lost = await connect('mongodb+srv://cluster.example.invalid/policy_sync', { keyring: undefined });
  try {
    await assert.rejects(findPolicy(lost, mchid, out_insurance_no), StorageUnavailable);
    await assert.rejects(lost.ensureIndexes(), StorageUnavailable);
  } finally {
    promises.setServers(servers);
    await lost.close();
  }
});
