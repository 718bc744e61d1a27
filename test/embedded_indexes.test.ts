import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { type Mongo, startMongo } from '../embedded/mongodb.ts';
import { writeAnswer, writeVerification } from '../storage/answers.ts';
import { writeIntent, writeOutcome, writeOwed } from '../storage/calls.ts';
import { writeCommands } from '../storage/commands.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { writeDiscrepancies } from '../storage/discrepancies.ts';
import { claim, documentId, findPolicy, writePolicy } from '../storage/policies.ts';
import { opened, withDatabase } from './storage_fixture.ts';

// On a server of its own: what PostgreSQL counts is this file's alone.
const DATABASE = 'scans';
const LIVES = 20;
let directory: string;
let server: Mongo;
let storage: Storage;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'policy-sync-scans-'));
  server = await startMongo({ log: () => {}, directory, useEnvironment: false });
  storage = await connect(withDatabase(server.uri, DATABASE), { keyring: undefined });
  await storage.ensureIndexes();
});
after(async () => {
  await storage?.close();
  await server?.stop();
  await rm(directory, { recursive: true, force: true });
});

/** Every write of a life, and the reads that it makes. */
async function live(number: number): Promise<void> {
  const { mchid, ...policy } = opened({ life: `life ${number}` });
  const { life, out_insurance_no } = policy;
  const id = documentId(mchid, out_insurance_no);
  await claim(storage, { mchid, ...policy });
  const of = { workflow_run: life, activity_id: '1', policy: id, mchid };
  const attempt = { ...of, attempt: 1, method: 'PATCH', revision: 1, step: 3, at: new Date() };
  const told = { id: `${life}/1`, command: 'open', before: {}, after: {}, revision: 1, at: 1 };
  await writeCommands(storage, { policy: id, mchid, commands: [told], confirmation: null });
  await writePolicy(storage, { mchid, ...policy, step: 3 });
  await writeIntent(storage, attempt);
  const outcome = { outcome: 'confirmed', status: 200, code: null, request_id: 'R', duration_ms: 1, host: null };
  await writeOutcome(storage, { ...attempt, ...outcome });
  await writeAnswer(storage, {
    mchid,
    out_insurance_no,
    life,
    revision: 1,
    step: 4,
    remote: {},
    observed_at: new Date(),
  });
  await writeCommands(storage, { policy: id, mchid, commands: [], confirmation: { revision: 1, at: 2 } });
  const note = { id: 'd1', field: 'address', kind: 'drift', ours: 'A', theirs: 'B', found_at: 1 } as const;
  await writeDiscrepancies(storage, { policy: id, mchid, discrepancies: [{ ...note, became: 'healed' }] });
  await writeOwed(storage, { ...of, count: 1, last_code: null, last_request_id: null, at: new Date() });
  const quiet = { mchid, out_insurance_no, life, revision: 1, next_verification_at: null };
  await writeVerification(storage, { ...quiet, verified_at: new Date() });
  assert.equal((await findPolicy(storage, mchid, out_insurance_no))?.step, 4);
}

interface Counted {
  relname: string;
  /** How often the table was read from end to end; to make an index counts as one. */
  scans: number;
  indexes: number;
  /** How often it was read by an index. */
  looks: number;
}

async function counters(postgres: Client): Promise<Counted[]> {
  const { rows } = await postgres.query<Counted>(
    `SELECT relname, seq_scan::int AS scans, idx_scan::int AS looks,
       (SELECT count(*)::int FROM pg_index WHERE indrelid = relid) AS indexes
     FROM pg_stat_user_tables WHERE schemaname = $1`,
    [DATABASE],
  );
  return rows.filter(({ relname }) => /^(policies|calls|commands|discrepancies)_/.test(relname));
}

test('a life reads no collection of the embedded MongoDB from end to end', async (t) => {
  if (server.kind !== 'ferretdb') return t.skip('a real mongod has no PostgreSQL that counts');
  const [, , , port] = (await readFile(join(directory, 'postgres', 'postmaster.pid'), 'utf8')).split('\n');
  const postgres = new Client({ host: '127.0.0.1', port: Number(port), user: 'ferretdb', database: 'postgres' });
  await postgres.connect();
  try {
    for (let number = 0; number < LIVES; number++) await live(number);
    const tables = await settled(postgres);
    assert.equal(tables.length, 4);
    for (const { relname, scans, indexes, looks } of tables) {
      assert.ok(looks >= LIVES, `${relname}: ${looks} looks`);
      assert.ok(scans <= indexes, `${relname}: ${scans} scans`);
    }
  } finally {
    await postgres.end();
  }
});

/** PostgreSQL's backends tell what they counted some seconds later: once each table is told of, and no more comes. */
async function settled(postgres: Client): Promise<Counted[]> {
  for (let before = '', left = 40; ; left--) {
    const now = await counters(postgres);
    const shown = JSON.stringify(now);
    if (left === 0 || (shown === before && now.every(({ looks }) => looks >= LIVES))) return now;
    before = shown;
    await delay(1_000);
  }
}
