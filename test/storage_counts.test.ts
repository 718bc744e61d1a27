import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { writeVerification } from '../storage/answers.ts';
import { writeCommands } from '../storage/commands.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { type Counts, countPolicies } from '../storage/counts.ts';
import { writeDiscrepancies } from '../storage/discrepancies.ts';
import type { Finding } from '../storage/documents.ts';
import { keepFindings, listFindings } from '../storage/findings.ts';
import { claim, documentId, type NewPolicy, writePolicy } from '../storage/policies.ts';
import { type Database, opened, startDatabase } from './storage_fixture.ts';

let database: Database;
let storage: Storage;

before(async () => {
  database = await startDatabase();
  storage = await connect(database.uri, { keyring: undefined });
  await storage.ensureIndexes();
});

after(async () => {
  await storage?.close();
  await database?.stop();
});

const made = async (changes: Partial<NewPolicy>): Promise<NewPolicy> => {
  const policy = opened(changes);
  await claim(storage, policy);
  return policy;
};
const idOf = ({ mchid, out_insurance_no }: NewPolicy) => documentId(mchid, out_insurance_no);
const command = (id: string, at: string, changes = {}) => ({
  ...{ id, command: 'amend', before: {}, after: {}, revision: 1, at: Date.parse(at) },
  ...changes,
});
const told = (policy: NewPolicy, ...commands: ReturnType<typeof command>[]) =>
  writeCommands(storage, { policy: idOf(policy), mchid: policy.mchid, commands, confirmation: null });
const sorted = ({ policies }: Counts) =>
  policies.map(({ policy_state, sync, count }) => `${policy_state} ${sync} ${count}`).sort();

test('the fleet is counted as it is by now: those that have ended, changes that are confirmed or refused, and times to come count for nothing', async () => {
  assert.deepEqual(await countPolicies(storage), {
    policies: [],
    blocked: [],
    pending_since: null,
    verified_at: null,
    verification_due: null,
  });
  const [oldest, younger, ended] = await Promise.all([
    made({ sync: 'SYNCED' }),
    made({ sync: 'SYNCED' }),
    made({ sync: 'SYNCED' }),
    made({ sync: 'SYNCED', policy_state: 'POLICY_STATE_APPROVED' }),
    made({ sync: 'BLOCKED', block: { code: 'PARAM_ERROR', message: 'no', request_id: null, at: new Date() } }),
    made({ sync: 'BLOCKED', block: { code: 'PARAM_ERROR', message: 'no', request_id: null, at: new Date() } }),
  ]);
  const verified = (policy: NewPolicy, at: string, next: string) =>
    writeVerification(storage, { ...policy, verified_at: new Date(at), next_verification_at: new Date(next) });
  await verified(ended, '2020-01-01', '2020-01-02');
  await writePolicy(storage, { ...ended, step: 2, end: 'INACTIVE', ended_at: new Date() });
  await verified(oldest, '2026-01-01', '2099-01-01');
  await verified(younger, '2026-01-03', '2026-01-04');

  const [waiting, retrying] = await Promise.all([made({ sync: 'PENDING' }), made({ sync: 'RETRYING' })]);
  await told(waiting, command('1', '2026-02-02'), command('0', '2026-02-01', { rule: 'illegal-transition' }));
  await told(retrying, command('1', '2026-02-03'));
  const counts = await countPolicies(storage);
  assert.deepEqual(sorted(counts), [
    'POLICY_STATE_APPROVED SYNCED 1',
    'POLICY_STATE_ISSUING BLOCKED 2',
    'POLICY_STATE_ISSUING PENDING 1',
    'POLICY_STATE_ISSUING RETRYING 1',
    'POLICY_STATE_ISSUING SYNCED 2',
  ]);
  assert.deepEqual(counts.blocked, [{ code: 'PARAM_ERROR', count: 2 }]);
  assert.deepEqual(
    [counts.pending_since, counts.verified_at, counts.verification_due],
    ['2026-02-02', '2026-01-01', '2026-01-04'].map((day) => new Date(day)),
  );
  const confirmation = { revision: 1, at: Date.parse('2026-02-05') };
  await writeCommands(storage, { policy: idOf(waiting), mchid: waiting.mchid, commands: [], confirmation });
  assert.deepEqual((await countPolicies(storage)).pending_since, new Date('2026-02-03'));
});

test('what is confirmed is told once, with how long it took; so is what was found to differ', async () => {
  const policy = await made({});
  const of = { policy: idOf(policy), mchid: policy.mchid };
  const at = Date.parse('2026-03-01T00:00:00Z');
  const written = { ...of, commands: [command('1', '2026-03-01')], confirmation: { revision: 1, at: at + 5_000 } };
  assert.deepEqual(await writeCommands(storage, written), [{ command: 'amend', after_ms: 5_000 }]);
  assert.deepEqual(await writeCommands(storage, written), []);

  const found = { id: 'd1', field: 'car_number', kind: 'drift', found_at: at, became: 'healing' } as const;
  const write = (became: 'healing' | 'healed') =>
    writeDiscrepancies(storage, { ...of, discrepancies: [{ ...found, became }] });
  assert.deepEqual(
    (await write('healing')).map(({ field, kind }) => [field, kind]),
    [['car_number', 'drift']],
  );
  assert.deepEqual(await write('healed'), []);
});

test('whoever may see one merchant is told of its findings, however many others have, and of nothing that counts theirs', async () => {
  const finding = (mchid: string | null, kind: Finding['kind'], out_insurance_no: string | null = null): Finding => ({
    ...{ kind, mchid, out_insurance_no },
    reason: 'a reason',
  });
  const of_others = [1, 2, 3].map((number) => finding('1900000001', 'no-record', `A${number}`));
  const of_all = [finding(null, 'not-served'), finding(null, 'old-key')];
  await keepFindings(storage, [...of_others, ...of_all, finding('1900000002', 'stopped', 'B1')], new Date());
  const told = await listFindings(storage, 2, ['1900000002']);
  assert.deepEqual(
    told.map(({ kind, mchid }) => [kind, mchid]),
    [
      ['not-served', null],
      ['stopped', '1900000002'],
    ],
  );
  assert.equal((await listFindings(storage, 100)).length, 6);
});
