import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { parse } from 'csv-parse/sync';
import { makeKey, parseKeys } from '../codec/keys.ts';
import type { Summary } from '../command/plan.ts';
import type { WechatPay } from '../command/story/wechatpay.ts';
import type { Planned } from '../gateway/planned.ts';
import { APPROVED } from '../policy/state.ts';
import { connect } from '../storage/connection.ts';
import { findPolicy } from '../storage/policies.ts';
import { until } from './client_namespace.ts';
import type { Stage } from './client_stage.ts';
import { assertNothingPersonal, policyCommands } from './command_policies_fixture.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';

const on = policyCommands();
const { run, opened } = on;
let stage: Stage;
let wechatpay: WechatPay;
before(async () => {
  ({ stage, wechatpay } = await on.ready());
});

/** Until MongoDB has a policy as it rests: a plan is made of that. */
async function recorded(number: string, sync: string): Promise<void> {
  const storage = await connect(stage.env.MONGODB_URI ?? '', { keyring: parseKeys(stage.env.POLICY_SYNC_KEYS ?? '') });
  try {
    await until(async () => {
      const found = await findPolicy(storage, MCHID, number);
      return found?.sync === sync && found.next_verification_at !== null;
    });
  } finally {
    await storage.close();
  }
}

/** How many calls have reached WeChat Pay. */
async function calls(): Promise<number> {
  const answer = await fetch(`${stage.sandboxUrl}/_sandbox/requests`);
  return ((await answer.json()) as unknown[]).length;
}

async function planOf(number: string, ...words: string[]): Promise<{ code: number | null; plan: Planned }> {
  const { code, stdout } = await run(['plan', number, '--json', ...words]);
  return { code, plan: JSON.parse(stdout) };
}

describe('plan', () => {
  it('of a policy in step has nothing to say, and asks WeChat Pay nothing', async () => {
    const number = await opened({ policy_state: APPROVED });
    await recorded(number, 'SYNCED');
    const before = await calls();
    const { code, plan } = await planOf(number);
    assert.deepEqual([code, plan.outlook, plan.fields], [0, 'identical', []]);
    assert.equal(await calls(), before);
  });

  it('names each field that is left different, with both values, and since when; personal ones masked', async () => {
    const record = recordOf({ out_insurance_no: uniqueNumber(), policy_state: APPROVED }, { adopt: 'report' });
    const number = record.policy.out_insurance_no;
    await wechatpay.put(number, { ...record.policy, plan_id: 999, address: 'a stranger’s road 7' });
    await stage.client.openPolicy(record);
    await recorded(number, 'DIVERGED');
    const { code, plan } = await planOf(number);
    assert.deepEqual([code, plan.outlook, plan.sync], [4, 'differs', 'DIVERGED']);
    assert.deepEqual(plan.fields.map(({ field, fate }) => [field, fate]).sort(), [
      ['address', 'left'],
      ['plan_id', 'left'],
    ]);
    const ours = plan.fields.find(({ field }) => field === 'plan_id');
    assert.deepEqual([ours?.ours, ours?.theirs, ours?.changed], [record.policy.plan_id, 999, null]);
    assert.ok(ours?.found_at);
    const resumed = await planOf(number, '--resumed');
    assert.deepEqual(
      [resumed.plan.outlook, ...resumed.plan.fields.map(({ fate }) => fate)],
      ['push', 'sent', 'sent'],
      'what would be sent if somebody resumed it',
    );
    const { stdout } = await run(['plan', number]);
    assertNothingPersonal(stdout);
    assert.ok(!stdout.includes('a stranger'));
    assert.match(stdout, /plan_id +left +12535 +999 +as opened/);
    assert.match((await run(['plan', number, '--reveal'])).stdout, /a stranger’s road 7/);
  });

  it('of what is kept back tells what would be sent, and who changed it', async () => {
    const number = await opened({ policy_state: APPROVED });
    await run(['hold', number, '--reason', 'an incident']);
    await run(['amend', number, 'plan_id=4711', '--by', 'core']);
    await until(async () => (await planOf(number)).plan.fields.length === 1);
    const { plan } = await planOf(number);
    const [field] = plan.fields;
    assert.deepEqual([field?.field, field?.fate, field?.ours, field?.theirs], ['plan_id', 'held', 4711, 12535]);
    assert.deepEqual([field?.changed?.command, field?.changed?.by], ['amend', 'core']);
    await run(['unhold', number, '--wait']);
    await until(async () => (await planOf(number)).plan.outlook === 'identical');
  });

  it('of all names exactly the differences that were planted, each once, and counts the rest as identical', async () => {
    const planted = new Map<string, string[]>();
    const fields = [{ plan_id: 1 }, { address: 'elsewhere' }, { plan_id: 2, pet_name: 'another' }];
    const type = 'POLICY_TYPE_ACCIDENT';
    const numbers = await Promise.all(
      Array.from({ length: 24 }, async (_, at) => {
        const record = recordOf(
          { out_insurance_no: uniqueNumber(), policy_state: APPROVED, policy_type: type },
          { adopt: 'report' },
        );
        const number = record.policy.out_insurance_no;
        const other = at % 4 === 0 ? fields[(at / 4) % fields.length] : undefined;
        if (other) planted.set(number, Object.keys(other).sort());
        await wechatpay.put(number, { ...record.policy, ...other });
        await stage.client.openPolicy(record);
        return number;
      }),
    );
    for (const number of numbers) await recorded(number, planted.has(number) ? 'DIVERGED' : 'SYNCED');
    const { code, stdout } = await run(['plan', '--all', '--type', type, '--json']);
    assert.equal(code, 4);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const { summary } = lines.pop() as { summary: Summary };
    const named = new Map(
      (lines as Planned[]).map((one) => [one.out_insurance_no, one.fields.map((it) => it.field).sort()]),
    );
    assert.deepEqual(new Map([...named].sort()), new Map([...planted].sort()));
    assert.equal(lines.length, planted.size);
    assert.deepEqual(summary, {
      policies: 24,
      by_outlook: { identical: 18, push: 0, upload: 0, differs: 6, unknown: 0 },
      to_push: {},
    });
    const file = join(stage.directory, 'plan.csv');
    const told = await run(['plan', '--all', '--type', type, '--csv', file]);
    assert.match(told.stdout, /^24 policies\nOUTLOOK +POLICIES\nidentical +18\n/);
    const rows = parse(await readFile(file, 'utf8'), { columns: true }) as {
      out_insurance_no: string;
      field: string;
    }[];
    assert.equal(rows.length, [...planted.values()].flat().length);
    assert.ok(rows.every((row) => planted.get(row.out_insurance_no)?.includes(row.field)));
    assert.equal((await stat(file)).mode & 0o777, 0o600);
  });

  it('of all names each record that no key of this shell opens, ends with 1, and goes on with the others', async () => {
    const number = await opened({ policy_state: APPROVED, policy_type: 'POLICY_TYPE_ANNUITY' });
    await recorded(number, 'SYNCED');
    const env = { ...stage.env, POLICY_SYNC_KEYS: makeKey('another') };
    const { code, stdout, stderr } = await on.line.run(
      ['plan', '--all', '--type', 'POLICY_TYPE_ANNUITY', '--json'],
      env,
    );
    assert.equal(code, 1);
    assert.match(
      stderr,
      new RegExp(`^policy-sync: policy ${MCHID}/${number}, \\S+: sealed with key "test", which this shell has not\\n$`),
    );
    assert.equal(JSON.parse(stdout).summary.policies, 0);
  });

  it('says in one line what it lacks: a policy or --all, MongoDB, the record, a file that can be written', async () => {
    for (const [words, code, said] of [
      [['plan'], 2, /^policy-sync: plan: give a policy, or --all\n$/],
      [['plan', uniqueNumber()], 1, /^policy-sync: \d+\/\w+: no such policy is on record; open it first\n$/],
      [
        ['plan', '--all', '--csv', join(stage.directory, 'nowhere', 'plan.csv')],
        1,
        /^policy-sync: [^\n]*nowhere[^\n]*\n$/,
      ],
    ] as const) {
      const ran = await run([...words]);
      assert.deepEqual([ran.code, said.test(ran.stderr)], [code, true], ran.stderr);
    }
    const away = await on.line.run(['plan', '--all'], { ...stage.env, MONGODB_URI: 'mongodb://127.0.0.1:1/x' });
    assert.equal(away.code, 3);
    assert.match(away.stderr, /^policy-sync: MongoDB at 127\.0\.0\.1:1 is not available [^\n]*\n$/);
    const { MONGODB_URI: _none, ...env } = stage.env;
    const ran = await on.line.run(['plan', '--all'], env);
    assert.match(ran.stderr, /^policy-sync: plan: set MONGODB_URI[^\n]*\n$/);
  });
});
