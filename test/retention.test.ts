import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Log } from '../activities/log.ts';
import { keyIdOf } from '../codec/sealed_fields.ts';
import { listCommands, writeCommands } from '../storage/commands.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { listDiscrepancies, writeDiscrepancies } from '../storage/discrepancies.ts';
import type { StoredCommand, StoredDiscrepancy } from '../storage/documents.ts';
import { emptyCommands } from '../storage/erasure.ts';
import { deleteOldCommands, deleteOldDiscrepancies } from '../storage/old_entries.ts';
import { claim, findPolicy, writePolicy } from '../storage/policies.ts';
import { resealAll } from '../storage/resealing.ts';
import { keepSweeping } from '../worker/sweeping.ts';
import { until } from './client_namespace.ts';
import { DAY, MCHID } from './fixtures.ts';
import { type Database, entries, keyring, opened, startDatabase } from './storage_fixture.ts';

let database: Database;
let storage: Storage;
before(async () => {
  database = await startDatabase();
  storage = await connect(database.uri, { keyring: keyring(entries[0]) });
  await storage.ensureIndexes();
});
beforeEach(async () => {
  for (const name of ['policies', 'commands', 'discrepancies', 'sweeps'] as const) await storage[name].deleteMany({});
});
after(async () => {
  await storage?.close();
  await database?.stop();
});

const ago = (days: number): Date => new Date(Date.now() - days * DAY);
const policy = `${MCHID}/R1`;

async function counted(sweep: AsyncIterable<number>): Promise<number> {
  let count = 0;
  for await (const one of sweep) count += one;
  return count;
}

describe('commands and discrepancies older than they are kept', () => {
  const command = (changes: Partial<StoredCommand>): StoredCommand => ({
    ...{
      _id: `${policy}/${randomUUID()}`,
      policy,
      mchid: MCHID,
      command: 'amend',
      by: null,
      event_id: null,
      version: null,
    },
    ...{ cause: null, reason: null, business_date: null, rule: null, before: {}, after: {}, revision: 1, at: ago(100) },
    ...{ confirmed_at: ago(100), request_id: null },
    ...changes,
  });

  it('go, but for changes on their way, and that a policy was erased', async () => {
    const old = Array.from({ length: 250 }, () => command({}));
    const stay = [command({ confirmed_at: null }), command({ command: 'erased' }), command({ at: ago(80) })];
    await storage.commands.insertMany([...old, command({ confirmed_at: null, rule: 'illegal-transition' }), ...stay]);
    assert.equal(await counted(deleteOldCommands(storage, ago(90))), 251);
    const left = await storage.commands.find({}).toArray();
    assert.deepEqual(left.map(({ _id }) => _id).sort(), stay.map(({ _id }) => _id).sort());
    assert.equal(await counted(deleteOldCommands(storage, ago(90))), 0);
  });

  it('go, but for what is being healed', async () => {
    const found = (changes: Partial<StoredDiscrepancy>): StoredDiscrepancy => ({
      ...{
        _id: `${policy}/${randomUUID()}`,
        policy,
        mchid: MCHID,
        field: 'plan_id',
        kind: 'drift',
        found_at: ago(100),
      },
      ...{ became: 'healed', settled_at: ago(100) },
      ...changes,
    });
    const stay = [found({ became: 'healing', settled_at: null }), found({ found_at: ago(10) })];
    await storage.discrepancies.insertMany([found({}), found({ became: 'reported' }), ...stay]);
    assert.equal(await counted(deleteOldDiscrepancies(storage, ago(90))), 2);
    assert.equal(await storage.discrepancies.countDocuments({}), 2);
  });

  it('stay where a policy asks for a person for them: reported or contested, while it goes on and differs, or bears a mark', async () => {
    const policies = {
      differs: 'DIVERGED',
      observed: 'OBSERVED',
      marked: 'SYNCED',
      quiet: 'SYNCED',
      over: 'DIVERGED',
    } as const;
    for (const [name, sync] of Object.entries(policies)) {
      const made = opened({ out_insurance_no: name, sync, attention: name === 'marked' ? ['contested:plan_id'] : [] });
      await claim(storage, made);
      if (name === 'over')
        await writePolicy(storage, { ...made, step: made.step + 2, end: 'INACTIVE', ended_at: ago(1) });
    }
    const all = Object.keys(policies).flatMap((name) =>
      (['reported', 'contested', 'healed'] as const).flatMap((became) =>
        Array.from({ length: 40 }, () => ({
          ...{ _id: randomUUID(), policy: `${MCHID}/${name}`, mchid: MCHID, field: 'plan_id', kind: 'drift' as const },
          ...{ became, found_at: ago(100), settled_at: null },
        })),
      ),
    );
    await storage.discrepancies.insertMany(all);
    assert.equal(await counted(deleteOldDiscrepancies(storage, ago(90))), 5 * 40 + 2 * 80);
    assert.deepEqual(
      (await storage.discrepancies.distinct('policy')).sort(),
      ['differs', 'marked', 'observed'].map((name) => `${MCHID}/${name}`),
    );
    assert.equal(await storage.discrepancies.countDocuments({ became: 'healed' }), 0);
  });

  it('are swept once a day by one worker, and never where they are kept for ever', async (context) => {
    await storage.commands.insertMany([command({}), command({})]);
    const said: unknown[] = [];
    const log = { debug() {}, warn() {}, error() {}, info: (...line: unknown[]) => said.push(line) } as unknown as Log;
    const enough = new AbortController();
    context.after(() => enough.abort());
    const sweep = {
      id: 'commands' as const,
      done: 'gone',
      sweep: (before: Date) => deleteOldCommands(storage, before),
    };
    await keepSweeping({ storage, log }, { ...sweep, kept: Number.POSITIVE_INFINITY }, enough.signal);
    assert.equal(await storage.commands.countDocuments({}), 2);
    const workers = [1, 2].map(() => keepSweeping({ storage, log }, { ...sweep, kept: 90 * DAY }, enough.signal));
    await until(async () => said.length > 0);
    enough.abort();
    await Promise.all(workers);
    assert.deepEqual([said.length, await storage.commands.countDocuments({})], [1, 0]);
  });
});

describe('a fault of the program in what a worker takes away by itself', () => {
  it('is told of, and ends no worker', async (context) => {
    const said: unknown[] = [];
    const log = { debug() {}, warn() {}, info() {}, error: (...line: unknown[]) => said.push(line) } as unknown as Log;
    const enough = new AbortController();
    context.after(() => enough.abort());
    const sweep = {
      ...{ id: 'commands' as const, kept: 90 * DAY, done: 'gone' },
      // biome-ignore lint/correctness/useYield: it fails before it could
      async *sweep(): AsyncGenerator<number> {
        throw new TypeError('a bug');
      },
    };
    const keeping = keepSweeping({ storage, log }, sweep, enough.signal);
    await until(async () => said.length > 0);
    enough.abort();
    await keeping;
    assert.ok(JSON.stringify(said).includes('TypeError'));
  });
});

describe('what rests under a former payload key', () => {
  async function written(): Promise<ReturnType<typeof opened>> {
    const made = opened();
    await claim(storage, made);
    const of = { policy: `${made.mchid}/${made.out_insurance_no}`, mchid: made.mchid };
    const told = {
      id: 'life.1',
      command: 'cancel',
      by: 'Anna',
      reason: 'moved',
      before: { address: 'A' },
      after: {},
      revision: 2,
      at: 1,
    };
    await writeCommands(storage, { ...of, commands: [told], confirmation: null });
    const found = {
      id: 'd1',
      field: 'address',
      ours: 'A',
      theirs: 'B',
      found_at: 1,
      kind: 'drift',
      became: 'healing',
    } as const;
    await writeDiscrepancies(storage, { ...of, discrepancies: [found] });
    return made;
  }

  /** Every key that any stored value names. */
  async function keysThere(): Promise<Set<string | undefined>> {
    const all: unknown[] = [];
    for (const name of ['policies', 'commands', 'discrepancies'] as const)
      all.push(...(await storage[name].find({}).toArray()));
    const keys = new Set<string | undefined>();
    const look = (value: unknown): void => {
      if (typeof value === 'string' && keyIdOf(value) !== undefined) keys.add(keyIdOf(value));
      else if (typeof value === 'object' && value !== null) Object.values(value).forEach(look);
    };
    look(all);
    return keys;
  }

  async function resealed(fix: boolean, ...keys: string[]) {
    const sum = { documents: 0, resealed: 0, left: 0, locked: 0 };
    for await (const page of resealAll(storage, keyring(...keys), fix))
      for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += page[name];
    return sum;
  }

  it('is counted, and with --fix sealed with the first: it opens without the former then, and means the same', async () => {
    const { mchid, out_insurance_no } = await written();
    const before = await findPolicy(storage, mchid, out_insurance_no);
    assert.deepEqual(await resealed(false, entries[1], entries[0]), { documents: 3, resealed: 0, left: 3, locked: 0 });
    assert.deepEqual([...(await keysThere())], ['k1']);
    assert.deepEqual(await resealed(true, entries[1], entries[0]), { documents: 3, resealed: 3, left: 0, locked: 0 });
    assert.deepEqual([...(await keysThere())], ['k2']);
    assert.deepEqual(await resealed(true, entries[1], entries[0]), { documents: 3, resealed: 0, left: 0, locked: 0 });
    const later = await connect(database.uri, { keyring: keyring(entries[1]) });
    try {
      assert.deepEqual(await findPolicy(later, mchid, out_insurance_no), before);
      const [command] = await listCommands(later, `${mchid}/${out_insurance_no}`, 1);
      assert.deepEqual([command?.by, command?.reason, command?.before], ['Anna', 'moved', { address: 'A' }]);
      const [found] = await listDiscrepancies(later, `${mchid}/${out_insurance_no}`, 1);
      assert.deepEqual([found?.ours, found?.theirs], ['A', 'B']);
    } finally {
      await later.close();
    }
  });

  it('that no key opens is told, and left', async () => {
    await written();
    assert.deepEqual(await resealed(true, entries[1]), { documents: 3, resealed: 0, left: 0, locked: 3 });
    assert.deepEqual([...(await keysThere())], ['k1']);
  });

  it('does not come back where it is erased while it is sealed anew', async () => {
    const { mchid, out_insurance_no } = await written();
    const slow: Storage = {
      ...storage,
      get commands() {
        return storage.commands;
      },
      get policies() {
        return storage.policies;
      },
      get discrepancies() {
        return storage.discrepancies;
      },
      write: async (id, operation) => {
        if (id.includes('/life.')) await emptyCommands(storage, `${mchid}/${out_insurance_no}`);
        return storage.write(id, operation);
      },
    };
    const told: number[] = [];
    for await (const page of resealAll(slow, keyring(entries[1], entries[0]), true)) told.push(page.left);
    assert.deepEqual(told, [0, 1, 0]);
    const [command] = await storage.commands.find({}).toArray();
    assert.deepEqual([command?.by, command?.before], [null, {}]);
  });

  it('is left as it is where a policy is written meanwhile, be it in the millisecond of the write before', async () => {
    const { mchid, out_insurance_no } = await written();
    const _id = `${mchid}/${out_insurance_no}`;
    const newer = { 'record.policy.address': 'what the newer write left there' };
    const slow: Storage = Object.create(storage, {
      write: {
        value: async (id: string, operation: () => Promise<unknown>) => {
          if (id === _id) await storage.policies.updateOne({ _id }, { $set: newer });
          return storage.write(id, operation);
        },
      },
    });
    const told: number[] = [];
    for await (const page of resealAll(slow, keyring(entries[1], entries[0]), true)) told.push(page.left);
    assert.deepEqual(told, [1, 0, 0]);
    const found = await storage.policies.findOne({ _id });
    const { address } = (found?.record.policy ?? {}) as { address?: unknown };
    assert.equal(address, newer['record.policy.address']);
  });
});
