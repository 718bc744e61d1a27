import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { recordActivities } from '../activities/records.ts';
import { FORMAT } from '../activities/types/inputs.ts';
import type { Snapshot } from '../activities/types/snapshot.ts';
import type { EventEntry } from '../policy/events.ts';
import { documentId, findPolicy } from '../storage/policies.ts';
import { callsOf, type Stage, setStage, turn } from './activities_fixture.ts';

let stage: Stage;
before(async () => {
  stage = await setStage();
});
after(() => stage.stop());

const event = ({ life, revision }: Snapshot, sequence: number): EventEntry => ({
  id: `${life}_${sequence}`,
  type: 'policy.confirmed',
  sequence,
  at: 1_000 + sequence,
  state: 'APPROVED',
  sync: 'SYNCED',
  revision,
  synced_revision: revision,
});
const activities = (events: boolean) => recordActivities({ ...stage.settings(), events });
const recorded = (snapshot: Snapshot, events = true) => turn(activities(events).record, { format: FORMAT, snapshot });
const idOf = ({ mchid, out_insurance_no }: Snapshot) => documentId(mchid, out_insurance_no);
const told = async (snapshot: Snapshot) => {
  const found = await stage.storage.events
    .find({ policy: idOf(snapshot) })
    .sort({ sequence: 1 })
    .toArray();
  return found.map(({ sequence }) => sequence);
};

describe('events that a snapshot carries', () => {
  it('are written with it, each once however often it comes, and the result says so', async () => {
    const snapshot = await stage.policy();
    const carrying = { ...snapshot, events: [event(snapshot, 1), event(snapshot, 2)] };
    for (const _ of [1, 2]) assert.equal((await recorded(carrying)).result?.events, true);
    assert.deepEqual(await told(snapshot), [1, 2]);
    assert.equal((await findPolicy(stage.storage, snapshot.mchid, snapshot.out_insurance_no))?.last_event, 2);
    await recorded({ ...carrying, step: snapshot.step + 2, events: [...carrying.events, event(snapshot, 3)] });
    assert.deepEqual(await told(snapshot), [1, 2, 3]);
  });

  it('are written though a newer snapshot is there already: a record may be skipped, what happened may not', async () => {
    const snapshot = await stage.policy();
    await recorded({ ...snapshot, step: snapshot.step + 8 });
    await recorded({ ...snapshot, events: [event(snapshot, 1)] });
    assert.deepEqual(await told(snapshot), [1]);
  });

  it('are left to the workflow by a worker that nobody has told of endpoints, which says nothing of them', async () => {
    const snapshot = await stage.policy();
    const { result } = await recorded({ ...snapshot, events: [event(snapshot, 1)] }, false);
    assert.deepEqual(result, { payload_key: 'k1' });
    assert.deepEqual(await told(snapshot), []);
    const claimed = await turn(activities(false).claim, { format: FORMAT, snapshot: await stage.policy() });
    assert.deepEqual(claimed.result, { outcome: 'claimed' });
  });

  it('are written by such a worker with the end of a life, for nobody is left to carry them on', async () => {
    for (const end of ['INACTIVE', 'STOPPED'] as const) {
      const snapshot = await stage.policy();
      const carrying = { ...snapshot, events: [event(snapshot, 1), event(snapshot, 2)] };
      await turn(activities(false).record, { format: FORMAT, snapshot: carrying, end });
      assert.deepEqual(await told(snapshot), [1, 2]);
    }
  });

  it('come with an end that is dated by MongoDB, whatever the clock of the worker says', async () => {
    const at = new Date('2020-01-01T00:00:00Z');
    const storage = Object.create(stage.storage, { clock: { value: async () => at } });
    const snapshot = await stage.policy();
    const { record } = recordActivities({ ...stage.settings(), storage });
    await turn(record, { format: FORMAT, snapshot, end: 'INACTIVE' });
    const found = await findPolicy(stage.storage, snapshot.mchid, snapshot.out_insurance_no);
    assert.deepEqual([found?.end, found?.ended_at], ['INACTIVE', at]);
  });

  it('are announced by the claim of a number, and by each call; not as written where MongoDB took nothing', async () => {
    const { result } = await turn(activities(true).claim, { format: FORMAT, snapshot: await stage.policy() });
    assert.deepEqual(result, { outcome: 'claimed', events: true });
    const snapshot = await stage.policy();
    const calls = callsOf(stage, { events: true });
    const carrying = { ...snapshot, events: [event(snapshot, 1)] };
    await stage.line.cut();
    const unwritten = await calls.query(carrying);
    assert.equal(unwritten.result?.recorded, false);
    await stage.line.mend();
    const written = await calls.query({ ...carrying, step: snapshot.step + 2 });
    assert.deepEqual([written.result?.recorded, 'events' in (written.result ?? {})], [true, true]);
    assert.deepEqual(await told(snapshot), [1]);
  });
});
