import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { PolicyEnded, PolicyRefused } from '../client/errors.ts';
import { waitSynced } from '../client/wait.ts';
import type { Exported } from '../command/export.ts';
import { WechatPay } from '../command/story/wechatpay.ts';
import { workflowIdOf } from '../policy/record.ts';
import { APPROVED } from '../policy/state.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { keysInUse } from '../storage/keys_in_use.ts';
import { countAttention } from '../storage/lives.ts';
import { audit } from '../worker/audit.ts';
import type { Erased } from '../worker/erasure.ts';
import { until } from './client_namespace.ts';
import { type Stage, setStage } from './client_stage.ts';
import { COMMAND, CommandLine } from './command_process.ts';
import { leftOf, personOf } from './erasure_fixture.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';

// Without payload keys: whatever is left is there to be read.
const line = new CommandLine();
let stage: Stage;
let storage: Storage;
before(async () => {
  stage = await setStage({ keys: null });
  storage = await connect(String(stage.env.MONGODB_URI), { keyring: undefined });
});
after(async () => {
  line.end();
  await storage?.close();
  await stage?.stop();
});

const of = (out_insurance_no: string) => ({ mchid: MCHID, out_insurance_no });

/** A policy to which much has happened: its personal values are wherever any may be. */
async function lived(over = true): Promise<string> {
  const wechatpay = new WechatPay(stage.sandboxUrl);
  const number = uniqueNumber('E');
  const { amended, drifted, openid, reason, by, event, ...fields } = personOf(number);
  const record = recordOf(
    { ...fields, out_insurance_no: number, policy_state: APPROVED },
    {
      upload: { appid: 'wx0000000000000000', openid },
    },
  );
  await wechatpay.put(number, record.policy);
  const { revision } = await stage.client.openPolicy(record, { by });
  await waitSynced(stage.client, of(number), revision);
  const { revision: next } = await stage.client.amend(of(number), { address: amended, event_id: event });
  await waitSynced(stage.client, of(number), next);
  await wechatpay.change(number, { address: drifted });
  await stage.client.verify(of(number));
  await until(async () => (await wechatpay.policy(number))?.address === amended);
  if (over) {
    const ended = await stage.client.cancel(of(number), { reason, by });
    await waitSynced(stage.client, of(number), ended.revision);
    // MongoDB has it a moment later, and what is erased is decided by that.
    const isOver = { _id: `${MCHID}/${number}`, sync: 'SYNCED' as const, synced_revision: ended.revision };
    await until(async () => (await storage.policies.countDocuments(isOver)) === 1);
  }
  return number;
}

const left = (number: string) => leftOf(number, storage, stage);

const BY = ['--yes', '--by', 'data protection'];

async function erased(number: string, ...words: string[]): Promise<Erased> {
  const { code, stdout, stderr } = await line.run(['erase', number, ...BY, ...words, '--json'], stage.env);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

describe('an erasure', { timeout: 300_000 }, () => {
  it('leaves no personal value in MongoDB or Temporal, and keeps that it was done, and by whom', async () => {
    const number = await lived();
    const before = await left(number);
    for (const place of [
      'policies: address',
      'policies: pet_name',
      'commands: reason',
      'commands: by',
      'Temporal: openid',
    ])
      assert.ok(
        before.some((one) => one.startsWith(place.split(': ')[0] ?? '')),
        place,
      );
    assert.ok(before.length > 15, before.join());
    const { commands, discrepancies, runs } = await erased(number);
    assert.deepEqual(await left(number), []);
    assert.deepEqual([commands >= 3, discrepancies, runs], [true, 1, 1]);
    const [last] = await storage.commands.find({ _id: `${MCHID}/${number}/erased` }).toArray();
    assert.deepEqual([last?.command, last?.by], ['erased', 'data protection']);
    const record = await storage.policies.findOne({ _id: `${MCHID}/${number}` });
    assert.deepEqual(
      [record?.end, record?.record.policy_state, record?.erased?.done_at !== null],
      ['ERASED', undefined, true],
    );
    assert.ok((await storage.calls.countDocuments({ policy: `${MCHID}/${number}` })) > 0);
    const shown = await line.run(['show', number], stage.env);
    assert.deepEqual([shown.code, /^ended +ERASED$/m.test(shown.stdout)], [0, true], shown.stderr);
    const told = await line.run(['reconcile', '--as-of', new Date().toISOString(), '--json'], stage.env);
    const row = told.stdout.split('\n').find((text) => text.includes(number)) ?? '{}';
    assert.deepEqual([JSON.parse(row).verdict, JSON.parse(row).ours.address], ['unknown', undefined], told.stderr);
    // It is run again to no harm.
    assert.equal((await erased(number)).runs, 0);
  });

  it('is for good: its number is used, nothing restarts it, and an audit has nothing to say', async () => {
    const number = await lived();
    await erased(number);
    await assert.rejects(stage.client.openPolicy(recordOf({ out_insurance_no: number })), PolicyEnded);
    const refused = (error: unknown) => error instanceof PolicyRefused && error.rule === 'erased';
    await assert.rejects(stage.client.reinstate(of(number), { reason: 'a mistake' }), refused);
    await assert.rejects(stage.client.resume(of(number)), refused);
    const { stopped = 0 } = await countAttention(storage);
    const result = await audit({ temporal: stage.client.temporal, storage }, { fix: true, young: 0 });
    assert.deepEqual(
      result.findings.filter(({ out_insurance_no }) => out_insurance_no === number),
      [],
    );
    assert.equal(stopped, 0);
    const record = await storage.policies.findOne({ _id: `${MCHID}/${number}` });
    assert.deepEqual([record?.end, record?.life], ['ERASED', 'erased']);
  });

  it('is refused of a policy in force, unless it is forced; of none that is not there; and without --yes', async () => {
    const number = await lived(false);
    const before = await storage.policies.findOne({ _id: `${MCHID}/${number}` });
    const tried = (words: string[]) => line.run(['erase', ...words], stage.env);
    const inForce = await tried([number, ...BY]);
    assert.equal(inForce.code, 1);
    assert.match(inForce.stderr, /^policy-sync: \S+ is in force: cancel it first, [^\n]*\n$/);
    assert.match((await tried([uniqueNumber(), ...BY, '--json'])).stderr, /has no record: there is nothing to erase/);
    const unsure = await tried([number, '--by', 'x']);
    assert.deepEqual([unsure.code, /add --yes\n$/.test(unsure.stderr)], [2, true]);
    const after = await storage.policies.findOne({ _id: `${MCHID}/${number}` });
    assert.deepEqual([after?.life, after?.record, after?.end], [before?.life, before?.record, null]);
    await erased(number, '--force');
    assert.deepEqual(await left(number), []);
    assert.equal((await keysInUse(storage)).get(undefined), undefined, 'nothing of it rests in the clear');
  });

  for (const step of ['emptying the record', 'ending its workflow', 'emptying commands', 'waiting for Temporal'])
    it(`that is killed while it is at "${step}" is finished by the next`, async () => {
      const number = await lived();
      await killedAt(number, step);
      const { findings } = await audit({ temporal: stage.client.temporal, storage }, { fix: true, young: 0 });
      const begun = await storage.policies.findOne({ _id: `${MCHID}/${number}`, end: 'ERASED' });
      const named = findings.filter((one) => one.out_insurance_no === number).map(({ kind }) => kind);
      assert.deepEqual(named, begun && begun.erased?.done_at === null ? ['half-erased'] : []);
      await erased(number);
      assert.deepEqual(await left(number), []);
      const { workflow } = stage.client.temporal;
      await assert.rejects(workflow.getHandle(workflowIdOf(MCHID, number)).describe());
    });
});

/** Kills an erasure as soon as it says that it is at a step. */
async function killedAt(number: string, step: string): Promise<void> {
  const child = spawn(process.execPath, [COMMAND, 'erase', number, ...BY], {
    env: stage.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'close');
  createInterface(child.stderr).on('line', (said) => {
    if (said.includes(step)) child.kill('SIGKILL');
  });
  await ended;
}

describe('an erasure by other ways', { timeout: 180_000 }, () => {
  it('ends a workflow that does not hear of it by force, and waits until no call of it may write', async (t) => {
    const number = await lived();
    const { workflowService, options } = stage.client.temporal;
    const which = { namespace: options.namespace, workflowId: workflowIdOf(MCHID, number) };
    try {
      await workflowService.pauseWorkflowExecution({ ...which, reason: 'for a test', requestId: number });
    } catch {
      return t.skip('this Temporal server cannot pause workflows');
    }
    const before = Date.now();
    await erased(number);
    assert.ok(Date.now() - before > 20_000);
    assert.deepEqual(await left(number), []);
  });

  it('ends with 3 where Temporal has not deleted the runs in time, and the same again goes on', async () => {
    const number = await lived();
    const early = await line.run(['erase', number, ...BY, '--timeout', '1ms', '--json'], stage.env);
    assert.equal(early.code, 3);
    assert.match(
      early.stderr,
      /^policy-sync: \S+: Temporal has 1 of its runs still to delete; MongoDB is done: run the same again\n$/,
    );
    await erased(number);
    assert.deepEqual(await left(number), []);
  });
});

describe('an export', { timeout: 120_000 }, () => {
  it('has everything that is kept, personal values opened, and the runs that Temporal holds', async () => {
    const number = await lived();
    const { code, stdout, stderr } = await line.run(['export', number, '--json'], stage.env);
    assert.equal(code, 0, stderr);
    const exported = JSON.parse(stdout) as Exported;
    const person = personOf(number);
    assert.equal(exported.record?.record.policy.address, person.amended);
    assert.deepEqual(exported.record?.record.upload, { appid: 'wx0000000000000000', openid: person.openid });
    const commands = exported.commands.map(({ command }) => command);
    assert.deepEqual(commands.sort(), ['amend', 'cancel', 'open']);
    assert.equal(exported.commands.find(({ command }) => command === 'cancel')?.reason, person.reason);
    assert.equal(exported.discrepancies[0]?.theirs, person.drifted);
    assert.ok(exported.calls.length >= 4);
    assert.deepEqual(
      exported.temporal.runs.map(({ status }) => status),
      ['RUNNING'],
    );
    const none = await line.run(['export', uniqueNumber()], stage.env);
    assert.deepEqual([none.code, /nothing is kept about such a policy\n$/.test(none.stderr)], [1, true]);
  });
});
