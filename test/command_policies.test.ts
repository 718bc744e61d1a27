import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { waitSynced } from '../client/wait.ts';
import { makeKey, parseKeys } from '../codec/keys.ts';
import type { Shown } from '../command/show_text.ts';
import { WechatPay } from '../command/story/wechatpay.ts';
import { sameValue } from '../policy/difference.ts';
import type { RecordInput } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { connect, type Storage } from '../storage/connection.ts';
import type { FindingKind } from '../storage/documents.ts';
import { keepFindings } from '../storage/findings.ts';
import { clearHold, writeHold } from '../storage/holds.ts';
import { until } from './client_namespace.ts';
import { type Stage, setStage } from './client_stage.ts';
import { CommandLine, type Ran } from './command_process.ts';
import { MCHID, recordOf, SEED, uniqueNumber } from './fixtures.ts';

let stage: Stage;
let wechatpay: WechatPay;
const line = new CommandLine();

before(async () => {
  stage = await setStage();
  wechatpay = new WechatPay(stage.sandboxUrl);
});
after(async () => {
  line.end();
  await stage?.stop();
});

const run = (words: string[], input?: string): Promise<Ran> => line.run(words, stage.env, input);

/** The one JSON line that a command wrote. */
async function json<T = Record<string, unknown>>(words: string[], input?: string): Promise<T> {
  const { code, stdout, stderr } = await run([...words, '--json'], input);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^[^\n]+\n$/);
  return JSON.parse(stdout);
}

const PERSONAL = ['张三', SEED.car_number, SEED.pet_name, SEED.address, SEED.coverage_detail];

function assertNothingPersonal(text: string): void {
  for (const value of PERSONAL) assert.ok(!text.includes(value), value);
}

/** A record that WeChat Pay has already, opened and confirmed. */
async function opened(
  changes: Partial<RecordInput['policy']> = {},
  settings: Partial<RecordInput> = {},
): Promise<string> {
  const record = recordOf({ out_insurance_no: uniqueNumber(), ...changes }, settings);
  const number = record.policy.out_insurance_no;
  await wechatpay.put(number, record.policy);
  const { revision } = await stage.client.openPolicy(record);
  await waitSynced(stage.client, { mchid: MCHID, out_insurance_no: number }, revision);
  return number;
}

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

describe('list', () => {
  it('finds policies by state, sync, type, end of cover, and what asks for a person', async () => {
    const car = await opened({ policy_type: 'POLICY_TYPE_CAR', policy_state: 'POLICY_STATE_APPROVED' });
    const pet = await opened({ policy_type: 'POLICY_TYPE_PET' });
    const found = async (...words: string[]): Promise<string[]> => {
      const { code, stdout, stderr } = await run(['list', '--json', ...words]);
      assert.equal(code, 0, stderr);
      return stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line).out_insurance_no);
    };
    // Visibility follows the workflow within a second or so.
    await until(async () => (await found('--type', 'POLICY_TYPE_CAR', '--sync', 'SYNCED')).join() === car);
    await until(async () => (await found('--type', 'POLICY_TYPE_PET', '--state', 'ISSUING')).join() === pet);
    assert.deepEqual(await found('--type', 'POLICY_TYPE_PET', '--state', 'APPROVED'), []);
    assert.deepEqual(await found('--type', 'POLICY_TYPE_CAR', '--expires-before', '2020-01-01T00:00:00Z'), []);
    assert.deepEqual(await found('--type', 'POLICY_TYPE_CAR', '--expires-before', '2099-01-01T00:00:00Z'), [car]);
    assert.deepEqual(await found('--type', 'POLICY_TYPE_CAR', '--attention'), []);
    await wechatpay.change(car, { policy_state: 'POLICY_STATE_INACTIVE' });
    await run(['verify', car]);
    await until(async () => (await found('--type', 'POLICY_TYPE_CAR', '--attention')).join() === car);
    const { stdout } = await run(['list', '--limit', '3']);
    assert.match(stdout, /^MERCHANT +NUMBER +STATE +SYNC +TYPE +EXPIRES\n(\S+ +\S+ .*\n){3}$/);
    assertNothingPersonal(stdout);
  });
});

describe('list --attention', () => {
  const numbersIn = (stdout: string): (string | null)[] =>
    stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line).out_insurance_no);

  let storage: Storage;
  before(async () => {
    storage = await connect(String(stage.env.MONGODB_URI), { keyring: parseKeys(stage.env.POLICY_SYNC_KEYS) });
  });
  after(() => storage?.close());

  it('puts held merchants and findings first, however many policies are out of step, and says what was cut', async () => {
    const diverged = [await opened({ policy_state: APPROVED }), await opened({ policy_state: APPROVED })];
    for (const number of diverged) {
      await wechatpay.change(number, { policy_state: INACTIVE });
      await run(['verify', number]);
    }
    const [stuck = ''] = diverged;
    const hold = { code: 'SIGN_ERROR', status: 401, request_id: null, message: 'check the key', since: new Date() };
    await writeHold(storage, { _id: '1900000042', ...hold, probed_at: new Date(), held_by: 'another process' });
    const found = (kind: FindingKind, mchid: string, out_insurance_no: string | null) => ({
      ...{ kind, mchid, out_insurance_no, reason: 'for a test' },
    });
    const findings = [
      found('no-workflow', MCHID, 'Gone1'),
      found('not-served', '1900000043', null),
      found('stuck', MCHID, stuck),
    ];
    await keepFindings(storage, findings, new Date());
    // Visibility follows the workflow within a second or so.
    await until(async () => {
      const { stdout } = await run(['list', '--attention', '--json']);
      return diverged.every((number) => numbersIn(stdout).includes(number));
    });

    const { stdout, stderr } = await run(['list', '--attention', '--json', '--limit', '1']);
    const rows = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      rows.slice(0, 3).map(({ mchid, attention }) => [mchid, attention.join().split(':')[0].slice(0, 13)]),
      [
        ['1900000042', 'merchant held'],
        ['1900000043', 'not-served'],
        [MCHID, 'no-workflow'],
      ],
    );
    assert.equal(rows.length, 4);
    assert.match(stderr, /^policy-sync: there are more than --limit 1 lets through[^\n]+\n$/);

    const all = await run(['list', '--attention']);
    assert.equal(all.stderr, '');
    assert.match(all.stdout, new RegExp(`${stuck} +APPROVED +DIVERGED +stuck +for a test +\\S+\\+08:00`));
    assert.equal(all.stdout.split(stuck).length, 2);
    await keepFindings(storage, [], new Date());
    await clearHold(storage, { _id: '1900000042' });
  });

  it('says by a code, a reason and a time in +08:00 why each policy is in it, without a personal value', async () => {
    const faults = (...rules: object[]) =>
      fetch(`${stage.sandboxUrl}/_sandbox/faults`, { method: 'PUT', body: JSON.stringify(rules) });
    const onPatch = (out_insurance_no: string, wrong: object) => ({
      match: { method: 'PATCH', out_insurance_no },
      do: wrong,
    });
    const began = Date.now();
    const blocked = await opened();
    const retried = await opened({}, { retry_alert_after: '1s' });
    const differing = await opened({ policy_state: APPROVED });
    const marked = await opened();
    await faults(
      onPatch(blocked, { status: 400, code: 'PARAM_ERROR', message: `参数错误：${SEED.address}` }),
      onPatch(retried, { status: 429, code: 'FREQUENCY_LIMIT_EXCEED' }),
    );
    for (const number of [blocked, retried]) await run(['amend', number, 'coverage_detail=more']);
    await wechatpay.change(differing, { policy_state: INACTIVE });
    await run(['verify', differing]);
    const _id = `${MCHID}/${marked}`;
    await until(async () => (await storage.policies.findOne({ _id }))?.sync === 'SYNCED');
    await storage.policies.updateOne({ _id }, { $set: { attention: ['issuing-past-expiry'] } });
    const rowsNow = async () => {
      const { stdout } = await run(['list', '--attention', '--json']);
      const rows = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      return [blocked, retried, differing, marked].map((number) => rows.find((row) => row.out_insurance_no === number));
    };
    // Visibility and records follow the workflow within a second or so.
    await until(async () => (await rowsNow()).every((row) => row?.code && row.since));
    const rows = await rowsNow();
    assert.deepEqual(
      rows.map(({ code, reason }) => [code, reason.replace(/：.*/, '')]),
      [
        ['PARAM_ERROR', '参数错误'],
        ['FREQUENCY_LIMIT_EXCEED', 'PATCH no-effect, HTTP 429'],
        ['DIVERGED', 'WeChat Pay holds otherwise: policy_state'],
        ['issuing-past-expiry', 'ISSUING though its cover has ended'],
      ],
    );
    for (const { since, code } of rows) {
      assert.match(since, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+08:00$/);
      if (code !== 'issuing-past-expiry')
        assert.ok(Date.parse(since) >= began - 1_000 && Date.parse(since) <= Date.now(), since);
    }
    const { stdout } = await run(['list', '--attention']);
    assert.match(stdout, /^MERCHANT +NUMBER +STATE +SYNC +CODE +REASON +SINCE +ATTENTION\n/);
    assert.match(
      stdout,
      new RegExp(`${retried} +ISSUING +RETRYING +FREQUENCY_LIMIT_EXCEED +PATCH no-effect, HTTP 429 +\\S+\\+08:00`),
    );
    assertNothingPersonal(stdout + JSON.stringify(rows));
    await faults();
    for (const number of [blocked, retried]) await run(['resume', number]);
    await run(['accept', differing]);
  });

  it('with --sync has marked policies of that sync only', async () => {
    const number = await opened({ policy_state: APPROVED });
    const _id = `${MCHID}/${number}`;
    await until(async () => (await storage.policies.findOne({ _id }))?.sync === 'SYNCED');
    await storage.policies.updateOne({ _id }, { $set: { attention: ['contested:address'] } });
    const listed = async (sync: string) =>
      numbersIn((await run(['list', '--attention', '--json', '--sync', sync])).stdout);
    assert.ok((await listed('SYNCED')).includes(number));
    assert.ok(!(await listed('DIVERGED')).includes(number));
  });

  it('says of a plain list, too, that it was cut', async () => {
    await opened();
    await until(async () => numbersIn((await run(['list', '--json'])).stdout).length > 1);
    for (const words of [['--json'], []]) {
      const { stdout, stderr } = await run(['list', '--limit', '1', ...words]);
      assert.equal(stdout.trim().split('\n').length, words.length === 1 ? 1 : 2);
      assert.match(stderr, /^policy-sync: there are more than --limit 1 [^\n]+\n$/);
    }
  });
});
