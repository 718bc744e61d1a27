import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Db, MongoClient } from 'mongodb';
import type { Imported } from '../command/import.ts';
import type { WechatPay } from '../command/story/wechatpay.ts';
import type { RecordInput } from '../policy/record.ts';
import { until } from './client_namespace.ts';
import type { Stage } from './client_stage.ts';
import { assertNothingPersonal, policyCommands } from './command_policies_fixture.ts';
import { COMMAND, type Ran } from './command_process.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';
import { csvOf, Files, jsonLinesOf, reportIn } from './import_fixture.ts';
import { lineTo } from './storage_fixture.ts';

const on = policyCommands();
const { line, run } = on;
const files = new Files();
let stage: Stage;
let wechatpay: WechatPay;
let mongo: MongoClient;
let db: Db;
before(async () => {
  ({ stage, wechatpay } = await on.ready());
  mongo = await MongoClient.connect(stage.env.MONGODB_URI ?? '');
  db = mongo.db();
});
after(async () => {
  await mongo?.close();
  await files.remove();
});

/** So many records that WeChat Pay has already, as we want them; their numbers begin alike. */
async function fleet(count: number): Promise<{ prefix: string; records: RecordInput[] }> {
  const prefix = uniqueNumber('F').slice(0, 12);
  const records = Array.from({ length: count }, (_, at) => recordOf({ out_insurance_no: `${prefix}${at}` }));
  for (const { policy } of records) await wechatpay.put(policy.out_insurance_no, policy);
  return { prefix, records };
}

const openIn = (prefix: string): Promise<number> =>
  db.collection('policies').countDocuments({ out_insurance_no: { $regex: `^${prefix}` } });

/** An import in a process of its own, which is sent a signal once it has opened so many. */
async function ended(file: string, prefix: string, most: number, signal: NodeJS.Signals): Promise<Ran> {
  const words = ['import', file, '--at-once', '2', '--json'];
  const child = spawn(process.execPath, [COMMAND, ...words], { env: { ...stage.env }, stdio: 'pipe' });
  const ran = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  // Looked at often: it is to end in the middle, however fast the machine is.
  while ((await openIn(prefix)) < most && child.exitCode === null) await delay(10);
  child.kill(signal);
  const [stdout, stderr, [code]] = await ran;
  return { code, stdout, stderr };
}

function imported({ stdout }: Ran): Imported {
  assert.match(stdout, /^[^\n]+\n$/);
  return JSON.parse(stdout);
}

describe('a fleet', () => {
  it('that is brought in by runs that were stopped and killed is open, each policy once, and unchanged at WeChat Pay', async () => {
    const { prefix, records } = await fleet(36);
    const file = await files.put('fleet.csv', csvOf(records));
    const stopped = await ended(file, prefix, 6, 'SIGTERM');
    const first = imported(stopped);
    assert.deepEqual([stopped.code, first.failed, first.already_open, first.report], [1, 0, 0, null]);
    assert.match(stopped.stderr, /^policy-sync: told to end by SIGTERM; run the same again to go on: [^\n]+\n$/);
    assert.equal(await openIn(prefix), first.opened);

    const killed = await ended(file, prefix, first.opened + 8, 'SIGKILL');
    assert.deepEqual([killed.code, killed.stdout], [null, '']);
    const before = await openIn(prefix);
    assert.ok(before < records.length, `${before}`);

    const last = await run(['import', file, '--json']);
    assert.equal(last.code, 0, last.stderr);
    const { opened, already_open, ...rest } = imported(last);
    assert.deepEqual(rest, { records: 36, bad: 0, failed: 0, report: null, stopped: null });
    assert.equal(opened + already_open, 36);
    assert.ok(already_open >= before, `${already_open} of ${before}`);
    assert.equal(existsSync(`${file}.report.jsonl`), false);

    const query = `WorkflowId STARTS_WITH "policy/${MCHID}/${prefix}"`;
    await until(async () => (await stage.client.temporal.workflow.count(query)).count >= 36);
    assert.equal((await stage.client.temporal.workflow.count(query)).count, 36);
    assert.equal(await openIn(prefix), 36);
    await until(async () => {
      const synced = await db
        .collection('policies')
        .countDocuments({ out_insurance_no: { $regex: `^${prefix}` }, sync: 'SYNCED' });
      return synced === 36;
    });
    const response = await fetch(`${stage.sandboxUrl}/_sandbox/requests?after=0`);
    const requests = ((await response.json()) as { path: string; method: string }[]).filter(({ path }) =>
      path.includes(prefix),
    );
    assert.deepEqual([...new Set(requests.map(({ method }) => method))], ['GET']);
  });

  it('that is open in part goes on: the same is left as it is; another record, or an ended policy, is named', async () => {
    const { records } = await fleet(5);
    const [same, other, ended, endedOther, fresh] = records.map((record) => ({ ...record, adopt: 'report' as const }));
    assert.ok(same && other && ended && endedOther && fresh);
    for (const record of [same, other, ended, endedOther]) await stage.client.openPolicy(record);
    for (const { policy } of [ended, endedOther]) {
      const id = { mchid: MCHID, out_insurance_no: policy.out_insurance_no };
      await stage.client.decline(id, { reason: 'too risky' });
      const handle = stage.client.temporal.workflow.getHandle(`policy/${MCHID}/${id.out_insurance_no}`);
      await until(async () => (await handle.describe()).status.name === 'COMPLETED');
    }
    const changed = ({ policy, ...record }: RecordInput) => ({
      ...record,
      policy: { ...policy, address: 'elsewhere' },
    });
    const given = [
      same,
      changed(other),
      ended,
      changed(endedOther),
      { ...fresh, policy: { ...fresh.policy, plan_id: -1 } },
      fresh,
    ];
    const file = await files.put('part.jsonl', jsonLinesOf(given));
    const report = `${file}.report.jsonl`;

    const unopened = await run(['import', file]);
    assert.equal(unopened.code, 1);
    assert.equal(unopened.stdout, '6 records: 4 good, 2 bad; nothing was opened\n');
    assert.deepEqual(
      (await reportIn(report)).map(({ line, rule }) => [line, rule]),
      [
        [5, 'too-short'],
        [6, 'duplicate'],
      ],
    );

    const some = await run(['import', file, '--skip-bad', '--by', 'migration']);
    assert.equal(some.code, 1);
    assert.equal(some.stdout, '6 records: 0 opened, 1 open already, 3 failed, 2 bad\n');
    const told = await reportIn(report);
    assert.deepEqual(told.map(({ line, rule }) => `${line}: ${rule}`).sort(), [
      '2: exists',
      '3: ended',
      '4: ended',
      '5: too-short',
      '6: duplicate',
    ]);
    assert.ok(told.every(({ mchid, out_insurance_no }) => mchid === MCHID && String(out_insurance_no).length > 12));
    assertNothingPersonal(JSON.stringify(told) + some.stdout + some.stderr + unopened.stderr);
  });

  it('is only checked by a dry run, which needs no server', async () => {
    const input = jsonLinesOf([recordOf(), { ...recordOf({ out_insurance_no: 'A-1' }), mchid: undefined }]);
    const report = await files.put('dry.report', '');
    const env = { ...stage.env, TEMPORAL_ADDRESS: '127.0.0.1:9', POLICY_SYNC_MCHID: MCHID };
    const { code, stdout, stderr } = await line.run(['import', '-', '--dry-run', '--report', report], env, input);
    assert.equal(code, 1);
    assert.equal(stdout, '2 records: 1 good, 1 bad; nothing was opened\n');
    assert.match(
      stderr,
      /^policy-sync: standard input, line 2: policy\.out_insurance_no: expected 1 to 32 letters and digits\n/,
    );
    assert.deepEqual(await reportIn(report), [
      {
        line: 2,
        mchid: MCHID,
        out_insurance_no: null,
        rule: 'insurance-number',
        message: 'policy.out_insurance_no: expected 1 to 32 letters and digits',
      },
    ]);
    const good = await line.run(['import', '-', '--dry-run', '--report', report], env, jsonLinesOf([recordOf()]));
    assert.deepEqual([good.code, good.stderr, existsSync(report)], [0, '', false]);
  });
});

describe('while Temporal is away', () => {
  it('an import waits, goes on when it is back, and reports no failure; after a while it ends with exit code 3', async () => {
    const { prefix, records } = await fleet(24);
    const file = await files.put('away.csv', csvOf(records));
    const [host = '', port] = stage.temporal.address.split(':');
    const way = await lineTo({ host, port: Number(port) });
    const env = { ...stage.env, TEMPORAL_ADDRESS: `127.0.0.1:${way.port}` };
    const words = ['import', file, '--at-once', '2', '--timeout', '1s'];
    const waiting = line.run(words, env);
    await until(async () => (await openIn(prefix)) >= 5);
    await way.cut();
    // What is asked meanwhile is given up after a second, and then it is looked for another whether the server answers.
    await delay(4_000);
    await way.mend();
    const { code, stdout, stderr } = await waiting;
    const failures = code === 0 ? '' : await readFile(`${file}.report.jsonl`, 'utf8').catch(String);
    assert.equal(code, 0, `${stderr}${failures}`);
    assert.match(stdout, /^24 records: \d+ opened, \d+ open already, 0 failed, 0 bad\n$/);
    // It may warn first that it could not ask who polls the merchant's queue.
    assert.match(stderr, /^policy-sync: [^\n]+; trying again$/m);
    assert.equal(await openIn(prefix), 24);

    const more = await fleet(24);
    const next = await files.put('more.csv', csvOf(more.records));
    const givenUp = line.run(['import', next, ...words.slice(2), '--keep-trying', '1s', '--json'], env);
    await until(async () => (await openIn(more.prefix)) >= 5);
    await way.cut();
    const ran = await givenUp;
    assert.equal(ran.code, 3, ran.stderr);
    const { opened, already_open, failed, report, stopped } = imported(ran);
    assert.deepEqual([already_open, failed, report], [0, 0, null]);
    assert.ok(opened < 24 && stopped?.includes('does not answer'), String(stopped));
    assert.match(ran.stderr, /; run the same again to go on: [^\n]+\n$/);
  });
});

describe('wrong usage of import', () => {
  it('is told before anything is read or written', async () => {
    const file = await files.put('one.csv', csvOf([recordOf()]));
    for (const [words, code, says] of [
      [[file, '--report', file], 2, /--report: expected another file/],
      [[file, '--at-once', '0'], 2, /Expected 1 to 1000/],
      [[file, '--mchid', 'x'], 2, /merchant id of 8 to 10 digits/],
      [[`${file}.none`], 1, /cannot be read \(ENOENT\)/],
      [[file, '--report', `${file}/none`], 1, /cannot be written \(ENOTDIR\): name another file/],
    ] as const) {
      const ran = await run(['import', ...words]);
      assert.deepEqual([ran.code, ran.stdout], [code, '']);
      assert.match(ran.stderr, /^policy-sync: [^\n]+\n$/);
      assert.match(ran.stderr, says);
    }
    const nothing = await run(['import', '-', '--report', `${file}.r`], ' \n');
    assert.match(nothing.stderr, /^policy-sync: standard input: expected records, found none\n$/);
  });
});
