// A fleet that WeChat Pay has already is brought in from CSV, hands off, by an import that is killed in the middle.
// IMPORT_POLICIES sets how many; 10,000 take about a quarter of an hour on two cores, longer than npm test gives a file.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Db, MongoClient } from 'mongodb';
import { eachAtOnce } from '../command/at_once.ts';
import type { Imported } from '../command/import.ts';
import type { Summary } from '../command/plan.ts';
import type { Held, WechatPay } from '../command/story/wechatpay.ts';
import type { Planned } from '../gateway/planned.ts';
import type { RecordInput } from '../policy/record.ts';
import { APPROVED } from '../policy/state.ts';
import { until } from './client_namespace.ts';
import type { Stage } from './client_stage.ts';
import { policyCommands } from './command_policies_fixture.ts';
import { COMMAND } from './command_process.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';
import { csvOf, Files } from './import_fixture.ts';

const POLICIES = Number(process.env.IMPORT_POLICIES ?? 300);
const DIFFERENT = 37;
/** What others changed at WeChat Pay, by turns. */
const OTHERS: readonly Held[] = [{ plan_id: 1 }, { address: 'elsewhere' }, { plan_id: 2, pet_name: 'another' }];
const PATIENCE_MS = 60_000 + POLICIES * 500;

const on = policyCommands();
const files = new Files();
let stage: Stage;
let wechatpay: WechatPay;
let mongo: MongoClient;
let policies: ReturnType<Db['collection']>;
const prefix = uniqueNumber('F').slice(0, 12);
const planted = new Map<string, string[]>();

before(async () => {
  ({ stage, wechatpay } = await on.ready());
  mongo = await MongoClient.connect(stage.env.MONGODB_URI ?? '');
  policies = mongo.db().collection('policies');
});
after(async () => {
  await mongo?.close();
  await files.remove();
});

/** At WeChat Pay, 37 of them otherwise than in the file. */
async function fleet(): Promise<RecordInput[]> {
  const records = Array.from({ length: POLICIES }, (_, at) =>
    recordOf({ out_insurance_no: `${prefix}${at}`, policy_state: APPROVED }),
  );
  const every = Math.floor(POLICIES / DIFFERENT);
  await eachAtOnce(records.entries(), 16, async ([at, { policy }]) => {
    const turn = at % every === 0 ? at / every : DIFFERENT;
    const other = turn < DIFFERENT ? OTHERS[turn % OTHERS.length] : undefined;
    if (other) planted.set(policy.out_insurance_no, Object.keys(other).sort());
    await wechatpay.put(policy.out_insurance_no, { ...policy, ...other });
  });
  return records;
}

const openOf = (filter: object = {}): Promise<number> =>
  policies.countDocuments({ out_insurance_no: { $regex: `^${prefix}` }, ...filter });

async function killedInTheMiddle(file: string): Promise<void> {
  const child = spawn(process.execPath, [COMMAND, 'import', file], { env: { ...stage.env }, stdio: 'ignore' });
  const ended = once(child, 'close');
  while ((await openOf()) < POLICIES / 2 && child.exitCode === null) await delay(10 + POLICIES / 50);
  child.kill('SIGKILL');
  assert.deepEqual(await ended, [null, 'SIGKILL']);
}

interface Request {
  path: string;
  method: string;
}

describe(`a fleet of ${POLICIES} that is brought in from CSV, killed in the middle and run again`, () => {
  it('is open, each policy exactly once', async () => {
    const file = await files.put('fleet.csv', csvOf(await fleet()));
    await killedInTheMiddle(file);
    const { code, stdout, stderr } = await on.run(['import', file, '--json']);
    assert.equal(code, 0, stderr);
    const { opened, already_open, failed, bad } = JSON.parse(stdout) as Imported;
    assert.deepEqual([opened + already_open, failed, bad], [POLICIES, 0, 0]);
    assert.ok(already_open >= POLICIES / 2 && opened > 0, stdout);
    assert.equal(await openOf(), POLICIES);
    // Of every run, the ended ones too.
    const query = `WorkflowId STARTS_WITH "policy/${MCHID}/${prefix}"`;
    await until(async () => (await stage.client.temporal.workflow.count(query)).count >= POLICIES, PATIENCE_MS);
    assert.equal((await stage.client.temporal.workflow.count(query)).count, POLICIES);
  });

  it('is asked for, policy by policy, and never written', async () => {
    await until(async () => (await openOf({ sync: { $in: ['SYNCED', 'DIVERGED'] } })) === POLICIES, PATIENCE_MS);
    const answer = await fetch(`${stage.sandboxUrl}/_sandbox/requests?after=0`);
    const requests = ((await answer.json()) as Request[]).filter(({ path }) => path.includes(prefix));
    assert.deepEqual([...new Set(requests.map(({ method }) => method))], ['GET']);
    const asked = new Set(requests.map(({ path }) => path.split('/').at(-1)));
    assert.equal(asked.size, POLICIES);
  });

  it(`differs in exactly the ${DIFFERENT} policies that somebody changed at WeChat Pay, by the plan of all`, async (t) => {
    const { code, stdout, stderr } = await on.run(['plan', '--all', '--json']);
    assert.equal(code, 4, stderr);
    const lines = stdout.trimEnd().split('\n');
    const { summary } = JSON.parse(lines.pop() ?? '') as { summary: Summary };
    const named = lines.map((line) => {
      const { out_insurance_no, fields } = JSON.parse(line) as Planned;
      return [out_insurance_no, fields.map(({ field }) => field).sort()] as const;
    });
    assert.equal(named.length, DIFFERENT);
    assert.deepEqual(new Map(named), planted);
    const identical = POLICIES - DIFFERENT;
    assert.deepEqual(summary, {
      policies: POLICIES,
      by_outlook: { identical, push: 0, upload: 0, differs: DIFFERENT, unknown: 0 },
      to_push: {},
    });
    t.diagnostic(`${POLICIES} policies: ${identical} identical, ${named.length} differ`);
  });
});
