import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Client } from '@temporalio/client';
import { LANDING } from '../policy/landing.ts';
import { INACTIVE } from '../policy/state.ts';
import { writeIntent, writeOutcome } from '../storage/calls.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { standingOf } from '../storage/erasure.ts';
import { claim, documentId, type NewPolicy, writePolicy } from '../storage/policies.ts';
import { erase } from '../worker/erasure.ts';
import { type Database, opened, startDatabase } from './storage_fixture.ts';

const MINUTE = 60_000;
let database: Database;
let storage: Storage;

before(async () => {
  database = await startDatabase();
  storage = await connect(database.uri, { keyring: undefined });
});
after(async () => {
  await storage?.close();
  await database?.stop();
});

async function surrendered(changes: Partial<NewPolicy>): Promise<NewPolicy & { _id: string }> {
  const policy = opened({ policy_state: INACTIVE, synced_revision: 1, sync: 'SYNCED', ...changes });
  await claim(storage, policy);
  return { ...policy, _id: documentId(policy.mchid, policy.out_insurance_no) };
}

/** Comes to its workflow only where it is not refused. */
async function tried(policy: NewPolicy & { _id: string }, force = false): Promise<string> {
  const namespace = 'default';
  const temporal = {
    options: { namespace },
    workflow: { getHandle: () => assert.fail('erased') },
  } as unknown as Client;
  return erase({ temporal, storage }, policy, { by: 'x', patience: 0, force }).then(
    () => 'done',
    (error: Error & { why?: string }) => error.why ?? error.message,
  );
}

describe('an erasure', () => {
  it('is refused of a policy that goes on and is out of step, or of which a call may still take effect, and is not once neither is so', async () => {
    for (const sync of ['DIVERGED', 'BLOCKED', 'RETRYING', 'PENDING'] as const)
      assert.equal(await tried(await surrendered({ sync })), 'on-its-way', sync);
    assert.equal(await tried(await surrendered({ synced_revision: 0 })), 'on-its-way');
    assert.equal(await tried(await surrendered({ sync: 'DIVERGED' }), true), 'erased');

    const policy = await surrendered({});
    const of = { workflow_run: 'r', activity_id: '1', attempt: 1, policy: policy._id, mchid: policy.mchid };
    const intent = { ...of, method: 'PATCH', revision: 1, step: 1, at: new Date() };
    const outcome = { ...intent, status: null, code: null, request_id: null, duration_ms: 1, host: null };
    await writeIntent(storage, intent);
    assert.equal(await tried(policy), 'on-its-way', 'its worker may have died of it');
    await writeOutcome(storage, { ...outcome, outcome: 'unknown' });
    assert.equal(await tried(policy), 'on-its-way');
    const confirmed = { ...outcome, attempt: 2, outcome: 'confirmed' };
    await writeOutcome(storage, confirmed);
    assert.equal(await tried(policy), 'on-its-way', 'the one before may come after it');
    const made = (ago: number) => ({ ...outcome, outcome: 'unknown', at: new Date(Date.now() - ago) });
    await writeOutcome(storage, made(LANDING - MINUTE));
    assert.equal(await tried(policy), 'on-its-way');
    await writeOutcome(storage, made(LANDING + MINUTE));
    assert.equal(await tried(policy), 'erased');
  });

  it('is not refused of a life that is over, whatever its sync', async () => {
    const policy = await surrendered({ sync: 'STOPPED' });
    await writePolicy(storage, { ...policy, step: 2, end: 'STOPPED', ended_at: new Date() });
    assert.equal((await standingOf(storage, policy._id))?.end, 'STOPPED');
    assert.equal(await tried(policy), 'erased');
  });
});
