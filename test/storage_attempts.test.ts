import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import type { Discrepancy } from '../policy/entries.ts';
import { listCalls, writeIntent, writeOutcome, writeOwed } from '../storage/calls.ts';
import { listCommands, writeCommands } from '../storage/commands.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { listDiscrepancies, writeDiscrepancies } from '../storage/discrepancies.ts';
import type { CallIntent, CallOutcome } from '../storage/documents.ts';
import { type Database, entries, keyring, PERSONAL, startDatabase } from './storage_fixture.ts';

const [k1, k2] = entries;
let database: Database;
let storage: Storage;

before(async () => {
  database = await startDatabase();
  storage = await connect(database.uri, { keyring: keyring(k1) });
  await storage.ensureIndexes();
  await storage.ensureIndexes();
});

after(async () => {
  await storage?.close();
  await database?.stop();
});

const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute));

function intentOf(changes: Partial<CallIntent> = {}): CallIntent {
  return {
    workflow_run: randomUUID(),
    activity_id: '1',
    attempt: 1,
    policy: `1900000001/${randomUUID()}`,
    mchid: '1900000001',
    method: 'PATCH',
    revision: 2,
    step: 3,
    at: at(0),
    ...changes,
  };
}

function outcomeOf(intent: CallIntent): CallOutcome {
  const answer = { status: 200, code: null, request_id: 'r1', duration_ms: 12, host: 'api.mch.weixin.qq.com' };
  return { ...intent, outcome: 'confirmed', ...answer };
}

test('intent and outcome of an attempt are one document, in any order and number', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 4 }), async (outcomes) => {
      const intent = intentOf();
      for (const outcome of outcomes)
        await (outcome ? writeOutcome(storage, outcomeOf(intent)) : writeIntent(storage, intent));
      const _id = `${intent.workflow_run}/1/1`;
      assert.deepEqual(await listCalls(storage, intent.policy, 9), [
        { _id, ...(outcomes.includes(true) ? outcomeOf(intent) : intent) },
      ]);
    }),
    { numRuns: 15 },
  );
});

test('each attempt has a document, the newest is listed first', async () => {
  const policy = `1900000001/${randomUUID()}`;
  for (const attempt of [1, 2, 3]) await writeIntent(storage, intentOf({ policy, attempt, at: at(attempt) }));
  const attempts = (await listCalls(storage, policy, 2)).map((call) => 'attempt' in call && call.attempt);
  assert.deepEqual(attempts, [3, 2]);
});

test('the summary of owed attempts keeps the greatest count, in any order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(9), { minLength: 1, maxLength: 5 }), async (counts) => {
      const { workflow_run, policy, mchid } = intentOf();
      const owed = (count: number) => ({ last_code: `E${count}`, last_request_id: null, at: at(count), count });
      for (const count of counts)
        await writeOwed(storage, { workflow_run, activity_id: '7', policy, mchid, ...owed(count) });
      assert.deepEqual(await listCalls(storage, policy, 9), [
        { _id: `${workflow_run}/7/owed`, workflow_run, activity_id: '7', policy, mchid, ...owed(Math.max(...counts)) },
      ]);
    }),
    { numRuns: 15 },
  );
});

function noted(became: Discrepancy['became'] = 'healing') {
  const one = { found_at: at(0).getTime(), became };
  const discrepancies: Discrepancy[] = [
    { ...one, id: '1.1', field: 'address', kind: 'drift', ours: '上海市浦东新区晨晖路1001号', theirs: '小狗' },
    { ...one, id: '1.2', field: 'insurance_name', kind: 'drift', ours: '微医保', theirs: '医保' },
    { ...one, id: '1.3', field: 'insured_name_list', kind: 'unreadable', ours: ['张三'] },
  ];
  return { policy: `1900000001/${randomUUID()}`, mchid: '1900000001', discrepancies };
}

test('what a verification found is listed whole, and rests with its personal values sealed', async () => {
  const found = noted();
  await writeDiscrepancies(storage, found);
  const listed = await listDiscrepancies(storage, found.policy, 9);
  const byField = new Map(listed.map((one) => [one.field, one]));
  for (const { id, field, kind, ours, theirs } of found.discrepancies) {
    const one = byField.get(field) ?? assert.fail(`${field} is not listed`);
    assert.deepEqual([one.kind, one.ours, one.theirs, one.became, one.unreadable], [kind, ours, theirs, 'healing', []]);
    assert.equal(one._id, `${found.policy}/${id}`);
  }
  const raw = JSON.stringify(await database.client.db().collection('discrepancies').find().toArray());
  assert.ok(raw.includes('微医保'));
  for (const value of PERSONAL) assert.equal(raw.includes(value), false, `${value} rests in the clear`);
});

test('what became of a discrepancy is settled once: a late write that still has it healing changes nothing', async () => {
  const found = noted();
  const [address, name, names] = found.discrepancies;
  assert.ok(address && name && names);
  await writeDiscrepancies(storage, found);
  await writeDiscrepancies(storage, { ...found, discrepancies: [{ ...address, became: 'healed' }] });
  await writeDiscrepancies(storage, { ...found, discrepancies: [{ ...address, became: 'reported' }, name, names] });
  const became = (await listDiscrepancies(storage, found.policy, 9)).map((one) => [one.field, one.became]);
  assert.deepEqual(became.sort(), [
    ['address', 'healed'],
    ['insurance_name', 'healing'],
    ['insured_name_list', 'healing'],
  ]);
});

test('a discrepancy first written when it was settled is settled', async () => {
  const found = noted('reported');
  await writeDiscrepancies(storage, found);
  const listed = await listDiscrepancies(storage, found.policy, 9);
  assert.deepEqual(new Set(listed.map(({ became }) => became)), new Set(['reported']));
  assert.ok(listed.every(({ settled_at }) => settled_at instanceof Date));
});

test('a discrepancy whose key has gone is listed without its values', async () => {
  const found = noted();
  await writeDiscrepancies(storage, found);
  const other = await connect(database.uri, { keyring: keyring(k2) });
  try {
    const one = (await listDiscrepancies(other, found.policy, 9)).find(({ field }) => field === 'address');
    assert.deepEqual([one?.ours, one?.theirs, one?.unreadable.length], [undefined, undefined, 2]);
  } finally {
    await other.close();
  }
});

test('nothing found writes nothing', async () => {
  await writeDiscrepancies(storage, { ...noted(), discrepancies: [] });
});

test('a command is written once, and confirmed with the revision that WeChat Pay holds, in any order of writes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 4 }), async (writes) => {
      const { policy, mchid } = intentOf();
      const told = [1, 2, 3].map((revision) => ({
        id: `life.${revision}`,
        command: 'amend',
        by: PERSONAL[0] as string,
        before: {},
        after: { address: PERSONAL[0] },
        revision,
        at: at(revision).getTime(),
      }));
      for (const upTo of [...writes, 3]) {
        const confirmation = { revision: upTo - 1, at: at(9).getTime(), request_id: `r${upTo}` };
        await writeCommands(storage, { policy, mchid, commands: told.slice(0, upTo), confirmation });
      }
      const found = await listCommands(storage, policy, 9);
      assert.deepEqual(
        found.map(({ revision, confirmed_at, by, after }) => [revision, confirmed_at !== null, by, after]),
        [3, 2, 1].map((revision) => [revision, revision < 3, PERSONAL[0], { address: PERSONAL[0] }]),
      );
      const raw = JSON.stringify(await storage.commands.find({ policy }).toArray());
      assert.ok(!raw.includes(JSON.stringify(PERSONAL[0])), 'at rest in the clear');
    }),
    { numRuns: 10 },
  );
});

test('commands that are there are not written again, however many come with every write', async () => {
  const { policy, mchid } = intentOf();
  const told = Array.from({ length: 200 }, (_, n) => ({
    ...{ id: `life.${n}`, command: 'cancel', rule: 'enum', before: {}, after: {} },
    ...{ revision: 1, at: n },
  }));
  await writeCommands(storage, { policy, mchid, commands: told.slice(0, 100), confirmation: null });
  await storage.commands.updateMany({ policy }, { $set: { reason: 'as it was' } });
  await Promise.all([1, 2].map(() => writeCommands(storage, { policy, mchid, commands: told, confirmation: null })));
  const found = await storage.commands.find({ policy }).toArray();
  assert.equal(found.length, 200);
  assert.equal(found.filter(({ reason }) => reason === 'as it was').length, 100);
});

test('a refused signal is never confirmed', async () => {
  const { policy, mchid } = intentOf();
  const refused = { id: 'life.1', command: 'cancel', rule: 'enum', before: {}, after: {}, revision: 1, at: 0 };
  const confirmation = { revision: 1, at: at(1).getTime() };
  for (const _ of [1, 2]) await writeCommands(storage, { policy, mchid, commands: [refused], confirmation });
  const [found] = await listCommands(storage, policy, 9);
  assert.deepEqual([found?.rule, found?.confirmed_at, found?.request_id], ['enum', null, null]);
});
