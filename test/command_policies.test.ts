import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { makeKey } from '../codec/keys.ts';
import type { Shown } from '../command/show_text.ts';
import type { WechatPay } from '../command/story/wechatpay.ts';
import { sameValue } from '../policy/difference.ts';
import { APPROVED } from '../policy/state.ts';
import { until } from './client_namespace.ts';
import type { Stage } from './client_stage.ts';
import { assertNothingPersonal, policyCommands } from './command_policies_fixture.ts';
import { listedPolicies } from './command_policies_list.ts';
import { MCHID, recordOf, SEED, uniqueNumber } from './fixtures.ts';

const on = policyCommands();
const { line, run, json, opened } = on;
let stage: Stage;
let wechatpay: WechatPay;
before(async () => {
  ({ stage, wechatpay } = await on.ready());
});

describe("the seed's example", () => {
  it('is opened, shown field by field, changed and shown again; personal values only when asked for', async () => {
    const record = recordOf({ out_insurance_no: uniqueNumber() });
    const number = record.policy.out_insurance_no;
    await wechatpay.put(number, record.policy);
    const file = join(stage.directory, 'record.json');
    await writeFile(file, JSON.stringify({ $schema: './record.schema.json', ...record }));
    const open = await run(['open', file, '--wait']);
    assert.equal(open.code, 0, open.stderr);
    assert.equal(open.stdout, `${MCHID}/${number}: accepted, revision 1, WeChat Pay holds it\n`);
    const again = await run(['open', file]);
    assert.deepEqual([again.code, again.stdout], [0, `${MCHID}/${number}: opened before, unchanged\n`]);

    const { kept } = await json<Shown>(['show', number, '--reveal']);
    for (const [field, value] of Object.entries(record.policy)) {
      assert.ok(sameValue(field, value, kept?.desired[field]), `ours: ${field}`);
      assert.ok(sameValue(field, value, kept?.remote?.[field]), `WeChat Pay's: ${field}`);
    }
    const approve = await run(['approve', number, '--policy-code', 'C1', '--wait']);
    assert.equal(approve.stdout, `${MCHID}/${number}: accepted, revision 2, WeChat Pay holds it\n`);

    const { stdout } = await run(['show', number]);
    assertNothingPersonal(stdout);
    for (const said of ['APPROVED', 'SYNCED', '2, WeChat Pay holds 2', 'policy_code', 'C1', 'PATCH', 'RUNNING'])
      assert.ok(stdout.includes(said), `${said} in\n${stdout}`);
    assert.ok((await run(['show', number, '--reveal'])).stdout.includes(SEED.address));
  });

  it('is shown as sealed, by the id of the key, where the shell has not the key', async () => {
    const number = await opened();
    await run(['amend', number, 'address=somewhere else', '--by', 'somebody', '--wait']);
    const keys = { ...stage.env, POLICY_SYNC_KEYS: makeKey('another') };
    const { stdout } = await line.run(['show', number, '--reveal', '--timeout', '5s'], keys);
    const id = stage.env.POLICY_SYNC_KEYS?.split(':')[0];
    const sealed = `sealed with key "${id}", which this shell has not`;
    for (const field of ['address', 'pet_name'])
      assert.match(stdout, new RegExp(`^${field} +${sealed} +${sealed}$`, 'm'));
    assert.match(stdout, new RegExp(`amend +${sealed} +2 +address: ${sealed} → ${sealed}`));
  });

  it('has a history: what came, from whom, what it changed, when WeChat Pay confirmed it', async () => {
    const number = await opened();
    await run(['approve', number, '--policy-code', 'C1', '--by', 'underwriting', '--wait']);
    await run(['amend', number, 'address=somewhere else', '--wait']);
    await run(['cancel', number, '--cause', 'LAPSE', '--by', 'billing', '--wait']);
    const history = async () => {
      const { kept } = await json<Shown>(['show', number]);
      return kept?.commands.map(({ command, by, cause, confirmed_at }) => [command, by, cause, confirmed_at !== null]);
    };
    const expected = [
      ['cancel', 'billing', 'LAPSE', true],
      ['amend', null, null, true],
      ['approve', 'underwriting', null, true],
      ['open', null, null, true],
    ];
    await until(async () => JSON.stringify(await history()) === JSON.stringify(expected));
    const { stdout } = await run(['show', number]);
    assert.match(stdout, /approve +underwriting +2 +policy_state: POLICY_STATE_ISSUING → POLICY_STATE_APPROVED/);
    assert.match(stdout, /address: ••• → •••/);
    assert.ok(!stdout.includes('somewhere else'));
  });
});

describe('messages as commands', { concurrency: 2 }, () => {
  it('answer, and change what WeChat Pay holds', async () => {
    const number = await opened();
    const held = () => wechatpay.policy(number);
    await json(['approve', number, '--policy-code', 'C1', '--event-id', 'e1', '--wait']);
    const again = await json(['approve', number, '--policy-code', 'C1', '--event-id', 'e1']);
    assert.deepEqual(again, { mchid: MCHID, out_insurance_no: number, revision: 2, outcome: 'accepted' });
    await json(['amend', number, 'plan_id=4711', 'car_number=京A·12345', '--wait']);
    assert.deepEqual([(await held())?.plan_id, (await held())?.car_number], [4711, '京A·12345']);
    await json(['cancel', number, '--at', '2099-01-01T00:00:00+08:00', '--cause', 'LAPSE']);
    await json(['withdraw', number]);
    const sent = await run(['cancel', number, '--signal', '--reason', 'asked for']);
    assert.equal(sent.stdout, `${MCHID}/${number}: signal sent\n`);
    await until(async () => (await held())?.policy_state === 'POLICY_STATE_INACTIVE');
    await json(['reinstate', number, '--reason', 'paid', '--wait']);
    assert.equal((await held())?.policy_state, 'POLICY_STATE_APPROVED');
    assert.equal((await run(['verify', number])).stdout, `${MCHID}/${number}: nothing differs\n`);
  });

  it('verify ends with exit code 4 when WeChat Pay holds otherwise', async () => {
    const settings = { verification: { on_drift: 'report' as const } };
    const number = await opened({ policy_state: 'POLICY_STATE_APPROVED' }, settings);
    const change = { method: 'PATCH', body: JSON.stringify({ plan_id: 1 }) };
    await fetch(`${stage.sandboxUrl}/_sandbox/policies/${number}`, change);
    const { code, stdout } = await run(['verify', number, '--json']);
    assert.equal(code, 4);
    assert.deepEqual(JSON.parse(stdout).differences, [{ field: 'plan_id', ours: SEED.plan_id, theirs: 1 }]);
  });

  it('audit ends with exit code 3 when MongoDB is out of reach', async () => {
    const env = { ...stage.env, MONGODB_URI: 'mongodb://127.0.0.1:9/none?serverSelectionTimeoutMS=500' };
    const { code, stdout } = await line.run(['audit', '--json'], env);
    assert.deepEqual([code, JSON.parse(stdout).error.name], [3, 'StorageUnavailable']);
  });

  it('that are refused end with exit code 1 and the rule', async () => {
    const number = await opened({ policy_state: 'POLICY_STATE_APPROVED' });
    const { code, stdout, stderr } = await run(['decline', number, '--reason', 'too late', '--json']);
    assert.equal(code, 1);
    assert.match(stderr, /^policy-sync: decline: expected a policy that is ISSUING, found APPROVED\n$/);
    const { error } = JSON.parse(stdout);
    assert.deepEqual([error.name, error.rule], ['PolicyRefused', 'illegal-transition']);
  });

  it('about a policy that nobody knows say so', async () => {
    for (const words of [
      ['show', 'Nobody1'],
      ['approve', 'Nobody1', '--policy-code', 'C'],
      ['cancel', 'Nobody1', '--signal'],
    ]) {
      const { code, stderr } = await run(words);
      assert.equal(code, 1);
      assert.match(stderr, /^policy-sync: 1900000001\/Nobody1: no such policy[^\n]+\n$/);
    }
  });
});

describe('open', () => {
  it('takes records a line each; one that is refused is named by its line and keeps no other from being opened', async () => {
    const numbers = [uniqueNumber(), uniqueNumber(), uniqueNumber()];
    const lines = numbers.map((out_insurance_no, at) => {
      return JSON.stringify(recordOf({ out_insurance_no, ...(at === 1 && { plan_id: -1 }) }));
    });
    const { code, stdout, stderr } = await run(['open', '-'], lines.join('\n'));
    assert.equal(code, 1);
    assert.equal(stdout.trim().split('\n').length, 2);
    assert.match(stderr, /standard input, line 2: policy\.plan_id/);
    assert.match(stderr, /^policy-sync: 2 of 3 records are open$/m);
    assert.deepEqual(
      stdout.match(/T[0-9A-Z]{10,}/g),
      numbers.filter((_number, at) => at !== 1),
    );
    assertNothingPersonal(stdout + stderr);
  });

  it('names the line of a record that is no JSON once', async () => {
    const line = JSON.stringify(recordOf({ out_insurance_no: uniqueNumber() }));
    const { code, stderr } = await run(['open', '-'], `${line}\n{"mchid"`);
    assert.equal(code, 1);
    assert.match(stderr, /^policy-sync: standard input, line 2: expected JSON, found its beginning only/m);
  });

  it('that waits in vain says that no worker serves the merchant', async () => {
    const record = { ...recordOf({ out_insurance_no: uniqueNumber() }), mchid: '1900000009' };
    const { code, stderr } = await run(['open', '-', '--wait', '--timeout', '2s'], JSON.stringify(record));
    assert.equal(code, 1);
    assert.match(stderr, /^policy-sync: warning: no worker serves merchant 1900000009/m);
  });
});

describe('show', { concurrency: 2 }, () => {
  it('tells the pending call: its attempt, why the last one failed, when the next comes', async () => {
    const number = await opened({ policy_state: 'POLICY_STATE_APPROVED' });
    const match = { method: 'PATCH', out_insurance_no: number };
    const faults = [{ match, do: { status: 429, code: 'FREQUENCY_LIMITED', retry_after: 600 } }];
    await fetch(`${stage.sandboxUrl}/_sandbox/faults`, { method: 'PUT', body: JSON.stringify(faults) });
    await json(['amend', number, 'plan_id=2']);
    const pending = async () => (await json<Shown>(['show', number])).workflow?.pending ?? [];
    await until(async () => (await pending())[0]?.attempt === 2);
    const [call] = await pending();
    assert.equal(call?.activity, 'push');
    assert.match(String(call?.last_failure), /FREQUENCY_LIMITED/);
    const wait = Date.parse(String(call?.next_attempt_at)) - Date.now();
    assert.ok(wait > 500_000 && wait <= 720_000, String(wait));
    await fetch(`${stage.sandboxUrl}/_sandbox/faults`, { method: 'PUT', body: '[]' });
  });

  it('says which source failed, too, where no other knows the policy', async () => {
    const env = { ...stage.env, MONGODB_URI: 'mongodb://127.0.0.1:9/none?serverSelectionTimeoutMS=500' };
    const unknown = await line.run(['show', uniqueNumber()], env);
    assert.equal(unknown.code, 3);
    assert.match(
      unknown.stderr,
      /no such policy is known to Temporal[^\n]*\n[^\n]*MongoDB at 127\.0\.0\.1:9 is not available/,
    );
    const unset = await line.run(['show', uniqueNumber()], { ...stage.env, MONGODB_URI: '' });
    assert.match(unset.stderr, /MongoDB was not asked: MONGODB_URI is not set\n/);
  });

  it('tells what MongoDB knows while Temporal is away', async () => {
    const number = await opened({ policy_state: APPROVED });
    const env = { ...stage.env, TEMPORAL_ADDRESS: '127.0.0.1:9' };
    const { code, stdout, stderr } = await line.run(['show', number, '--json', '--timeout', '1s'], env);
    assert.equal(code, 0);
    assert.match(stderr, /^policy-sync: the Temporal server at 127\.0\.0\.1:9 does not answer[^\n]+\n$/);
    const { workflow, status, kept } = JSON.parse(stdout) as Shown;
    assert.deepEqual([workflow, status, kept?.document.policy_state], [null, null, APPROVED]);
  });

  it('tells of a policy that has ended', async () => {
    const number = await opened();
    await json(['decline', number, '--reason', 'too risky', '--wait']);
    await until(async () => (await json<Shown>(['show', number])).workflow?.status === 'COMPLETED');
    const { stdout } = await run(['show', number]);
    for (const said of ['DECLINED', 'COMPLETED']) assert.ok(stdout.includes(said), stdout);
  });
});

describe('--wait', () => {
  it('goes on past a field that is left different, and says what WeChat Pay holds otherwise', async () => {
    const number = uniqueNumber();
    const record = recordOf({ out_insurance_no: number, policy_state: 'POLICY_STATE_APPROVED' }, { adopt: 'report' });
    await wechatpay.put(number, { ...record.policy, address: 'elsewhere' });
    const otherwise = /accepted, revision \d, WeChat Pay holds otherwise in address \(DIVERGED\)\n$/;
    const open = await run(['open', '-', '--wait'], JSON.stringify(record));
    assert.match(open.stdout, otherwise);
    const faults = [{ match: { method: 'PATCH', out_insurance_no: number }, do: { delay_ms: 1_500 } }];
    await fetch(`${stage.sandboxUrl}/_sandbox/faults`, { method: 'PUT', body: JSON.stringify(faults) });
    const amend = await run(['amend', number, 'coverage_detail=more', '--wait']);
    assert.deepEqual([amend.code, amend.stderr], [0, '']);
    assert.match(amend.stdout, otherwise);
    assert.equal((await wechatpay.policy(number))?.coverage_detail, 'more');
  });
});

listedPolicies(on);
