import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { parseKeys } from '../codec/keys.ts';
import type { WechatPay } from '../command/story/wechatpay.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { connect, type Storage } from '../storage/connection.ts';
import type { FindingKind } from '../storage/documents.ts';
import { keepFindings } from '../storage/findings.ts';
import { clearHold, writeHold } from '../storage/holds.ts';
import { until } from './client_namespace.ts';
import type { Stage } from './client_stage.ts';
import { assertNothingPersonal, type PolicyCommands } from './command_policies_fixture.ts';
import { MCHID, SEED } from './fixtures.ts';

/** What `list` shows, and what it asks a person for. */
export function listedPolicies(on: PolicyCommands): void {
  const { run, opened } = on;
  let stage: Stage;
  let wechatpay: WechatPay;
  before(async () => {
    ({ stage, wechatpay } = await on.ready());
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
        return [blocked, retried, differing, marked].map((number) =>
          rows.find((row) => row.out_insurance_no === number),
        );
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
}
