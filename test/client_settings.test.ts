import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from '@temporalio/client';
import { connectPolicyClient } from '../client/connect.ts';
import { InvalidSetting, PolicyEnded, PolicyRefused, Unavailable } from '../client/errors.ts';
import { listPolicies } from '../client/list.ts';
import { PolicyClient } from '../client/policy_client.ts';
import { dataConverter } from '../codec/data_converter.ts';
import { makeKey, parseKeys } from '../codec/keys.ts';
import { type RecordInput, workflowIdOf } from '../policy/record.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { claim, findPolicy } from '../storage/policies.ts';
import { SEARCH_ATTRIBUTES, WORKFLOW_QUEUE, WORKFLOW_TYPE } from '../workflows/messages.ts';
import { until } from './client_namespace.ts';
import { type Stage, setStage } from './client_stage.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';

const KEY = makeKey('k1');
const OTHER = makeKey('k9');
/** What a shell may have in place of the workers' keys, and what it is told. */
const MISTAKES: Record<string, { keys: string | undefined; says: RegExp }> = {
  none: { keys: undefined, says: /expected the workers' keys, which seal with "k1", found none: set it/ },
  'a key that the workers have not': {
    keys: OTHER,
    says: /expected a key that the workers have in the first place, such as "k1", found "k9"/,
  },
  'the same first, before theirs': {
    keys: `${OTHER},${KEY}`,
    says: /expected a key that the workers have in the first place, such as "k1"/,
  },
  'another key of the same id': {
    keys: makeKey('k1'),
    says: /expected the workers' key "k1", found another of that id/,
  },
  'no base64': { keys: `${KEY.slice(0, -2)}!`, says: /expected id:base64-of-32-bytes.*not base64 \(entry 1\)/ },
  'a key cut short': { keys: `k1:${Buffer.alloc(16, 1).toString('base64')}`, says: /found a key of 16 bytes/ },
};

let stage: Stage;
let storage: Storage;

before(async () => {
  stage = await setStage({ keys: KEY });
  storage = await connect(stage.env.MONGODB_URI ?? '', { keyring: parseKeys(KEY) });
});

after(async () => {
  await storage?.close();
  await stage?.stop();
});

const policyOf = ({ policy }: RecordInput) => ({ mchid: MCHID, out_insurance_no: policy.out_insurance_no });
const idOf = (record: RecordInput) => workflowIdOf(MCHID, record.policy.out_insurance_no);
const newRecord = () => recordOf({ out_insurance_no: uniqueNumber('K') });

/** A client that looks at nothing before it sends, as one of another SDK. */
function careless(keys: string | undefined): PolicyClient {
  const { connection, options } = stage.client.temporal;
  const converter = dataConverter(parseKeys(keys), { allowPlain: false });
  return new PolicyClient(new Client({ connection, namespace: options.namespace, dataConverter: converter }), {
    timeout: 10_000,
  });
}

/** That the last run of the number was refused in its first act, and waits for nothing. */
async function assertRefused(record: RecordInput): Promise<void> {
  const { status, typedSearchAttributes } = await stage.client.temporal.workflow.getHandle(idOf(record)).describe();
  assert.equal(status.name, 'FAILED');
  assert.equal(typedSearchAttributes.get(SEARCH_ATTRIBUTES.sync), undefined, 'nothing is PENDING');
}

/** That the number is opened by a new run, which MongoDB knows it by. */
async function assertOpens(record: RecordInput): Promise<void> {
  const { revision, outcome } = await stage.client.openPolicy(record);
  assert.deepEqual({ revision, outcome }, { revision: 1, outcome: 'accepted' });
  const { runId, status } = await stage.client.temporal.workflow.getHandle(idOf(record)).describe();
  assert.equal(status.name, 'RUNNING');
  assert.equal((await findPolicy(storage, MCHID, record.policy.out_insurance_no))?.life, runId);
  assert.deepEqual((await stage.client.openPolicy(record)).outcome, 'accepted', 'and again, as ever');
  assert.equal((await stage.client.amend(policyOf(record), { address: 'new' })).outcome, 'accepted');
}

const oneLine = (says: RegExp) => (error: unknown) => {
  assert.ok(error instanceof InvalidSetting, String(error));
  assert.match(error.message, /^POLICY_SYNC_KEYS: expected [^\n]*found [^\n]*$/);
  assert.match(error.message, says);
  for (const secret of [KEY, OTHER]) assert.ok(!error.message.includes(secret.slice(3)));
  return true;
};

describe('POLICY_SYNC_KEYS mistaken in the shell of a client', { timeout: 180_000 }, () => {
  for (const [what, { keys, says }] of Object.entries(MISTAKES))
    it(`(${what}): each message says so in one line before it is sent, and burns no number`, async (t) => {
      const [record, live] = [newRecord(), newRecord()];
      await stage.client.openPolicy(live);
      const env = { ...stage.env, POLICY_SYNC_KEYS: keys };
      const mistaken = connectPolicyClient({ env, timeout: 5_000 });
      if (/base64|short/.test(what)) await assert.rejects(mistaken, oneLine(says));
      else {
        const client = await mistaken;
        t.after(() => client.close());
        await assert.rejects(client.openPolicy(record), oneLine(says));
        await assert.rejects(client.amend(policyOf(live), { address: 'x' }), oneLine(says));
        await assert.rejects(client.cancel(policyOf(live)), oneLine(says));
        await assert.rejects(client.cancelBySignal(policyOf(live)), oneLine(says));
        await assert.rejects(client.resume(policyOf(live)), oneLine(says));
        if (!keys?.includes(KEY)) await assert.rejects(client.status(policyOf(live)), oneLine(/the workers seal with/));
        // What is no secret is shown to whoever asks.
        for await (const one of listPolicies(client)) assert.equal(one.mchid, MCHID);
        await assert.rejects(stage.client.temporal.workflow.getHandle(idOf(record)).describe(), /not found/i);
      }
      await assertOpens(record);
      assert.equal((await stage.client.status(policyOf(live))).state, 'ISSUING', 'nothing was done');
    });
});

describe('a run that is refused in its first act leaves its number free', { timeout: 180_000 }, () => {
  const seals = { 'in the clear': undefined, 'an unknown key': OTHER, 'a broken seal': makeKey('k1') };
  for (const [what, keys] of Object.entries(seals))
    it(`(${what}): a record so sealed is refused, and its number free`, async () => {
      const record = newRecord();
      await assert.rejects(careless(keys).openPolicy(record), PolicyRefusedOrUnread);
      await assertRefused(record);
      await assert.rejects(stage.client.amend(policyOf(record), { address: 'x' }), (error: unknown) => {
        assert.ok(error instanceof PolicyEnded && error.ending === 'FAILED', String(error));
        assert.match(
          error.message,
          /refused when it began; open it again \((plain|locked)-payload: [^\n]*key[^\n]*\)$/,
        );
        return true;
      });
      await assertOpens(record);
    });

  it('a record that breaks a rule', async () => {
    const record = newRecord();
    const { temporal } = stage.client;
    const broken = { ...record, policy: { ...record.policy, effective_time: 'tomorrow' } };
    const options = { taskQueue: WORKFLOW_QUEUE, workflowId: idOf(record), args: [broken] };
    await assert.rejects((await temporal.workflow.start(WORKFLOW_TYPE, options)).result());
    await assertRefused(record);
    await assertOpens(record);
  });

  it('a claim that another life had, until it was taken back; and what was answered then is not repeated', async () => {
    const record = newRecord();
    const other = newRecord();
    await stage.client.openPolicy(other);
    const found = await findPolicy(storage, MCHID, other.policy.out_insurance_no);
    assert.ok(found);
    const { _id: _of, unreadable: _none, ...document } = found;
    const { out_insurance_no } = record.policy;
    await claim(storage, { ...document, out_insurance_no, life: 'of another namespace' });
    await assert.rejects(stage.client.openPolicy(record), { name: 'PolicyRefused', rule: 'exists' });
    await assertRefused(record);
    await storage.policies.deleteOne({ out_insurance_no });
    await assertOpens(record);
  });

  it('and hides from `resume` no life before it', async () => {
    const record = newRecord();
    await stage.client.openPolicy(record);
    const { workflow } = stage.client.temporal;
    await workflow.getHandle(idOf(record)).terminate();
    const options = { taskQueue: WORKFLOW_QUEUE, workflowId: idOf(record), args: [record] };
    await assert.rejects((await careless(undefined).temporal.workflow.start(WORKFLOW_TYPE, options)).result());
    await until(async () => (await workflow.getHandle(idOf(record)).describe()).status.name === 'FAILED');
    await assert.rejects(stage.client.openPolicy(record), { name: 'PolicyRefused', rule: 'exists' });
    assert.equal((await stage.client.resume(policyOf(record))).outcome, 'accepted');
    assert.equal((await stage.client.amend(policyOf(record), { address: 'x' })).outcome, 'accepted');
  });
});

describe('a message that a worker cannot open', { timeout: 120_000 }, () => {
  it('is refused by its rule, and the policy hears the next', async () => {
    const record = newRecord();
    await stage.client.openPolicy(record);
    for (const keys of [OTHER, makeKey('k1')]) {
      const stranger = careless(keys);
      await assert.rejects(stranger.amend(policyOf(record), { address: 'x' }), oneLine(/the workers seal with/));
      await assert.rejects(stranger.cancel(policyOf(record)), oneLine(/the workers seal with/));
    }
    const both = careless(`${OTHER},${KEY}`);
    await assert.rejects(both.cancel(policyOf(record)), (error: unknown) => {
      assert.ok(error instanceof PolicyRefused && error.rule === 'locked-payload', String(error));
      assert.match(error.message, /^no key "k9" to open a sealed value: add it to POLICY_SYNC_KEYS[^\n]*$/);
      return true;
    });
    assert.equal((await stage.client.amend(policyOf(record), { address: 'y' })).outcome, 'accepted');
    assert.equal((await stage.client.status(policyOf(record))).state, 'ISSUING');
  });
});

describe('a place mistaken', { timeout: 120_000 }, () => {
  it('(a namespace without workers or attributes): says which setting to look at', async (t) => {
    const namespace = `${stage.temporal.namespace}-bare`;
    const day = { seconds: 86_400 as never };
    const { workflowService } = stage.temporal.connection;
    await workflowService.registerNamespace({ namespace, workflowExecutionRetentionPeriod: day });
    const client = await connectPolicyClient({ env: { ...stage.env, TEMPORAL_NAMESPACE: namespace }, timeout: 3_000 });
    t.after(() => client.close());
    const record = newRecord();
    await until(async () => {
      const error = await client.openPolicy(record).catch((reason: Error) => reason);
      if (/lacks the search attributes of policies: check TEMPORAL_NAMESPACE/.test((error as Error).message))
        return true;
      throw error;
    });
    assert.match((await client.standstill()) ?? '', /^no version .* in namespace "[^"]+-bare": .*TEMPORAL_NAMESPACE$/);
    await assertOpens(record);
  });

  it('(a task queue that nobody polls): says so, and once it is terminated the number is free', async (t) => {
    const record = newRecord();
    const { workflow } = stage.client.temporal;
    const options = { taskQueue: 'policy-snyc', workflowId: idOf(record), args: [record] };
    const handle = await workflow.start(WORKFLOW_TYPE, options);
    const client = await connectPolicyClient({ env: stage.env, timeout: 2_000 });
    t.after(() => client.close());
    await assert.rejects(client.openPolicy(record), (error: unknown) => {
      assert.ok(error instanceof Unavailable, String(error));
      assert.match(
        error.message,
        /waits on the task queue "policy-snyc", and workers poll "policy-sync": terminate it/,
      );
      return true;
    });
    await handle.terminate();
    await assertOpens(record);
  });
});

/** A client without the workers' keys cannot read why. */
function PolicyRefusedOrUnread(error: unknown): boolean {
  assert.ok(error instanceof InvalidSetting || error instanceof PolicyRefused, String(error));
  assert.match(error.message, /key/);
  return true;
}
