import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { Client } from '@temporalio/client';
import { waitSynced } from '../client/wait.ts';
import { dataConverter } from '../codec/data_converter.ts';
import { makeKey, parseKeys } from '../codec/keys.ts';
import type { WechatPay } from '../command/story/wechatpay.ts';
import { workflowIdOf } from '../policy/record.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { countAttention } from '../storage/lives.ts';
import { audit } from '../worker/audit.ts';
import { Metrics } from '../worker/metrics.ts';
import { restart, WORKFLOW_TYPE } from '../workflows/messages.ts';
import { auditStage, LOST, of } from './audit_fixture.ts';
import { policiesThatStandStill } from './audit_standstill.ts';
import { until } from './client_namespace.ts';
import type { Stage } from './client_stage.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';

const on = auditStage();
const { line, handleOf, synced, control, lastRequest, audited, about, command } = on;
let stage: Stage;
let wechatpay: WechatPay;
let storage: Storage;
before(async () => {
  ({ stage, wechatpay, storage } = await on.ready());
});

describe('an audit', { timeout: 300_000 }, () => {
  it(`restores ${LOST} policies whose workflows were terminated, with no PATCH for what WeChat Pay holds`, async () => {
    const numbers = await Promise.all(Array.from({ length: LOST }, synced));
    const revisions = await Promise.all(
      numbers.map(async (number) => (await stage.client.status(of(number))).revision),
    );
    for (const number of numbers) await handleOf(number).terminate('lost');
    const before = await lastRequest();

    const seen = await command('audit');
    assert.equal(seen.code, 4);
    assert.deepEqual(seen.lines[0].found, { terminated: LOST });
    assert.equal(seen.lines[0].findings.length, LOST);

    const fixed = await command('audit', '--fix');
    assert.equal(fixed.code, 0, JSON.stringify(fixed.lines));
    assert.deepEqual(fixed.lines[0].fixed, { terminated: LOST });

    const restored = await Promise.all(
      numbers.map((number, at) => waitSynced(stage.client, of(number), revisions[at] ?? 0)),
    );
    assert.equal(restored.length, LOST);
    for (const [at, number] of numbers.entries())
      assert.equal((await stage.client.status(of(number))).revision, revisions[at]);
    // What is restored is known to have been held: its first GET, and whatever would follow from it, may be still to come.
    for (const number of numbers) await until(async () => (await stage.client.status(of(number))).call === 'verify');
    const since = await control<LoggedRequest[]>('GET', `requests?after=${before}`);
    assert.deepEqual(
      since.filter(({ method }) => method !== 'GET').map(({ path }) => path),
      [],
    );
    for (const number of numbers)
      assert.ok(
        since.some(({ path }) => path.endsWith(`/${number}`)),
        number,
      );
    assert.deepEqual((await audited()).found, {});
  });

  it('names documents that rest under a former payload key, while both keys are set', async () => {
    await synced();
    const keys = `${makeKey('new')},${stage.env.POLICY_SYNC_KEYS}`;
    const later = await connect(String(stage.env.MONGODB_URI), { keyring: parseKeys(keys) });
    try {
      const { findings } = await audit({ temporal: stage.client.temporal, storage: later }, { fix: false });
      const [old, ...more] = findings.filter(({ kind }) => kind === 'old-key');
      assert.match(
        old?.reason ?? '',
        /^\d+ documents rest under a payload key that is no longer the first: run `policy-sync/,
      );
      assert.deepEqual([more, old?.mchid, old?.out_insurance_no], [[], null, null]);
    } finally {
      await later.close();
    }
    assert.equal((await audited()).found['old-key'], undefined);
  });

  it('sends what a lost policy had still to send', async () => {
    const number = await synced();
    await control('PUT', 'faults', [
      { match: { out_insurance_no: number }, do: { status: 500, code: 'SYSTEM_ERROR' } },
    ]);
    const { revision } = await stage.client.amend(of(number), { address: 'B' });
    await until(async () => (await storage.policies.findOne({ _id: `${MCHID}/${number}` }))?.revision === revision);
    await handleOf(number).terminate('lost');
    await control('PUT', 'faults', []);
    await audited({ fix: true });
    await waitSynced(stage.client, of(number), revision);
    assert.equal((await wechatpay.policy(number))?.address, 'B');
  });

  it('reports what a lost record may have known of, and does not undo it', async () => {
    const number = await synced();
    const _id = `${MCHID}/${number}`;
    await until(async () => (await storage.policies.findOne({ _id }))?.sync === 'SYNCED');
    const old = await storage.policies.findOne({ _id });
    assert.ok(old);
    const { revision } = await stage.client.amend(of(number), { address: 'B' });
    await waitSynced(stage.client, of(number), revision);
    await until(async () => (await storage.policies.findOne({ _id }))?.synced_revision === revision);
    await handleOf(number).terminate('lost');
    await storage.policies.replaceOne({ _id }, old);
    await audited({ fix: true });
    await until(async () => (await stage.client.status(of(number))).sync === 'DIVERGED');
    assert.deepEqual((await stage.client.status(of(number))).diverged, ['address']);
    assert.equal((await wechatpay.policy(number))?.address, 'B');
  });

  it('names what is stopped and leaves it so, and is silent about what is at its end', async () => {
    const [stopped, ended] = [await synced(), uniqueNumber('A')];
    await handleOf(stopped).cancel();
    await assert.rejects(handleOf(stopped).result());
    const record = recordOf({ out_insurance_no: ended });
    await wechatpay.put(ended, record.policy);
    await stage.client.openPolicy(record);
    await stage.client.decline(of(ended), { reason: 'no' });
    await handleOf(ended).result();
    const result = await audited({ fix: true });
    assert.deepEqual([about(result, stopped), about(result, ended)], [['stopped'], []]);
    assert.equal((await handleOf(stopped).describe()).status.name, 'CANCELLED');
    assert.equal((await handleOf(ended).describe()).status.name, 'COMPLETED');
  });

  it('restarts nothing that has come to its end while it looked', async () => {
    const number = uniqueNumber('A');
    const record = recordOf({ out_insurance_no: number });
    await wechatpay.put(number, record.policy);
    await stage.client.openPolicy(record);
    await stage.client.decline(of(number), { reason: 'no' });
    await handleOf(number).result();
    const _id = `${MCHID}/${number}`;
    const before = await storage.policies.findOne({ _id });
    const { typedSearchAttributes, ...options } = restart(of(number), 'audit', before?.life);
    const late = await stage.client.temporal.workflow.start(WORKFLOW_TYPE, {
      ...options,
      typedSearchAttributes: [...typedSearchAttributes],
    });
    await assert.rejects(late.result());
    assert.equal((await late.describe()).status.name, 'FAILED');
    const { end, life } = (await storage.policies.findOne({ _id })) ?? {};
    assert.deepEqual({ end, life }, { end: 'DECLINED', life: before?.life });
  });

  it('writes into the record that a policy was stopped, where MongoDB was away then', async () => {
    const number = await synced();
    await handleOf(number).cancel();
    await assert.rejects(handleOf(number).result());
    const _id = `${MCHID}/${number}`;
    await storage.policies.updateOne({ _id }, { $set: { end: null, ended_at: null, sync: 'SYNCED' } });
    assert.deepEqual(about(await audited(), number), ['stop-not-recorded']);
    await audited({ fix: true });
    const { end, sync } = (await storage.policies.findOne({ _id })) ?? {};
    assert.deepEqual({ end, sync }, { end: 'STOPPED', sync: 'STOPPED' });
    assert.equal((await handleOf(number).describe()).status.name, 'CANCELLED');
    assert.deepEqual(about(await audited(), number), ['stopped']);
  });

  it('has a running workflow make the record that MongoDB has lost', async () => {
    const number = await synced();
    const _id = `${MCHID}/${number}`;
    // At rest: nothing else writes the record until the next verification.
    await until(async () => (await storage.policies.findOne({ _id }))?.sync === 'SYNCED');
    const before = await storage.policies.findOne({ _id });
    await storage.policies.deleteOne({ _id });
    // Temporal's visibility, by which the workflow is found, lags behind.
    await until(async () => about(await audited(), number).length > 0);
    assert.deepEqual(about(await audited(), number), ['no-record']);
    await audited({ fix: true });
    await until(async () => (await storage.policies.findOne({ _id })) !== null);
    const after = await storage.policies.findOne({ _id });
    assert.equal(after?.revision, before?.revision);
    assert.equal(after?.life, before?.life);
    assert.deepEqual(about(await audited(), number), []);
  });

  it('has a running workflow make its record where MongoDB has only that of a former life, going on or ended', async () => {
    for (const end of [null, 'STOPPED' as const]) {
      const number = await synced();
      const _id = `${MCHID}/${number}`;
      await handleOf(number).cancel();
      await assert.rejects(handleOf(number).result());
      const backup = await storage.policies.findOne({ _id });
      assert.ok(backup);
      await stage.client.resume(of(number));
      await storage.policies.replaceOne({ _id }, { ...backup, end });
      const { revision } = await stage.client.amend(of(number), { address: 'B' });
      await waitSynced(stage.client, of(number), revision);
      assert.ok(((await storage.policies.findOne({ _id }))?.revision ?? 0) < revision, 'nothing of it is taken');
      await until(async () => about(await audited(), number).length > 0);
      assert.deepEqual(about(await audited(), number), ['no-record']);
      await audited({ fix: true });
      await until(async () => (await storage.policies.findOne({ _id }))?.synced_revision === revision);
      assert.deepEqual(about(await audited(), number), []);
    }
  });

  it('says of a policy whose workflow task fails over and over why, and no other policy waits for it', async () => {
    const number = await synced();
    const { connection, options } = stage.client.temporal;
    const other = dataConverter(parseKeys(makeKey('elsewhere')), { allowPlain: false });
    const stranger = new Client({ connection, namespace: options.namespace, dataConverter: other });
    // A start or an update that no key opens is refused; a signal waits for a worker that has the key.
    await stranger.workflow.getHandle(workflowIdOf(MCHID, number)).signal('cancel', {});
    await until(async () => ((await handleOf(number).describe()).raw.pendingWorkflowTask?.attempt ?? 0) >= 3, 120_000);
    const well = await synced();
    const result = await audited({ fix: true });
    assert.deepEqual(about(result, number), ['stuck']);
    assert.deepEqual(about(result, well), []);
    assert.match(result.findings.find((one) => one.kind === 'stuck')?.reason ?? '', /no key "elsewhere"/);

    const { lines } = await command('list', '--attention');
    const row = lines.find(({ out_insurance_no }) => out_insurance_no === number);
    assert.match(row.attention.join(), /^stuck: its workflow task has failed/);
    const counted = await countAttention(storage);
    assert.equal(counted.stuck, 1);
    const metrics = new Metrics(() => []);
    metrics.attention = async () => counted;
    assert.match(await metrics.registry.metrics(), /policy_sync_attention{kind="stuck"} 1/);

    await handleOf(number).terminate('seen');
    assert.deepEqual(about(await audited(), number), ['terminated']);
    await audited({ fix: true });
    await until(async () => (await stage.client.status(of(number))).sync === 'SYNCED');
    assert.equal((await countAttention(storage)).stuck, 0);
  });

  it('names a queue where calls wait and nobody polls, once, and shows it where a person looks', async () => {
    const mchid = '1900000099';
    const numbers = [uniqueNumber('A'), uniqueNumber('A')];
    for (const out_insurance_no of numbers) await stage.client.openPolicy(recordOf({ out_insurance_no }, { mchid }));
    // Its call waits from the second after on, in which whole seconds are told.
    await until(async () => (await audited()).found['not-served'] === 1);
    const { lines } = await command('list', '--attention', '--mchid', mchid);
    const texts = lines.flatMap(({ attention }) => attention ?? []);
    assert.equal(texts.filter((text: string) => text.includes(`calls/${mchid}, which nobody polls`)).length, 1);
    for (const number of numbers) await handleOf(number, mchid).cancel();
    await until(async () => (await audited()).found['not-served'] === undefined);
  });
});

policiesThatStandStill(on);

describe('a scheduled audit', { timeout: 120_000 }, () => {
  it('is made, changed and ended by the command, and does what the command does', async () => {
    assert.deepEqual((await command('audit', '--every', '6h')).lines, [
      { scheduled: true, every: 21_600_000, fix: false },
    ]);
    assert.deepEqual((await command('audit', '--every', '1h', '--fix')).lines, [
      { scheduled: true, every: 3_600_000, fix: true },
    ]);
    const number = await synced();
    await handleOf(number).terminate('lost');
    const schedule = stage.client.temporal.schedule.getHandle('policy-sync-audit');
    await schedule.trigger();
    await until(async () => (await handleOf(number).describe()).status.name === 'RUNNING', 60_000);
    await until(async () => (await stage.client.status(of(number))).sync === 'SYNCED', 60_000);
    assert.deepEqual((await command('audit', '--every', 'off')).lines, [{ scheduled: false }]);
    await assert.rejects(schedule.describe(), { name: 'ScheduleNotFoundError' });
  });

  it('asked for more often than a minute, or for nonsense, is wrong usage', async () => {
    for (const every of ['10s', 'often']) {
      const { code, stderr } = await line.run(['audit', '--every', every], stage.env);
      assert.equal(code, 2);
      assert.match(stderr, /^policy-sync: [^\n]+\n$/);
    }
  });

  it('without MongoDB says what is missing', async () => {
    const { code, stderr } = await line.run(['audit'], { ...stage.env, MONGODB_URI: '' });
    assert.equal(code, 1);
    assert.match(stderr, /^policy-sync: MONGODB_URI: expected [^\n]+\n$/);
  });
});
