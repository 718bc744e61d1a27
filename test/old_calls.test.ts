import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Log } from '../activities/log.ts';
import { connect, type Storage } from '../storage/connection.ts';
import type { Call } from '../storage/documents.ts';
import { deleteOldCalls } from '../storage/old_calls.ts';
import { beginSweep } from '../storage/sweeps.ts';
import { keepDeletingOldCalls } from '../worker/old_calls.ts';
import { until } from './client_namespace.ts';
import { setStage } from './client_stage.ts';
import { DAY, MCHID, uniqueNumber } from './fixtures.ts';
import { type Database, startDatabase } from './storage_fixture.ts';

let database: Database;
let storage: Storage;
before(async () => {
  database = await startDatabase();
  storage = await connect(database.uri, { keyring: undefined });
  await storage.ensureIndexes();
});
beforeEach(async () => {
  await storage.calls.deleteMany({});
  await storage.sweeps.deleteMany({});
});
after(async () => {
  await storage?.close();
  await database?.stop();
});

const ago = (days: number): Date => new Date(Date.now() - days * DAY);
const KEPT = 90 * DAY;

/** Calls of a policy, one of each age in days. */
async function made(policy: string, ages: readonly number[]): Promise<void> {
  const documents = ages.map((age, attempt) => ({
    _id: `run-of-${policy}/1/${attempt}`,
    workflow_run: `run-of-${policy}`,
    activity_id: '1',
    attempt,
    policy,
    mchid: MCHID,
    method: 'GET',
    revision: 1,
    step: 1,
    at: ago(age),
  }));
  await storage.calls.insertMany(documents as Call[]);
}

/** Attempts whose calls are there, in their order. */
async function left(policy: string): Promise<unknown[]> {
  const calls = await storage.calls.find({ policy }).toArray();
  return calls.map((call) => 'attempt' in call && call.attempt).sort((a, b) => Number(a) - Number(b));
}

const span = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, at) => from + at);
const policyId = (): string => `${MCHID}/${uniqueNumber('O')}`;

async function swept(): Promise<Record<string, number>> {
  const deleted: Record<string, number> = {};
  for await (const { policy, deleted: count } of deleteOldCalls(storage, ago(90))) deleted[policy] = count;
  return deleted;
}

describe('calls older than they are kept', () => {
  it('go, but for the last 20 of each policy; younger ones stay, however many', async () => {
    const [old, mixed, young, few, busy] = [policyId(), policyId(), policyId(), policyId(), policyId()];
    // The attempt of the highest number is the oldest.
    await made(
      old,
      span(0, 25).map((n) => 100 + n / 100),
    );
    await made(mixed, [89, ...span(1, 31).map((n) => 100 + n)]);
    await made(
      young,
      span(0, 40).map((n) => 50 + n / 2),
    );
    await made(
      few,
      span(0, 12).map((n) => 400 + n),
    );
    await made(busy, [...span(0, 30).map((n) => n), ...span(30, 33).map(() => 91)]);
    assert.deepEqual(await swept(), { [old]: 5, [mixed]: 11, [young]: 0, [few]: 0, [busy]: 3 });
    assert.deepEqual(await left(old), span(0, 20));
    assert.deepEqual(await left(mixed), span(0, 20));
    assert.deepEqual(await left(young), span(0, 40));
    assert.deepEqual(await left(few), span(0, 12));
    assert.deepEqual(await left(busy), span(0, 30));
    assert.deepEqual(await swept(), { [old]: 0, [mixed]: 0, [young]: 0, [few]: 0, [busy]: 0 });
  });

  it('go in batches, and of calls of the same instant 20 stay, though several workers delete at once', async () => {
    const policies = [policyId(), policyId()];
    for (const policy of policies)
      await made(
        policy,
        Array.from({ length: 250 }, () => 100),
      );
    const [first, second] = await Promise.all([swept(), swept()]);
    for (const policy of policies) {
      assert.equal((first?.[policy] ?? 0) + (second?.[policy] ?? 0), 230);
      assert.equal((await left(policy)).length, 20);
    }
  });
});

describe('workers that delete old calls', () => {
  const silent = { debug() {}, warn() {}, error() {} };

  it('do it once a day, the first that looks for all of them, and say how many calls went', async (context) => {
    const policy = policyId();
    await made(
      policy,
      span(0, 30).map((n) => 100 + n),
    );
    const said: unknown[] = [];
    const say = (...line: unknown[]) => said.push(line);
    const log = { ...silent, info: say, warn: say } as Log;
    const enough = new AbortController();
    context.after(() => enough.abort());
    const workers = [1, 2].map(() => keepDeletingOldCalls({ storage, log }, KEPT, enough.signal));
    await until(async () => said.length > 0);
    const [[line, message]] = said as [[{ calls: number }, string]];
    assert.deepEqual([line.calls, message], [10, 'old calls are deleted']);
    assert.equal((await left(policy)).length, 20);
    enough.abort();
    await Promise.all(workers);
    assert.equal(await beginSweep(storage, 'calls', DAY), false);
    await storage.sweeps.updateOne({ _id: 'calls' }, { $set: { begun_at: ago(1.01) } });
    assert.equal(await beginSweep(storage, 'calls', DAY), true);
    assert.equal(await beginSweep(storage, 'calls', DAY), false);
  });

  it('go by the clock of MongoDB, not by one of their own that is years ahead', {
    timeout: 60_000,
  }, async (context) => {
    const [young, old] = [policyId(), policyId()].sort() as [string, string];
    await made(young, span(0, 30));
    await made(
      old,
      span(0, 30).map((n) => 100 + n),
    );
    const enough = new AbortController();
    context.after(() => enough.abort());
    context.mock.timers.enable({ apis: ['Date'], now: Date.now() + 4000 * DAY });
    const working = keepDeletingOldCalls({ storage, log: { ...silent, info() {} } as Log }, KEPT, enough.signal);
    // The younger ones are looked at before.
    await until(async () => (await left(old)).length === 20);
    context.mock.timers.reset();
    enough.abort();
    await working;
    assert.equal((await left(young)).length, 30);
  });

  it('delete none where they are to be kept for ever', async () => {
    await made(
      policyId(),
      span(0, 30).map((n) => 100 + n),
    );
    await keepDeletingOldCalls(
      { storage, log: silent as never },
      Number.POSITIVE_INFINITY,
      new AbortController().signal,
    );
    assert.equal(await storage.calls.countDocuments({}), 30);
    assert.equal(await storage.sweeps.countDocuments({}), 0);
  });

  it('are those that `policy-sync worker` runs', async () => {
    const stage = await setStage();
    const its = await connect(String(stage.env.MONGODB_URI), { keyring: undefined });
    try {
      await until(async () => (await its.sweeps.findOne({ _id: 'calls' })) !== null);
    } finally {
      await its.close();
      await stage.stop();
    }
  });
});
