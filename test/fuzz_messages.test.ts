import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { WorkflowFailedError, WorkflowNotFoundError, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import fc from 'fast-check';
import { PolicyRefused } from '../client/errors.ts';
import { type RecordInput, workflowIdOf } from '../policy/record.ts';
import { wireTime } from '../policy/time.ts';
import { findPolicy } from '../storage/policies.ts';
import { WORKFLOW_QUEUE, WORKFLOW_TYPE } from '../workflows/messages.ts';
import { until } from './client_namespace.ts';
import { DAY, recordOf, SEED, uniqueNumber } from './fixtures.ts';
import { anyJson, isOneLine, Json, mutated } from './fuzz_arbitraries.ts';
import { startWorld, type World } from './world.ts';

// On the dev server, with a worker: what policy/ refuses is refused by library, workflow and storage too.
let world: World;
let stop: () => Promise<void>;
before(async () => {
  world = await startWorld();
  stop = await world.startWorkers();
});
after(async () => {
  await stop?.();
  await world?.close();
});

/** No shrinking: each try costs a round through the servers, and the counterexample is printed with its seed. */
const runs = (numRuns: number) => ({ numRuns, endOnFailure: true });

/** What a program can send at all: the SDK's own converter does not follow ten thousand lists in each other. */
function canBeSent(value: unknown): boolean {
  try {
    return JSON.stringify(value) !== undefined;
  } catch {
    return false;
  }
}

const MESSAGES = {
  approve: { policy_code: 'C1', expired_time: wireTime(Date.now() + 90 * DAY), event_id: 'e1' },
  amend: { plan_id: 4711, address: SEED.address, support_renewal: false, by: 'somebody' },
  renew: { expired_time: wireTime(Date.now() + 700 * DAY), policy_code: 'C2', window: { opens_before: '5d' } },
  cancel: { cause: 'LAPSE', reason: 'r', at: wireTime(Date.now() + 30 * DAY) },
  withdraw: { event_id: 'e2', by: 'somebody' },
} as const;
type Message = keyof typeof MESSAGES;
const message = fc
  .constantFrom(...(Object.keys(MESSAGES) as Message[]))
  .chain((name) =>
    fc
      .oneof({ arbitrary: mutated(MESSAGES[name]), weight: 6 }, { arbitrary: anyJson, weight: 1 })
      .map((input) => [name, input] as const),
  );

/** What is no message at all, of each: tried every time, not only when chance has it. */
const NONE = (Object.keys(MESSAGES) as Message[]).flatMap((name) =>
  ['null', '[]', '"text"', '7'].map((text) => [[name, new Json(text)] as const] as [readonly [Message, Json]]),
);

const synced = (number: string) =>
  world.until(number, ({ sync, revision, synced_revision }) => sync !== 'PENDING' || revision === synced_revision);

async function opened(): Promise<{ mchid: string; out_insurance_no: string }> {
  const out_insurance_no = uniqueNumber('F');
  const record = recordOf({ out_insurance_no }, { mchid: world.mchid });
  await world.put({ ...record.policy });
  await world.client.openPolicy(record);
  await synced(out_insurance_no);
  return { mchid: world.mchid, out_insurance_no };
}

function assertRefused(error: unknown): void {
  assert.ok(error instanceof PolicyRefused, error instanceof Error ? error.stack : String(error));
  assert.ok(isOneLine(error.message), error.message.slice(0, 500));
  assert.match(error.rule, /^[a-z_-]+$/);
  assert.ok(!error.message.includes(SEED.address), error.message);
}

describe('on a running policy', () => {
  it('a message of the library’s is taken, or refused in one line and changes nothing', async () => {
    const policy = await opened();
    await fc.assert(
      fc.asyncProperty(message, async ([name, { value }]) => {
        const { revision } = await world.client.status(policy);
        const send = world.client[name].bind(world.client) as (of: object, message: unknown) => Promise<unknown>;
        const error = await send(policy, value).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        if (error === undefined) return;
        assertRefused(error);
        assert.equal((await world.client.status(policy)).revision, revision);
      }),
      { ...runs(NONE.length + 30), examples: NONE },
    );
    const answer = await world.client.amend(policy, { plan_id: 815 });
    const { revision } = await world.until(
      policy.out_insurance_no,
      ({ sync, synced_revision }) => sync === 'BLOCKED' || synced_revision >= answer.revision,
    );
    assert.equal(revision, answer.revision);
  });

  it('an update of another program’s is answered or refused by its rule, a signal taken or ignored', async () => {
    const policy = await opened();
    const handle = world.temporal.workflow.getHandle(workflowIdOf(policy.mchid, policy.out_insurance_no));
    await fc.assert(
      fc.asyncProperty(message, fc.boolean(), async ([name, { value }], bySignal) => {
        fc.pre(canBeSent(value));
        const { revision } = await world.client.status(policy);
        if (bySignal) await handle.signal('cancel', name === 'cancel' ? {} : value);
        else {
          const error = await handle.executeUpdate(name, { args: [value] }).then(
            () => undefined,
            (reason: unknown) => reason,
          );
          if (error === undefined) return;
          assert.ok(error instanceof WorkflowUpdateFailedError, String(error));
          assert.ok(error.cause instanceof ApplicationFailure && isOneLine(error.cause.message), String(error.cause));
          assert.match(error.cause.type ?? '', /^[a-z_-]+$/);
          assert.equal((await world.client.status(policy)).revision, revision);
        }
      }),
      runs(30),
    );
    assert.equal((await handle.describe()).status.name, 'RUNNING');
  });
});

describe('a record', () => {
  const records = (number: string) => {
    const record = recordOf({ out_insurance_no: number }, { mchid: world.mchid });
    return fc.oneof(
      { arbitrary: mutated(record), weight: 2 },
      { arbitrary: mutated(record, 'policy'), weight: 4 },
      { arbitrary: anyJson, weight: 1 },
    );
  };

  it('is opened, or refused in one line and nothing of it is stored', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc
          .constant(0)
          .map(() => uniqueNumber('F'))
          .chain((number) => records(number).map((it) => [number, it] as const)),
        async ([number, { value }]) => {
          const error = await world.client.openPolicy(value as RecordInput).then(
            () => undefined,
            (reason: unknown) => reason,
          );
          if (error === undefined) return;
          assertRefused(error);
          const handle = world.temporal.workflow.getHandle(workflowIdOf(world.mchid, number));
          await assert.rejects(handle.describe(), WorkflowNotFoundError);
          assert.equal(await findPolicy(world.storage, world.mchid, number), null);
        },
      ),
      runs(30),
    );
  });

  it('that another program starts a policy with: it lives, or has failed by its rule', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc
          .constant(0)
          .map(() => uniqueNumber('F'))
          .chain((number) => records(number).map((it) => [number, it] as const)),
        async ([number, { value }]) => {
          fc.pre(canBeSent(value));
          const handle = await world.temporal.workflow.start(WORKFLOW_TYPE, {
            workflowId: workflowIdOf(world.mchid, number),
            taskQueue: WORKFLOW_QUEUE,
            args: [value],
          });
          const policy = { mchid: world.mchid, out_insurance_no: number };
          const lives = () => world.client.status(policy).then(() => true);
          const isRunning = async () => (await handle.describe()).status.name === 'RUNNING';
          await until(async () => !(await isRunning()) || (await lives()));
          if (await isRunning()) return;
          const error = await handle.result().catch((reason: unknown) => reason);
          assert.ok(error instanceof WorkflowFailedError, String(error));
          assert.ok(error.cause instanceof ApplicationFailure && error.cause.nonRetryable, String(error.cause));
          assert.match(error.cause.type ?? '', /^[a-z_-]+$/);
          assert.ok(isOneLine(error.cause.message), error.cause.message);
        },
      ),
      runs(15),
    );
  });
});
