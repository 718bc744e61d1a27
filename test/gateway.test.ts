import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { WechatPay } from '../command/story/wechatpay.ts';
import { findOnPath } from '../embedded/path.mjs';
import { COMMAND_SCHEMAS } from '../policy/commands.ts';
import { until } from './client_namespace.ts';
import { assertNothingPersonal } from './command_policies_fixture.ts';
import { MCHID, recordOf, SEED, uniqueNumber } from './fixtures.ts';
import { gatewayStage } from './gateway_fixture.ts';
import { servedGateway } from './gateway_serve.ts';

const on = gatewayStage();
const { asked, known, lines } = on;
let wechatpay: WechatPay;
before(async () => {
  ({ wechatpay } = await on.ready());
});

/** An amendment as a system writes it whose charset is GBK: 上海. */
const GBK = Buffer.concat([Buffer.from('{"address":"'), Buffer.from([0xc9, 0xcf, 0xba, 0xa3]), Buffer.from('"}')]);

describe('the gateway', { concurrency: 2 }, () => {
  it('carries a policy through its whole life', async () => {
    const { record, number, path } = await known();
    const opened = await asked(`PUT ${path}?wait=60s`, { body: record });
    assert.equal(opened.status, 201, opened.text);
    assert.deepEqual([opened.body.revision, opened.body.outcome, opened.body.status.sync], [1, 'accepted', 'SYNCED']);
    const send = async (message: string, body?: object) => {
      const answer = await asked(`POST ${path}/${message}`, { body });
      assert.equal(answer.status, 200, answer.text);
      return answer.body;
    };
    const approved = await send('approve?wait=60s', { policy_code: 'C1' });
    assert.deepEqual([approved.revision, approved.status.state, approved.status.synced_revision], [2, 'APPROVED', 2]);
    await send('amend?wait=60s', { plan_id: 4711, car_number: '京A·12345' });
    const held = await wechatpay.policy(number);
    assert.deepEqual([held?.plan_id, held?.car_number], [4711, '京A·12345']);
    await send('cancel', { cause: 'LAPSE', at: '2099-01-01T00:00:00+08:00' });
    await send('withdraw');
    await send('hold', { reason: 'an incident' });
    const waiting = await asked(`POST ${path}/amend?wait=5s`, { body: { plan_id: 4712 } });
    assert.deepEqual([waiting.status, waiting.body.not_synced.reason], [202, 'HELD']);
    assert.equal((await asked(`POST ${path}/verify`)).body.rule, 'held');
    await send('unhold?wait=60s');
    assert.equal((await wechatpay.policy(number))?.plan_id, 4712);
    await send('observe', { on: true });
    await send('observe', { on: false });
    await send('renew?wait=60s', { expired_time: '2098-01-01T00:00:00+08:00' });
    assert.deepEqual((await send('verify')).differences, []);
    await send('resume');
    await send('cancel?wait=60s');
    assert.equal((await wechatpay.policy(number))?.policy_state, 'POLICY_STATE_INACTIVE');
    await send('reinstate?wait=60s', { reason: 'paid' });
    assert.equal((await wechatpay.policy(number))?.policy_state, 'POLICY_STATE_APPROVED');

    const commands = async () => (await asked(`GET ${path}/changes`)).body.changes;
    await until(async () => (await commands())[0]?.confirmed_at !== null);
    const told = (await commands()).map(({ command, by }: Record<string, unknown>) => [command, by]);
    assert.deepEqual(told.at(-2), ['approve', 'core']);
    assert.deepEqual(told[0], ['reinstate', 'core']);
    const { calls } = (await asked(`GET ${path}/calls?limit=200`)).body;
    assert.ok(calls.some(({ method, status }: Record<string, unknown>) => method === 'PATCH' && status === 200));
    const plan = (await asked(`GET ${path}/plan`)).body;
    assert.deepEqual([plan.outlook, plan.fields], ['identical', []]);
  });

  it('does what the shell lines of its page say', {
    skip: findOnPath('curl') ? false : 'there is no curl',
  }, async () => {
    const { gateway, token, stage } = await on.ready();
    const text = await readFile(new URL('../docs/gateway.md', import.meta.url), 'utf8');
    const blocks = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block);
    const lines = blocks.filter((block) => block.includes('curl')).join('');
    assert.ok(lines.split('curl').length > 10, lines);
    const { record } = await known({ out_insurance_no: 'A20260101000001' });
    await writeFile(join(stage.directory, 'policy.json'), JSON.stringify(record));
    const script = `set -e; curl() { command curl -sS -f "$@" > answer.json; }\n${lines}`;
    await promisify(execFile)('bash', ['-c', script.replaceAll('http://127.0.0.1:8080', gateway.url)], {
      cwd: stage.directory,
      env: { ...process.env, TOKEN: token },
    });
    const held = await wechatpay.policy('A20260101000001');
    assert.deepEqual([held?.policy_state, held?.car_number], ['POLICY_STATE_INACTIVE', '京A·12345']);
  });

  it('takes every message that the engine knows', async () => {
    for (const name of [...Object.keys(COMMAND_SCHEMAS), 'verify', 'accept', 'resume']) {
      const { status, body } = await asked(`POST /policies/${MCHID}/Nobody1/${name}`, { body: { unknown_name: 1 } });
      assert.ok([404, 422].includes(status), `${name}: ${status}`);
      assert.ok(['unknown-policy', 'unknown-field', 'type', 'reason', 'format'].includes(body.rule), body.rule);
    }
  });

  it('opens a record once: 201, then 200, and another record is a problem of the rule `exists`', async () => {
    const { record, path } = await known();
    const { mchid: _of_path, policy, ...rest } = record;
    const { out_insurance_no: _too, ...fields } = policy;
    assert.equal((await asked(`PUT ${path}`, { body: { ...rest, policy: fields } })).status, 201);
    const again = await asked(`PUT ${path}`, { body: record });
    assert.deepEqual([again.status, again.body.revision, again.body.warnings], [200, 1, []]);
    const other = { ...record, policy: { ...policy, plan_id: 1 } };
    const refused = await asked(`PUT ${path}`, { body: other });
    assert.deepEqual([refused.status, refused.body.rule, refused.body.status], [409, 'exists', 409]);
    assert.equal(refused.headers.get('content-type'), 'application/problem+json');
    const strange = await asked(`PUT /policies/${MCHID}/${uniqueNumber()}`, { body: record });
    assert.deepEqual([strange.status, strange.body.rule], [409, 'path']);
  });

  it('does a message once by its Idempotency-Key, which is its event_id', async () => {
    const { record, path } = await known();
    await asked(`PUT ${path}`, { body: record });
    const headers = { 'idempotency-key': 'issue-1' };
    const first = await asked(`POST ${path}/approve`, { body: { policy_code: 'C1' }, headers });
    const again = await asked(`POST ${path}/approve`, { body: { policy_code: 'C1', event_id: 'issue-1' } });
    assert.deepEqual([first.body, again.body.outcome], [again.body, 'accepted']);
    const other = await asked(`POST ${path}/amend`, { body: { plan_id: 4711 }, headers });
    assert.deepEqual([other.status, other.body], [200, first.body], 'the key of another message');
    assert.notEqual((await asked(`GET ${path}`)).body.kept.desired.plan_id, 4711);
    const two = await asked(`POST ${path}/approve`, { body: { policy_code: 'C1', event_id: 'issue-2' }, headers });
    assert.deepEqual([two.status, two.body.rule], [422, 'idempotency-key']);
  });

  it('answers a problem for each way to be wrong', async () => {
    const { record, path } = await known();
    await asked(`PUT ${path}`, { body: record });
    const at = (number: string) => `/policies/${MCHID}/${number}`;
    const wrong: [string, unknown, number, string][] = [
      [`PUT ${at('A1')}`, '{"mchid', 400, 'json'],
      [`PUT ${at('A1')}`, '[]', 422, 'type'],
      [`PUT ${at('A1')}`, 'null', 422, 'type'],
      [`PUT ${at('A1')}`, { policy: { ...record.policy, out_insurance_no: undefined, plan_id: -1 } }, 422, 'too-short'],
      [`PUT ${at('A!')}`, record, 400, 'request'],
      [`GET /policies/1/${record.policy.out_insurance_no}`, undefined, 400, 'request'],
      ['GET /policies?limit=0', undefined, 400, 'request'],
      ['GET /policies?no_such=1', undefined, 400, 'request'],
      ['GET /policies?cursor=1', undefined, 400, 'request'],
      [`POST ${path}/approve`, {}, 422, 'type'],
      [`POST ${path}/approve`, { policy_code: 'C', by: 7 }, 422, 'type'],
      [`POST ${path}/approve?wait=1h`, { policy_code: 'C' }, 400, 'request'],
      [`POST ${path}/reinstate`, { reason: 'r' }, 409, 'illegal-transition'],
      [`POST ${at('Nobody1')}/withdraw`, undefined, 404, 'unknown-policy'],
      [`GET ${at('Nobody1')}`, undefined, 404, 'unknown-policy'],
      [`GET ${at('Nobody1')}/calls`, undefined, 404, 'unknown-policy'],
      [`GET ${path}/nothing`, undefined, 404, 'not-found'],
      [`DELETE ${path}`, undefined, 405, 'method'],
      ['GET /%zz', undefined, 400, 'request'],
      ['GET /docs/static/%2e%2e/%2e%2e/package.json', undefined, 404, 'not-found'],
      [`POST ${path}/amend`, GBK, 400, 'json'],
      [`POST ${path}/amend`, Buffer.from([0xef, 0xbb, 0xbf, 0x5b]), 400, 'json'],
      [`POST ${path}/amend`, { coverage_detail: 'x'.repeat(140_000) }, 413, 'body'],
    ];
    for (const [words, body, status, rule] of wrong) {
      const answer = await asked(words, { body });
      assert.deepEqual([answer.status, answer.body?.rule], [status, rule], `${words}: ${answer.text}`);
      assert.equal(answer.headers.get('content-type'), 'application/problem+json', words);
      assert.deepEqual([answer.body.status, answer.body.type], [status, `urn:policy-sync:problem:${rule}`]);
      assert.ok(!answer.text.includes('\\n'), answer.text);
    }
    for (const type of ['text/plain', 'application/json; charset=gbk', 'application/json; charset="GB18030"']) {
      const media = await asked(`POST ${path}/amend`, { body: GBK, headers: { 'content-type': type } });
      assert.deepEqual([media.status, media.body.rule], [415, 'media'], type);
    }
    for (const charset of ['utf-8', 'UTF8', '"utf-8"']) {
      const headers = { 'content-type': `application/json; charset=${charset}` };
      const body = JSON.stringify({ address: '上海' });
      assert.equal((await asked(`POST ${path}/amend`, { body, headers })).status, 200, charset);
    }
    const { violations } = (await asked(`POST ${path}/approve`, { body: { effective_time: 'soon' } })).body;
    assert.deepEqual(violations.map(({ field }: { field: string }) => field).sort(), ['effective_time', 'policy_code']);
    assert.equal((await asked(`DELETE ${path}`)).headers.get('allow'), 'GET, PUT');
  });

  it('shows personal values masked, in the clear when asked to, and then notes who saw them', async () => {
    const { record, path } = await known();
    await asked(`PUT ${path}?wait=60s`, { body: record });
    await asked(`POST ${path}/amend?wait=60s`, { body: { address: 'somewhere else', by: 'anna' } });
    for (const words of [`GET ${path}`, `GET ${path}/changes`, `POST ${path}/verify`, `GET ${path}/plan`]) {
      const { text } = await asked(words);
      assertNothingPersonal(text);
      assert.ok(!text.includes('somewhere else'), words);
    }
    const shown = (await asked(`GET ${path}?reveal=true`)).body;
    assert.deepEqual([shown.kept.desired.address, shown.kept.remote.pet_name], ['somewhere else', SEED.pet_name]);
    assert.deepEqual([shown.status.sync, shown.workflow.status, shown.notes], ['SYNCED', 'RUNNING', []]);
    const { changes } = (await asked(`GET ${path}/changes`)).body;
    assert.deepEqual(
      changes.map(({ command, by }: Record<string, unknown>) => [command, by]),
      [
        ['reveal', 'core'],
        ['amend', 'core: anna'],
        ['open', 'core'],
      ],
    );
  });

  it('names the fields in which WeChat Pay holds otherwise, and why a policy asks for a person', async () => {
    const { record, path, number } = await known(
      { policy_state: 'POLICY_STATE_APPROVED' },
      { verification: { on_drift: 'report' } },
    );
    await asked(`PUT ${path}?wait=60s`, { body: record });
    await wechatpay.change(number, { plan_id: 1, address: 'elsewhere' });
    const verified = (await asked(`POST ${path}/verify`)).body.differences;
    assert.deepEqual(
      verified.find(({ field }: { field: string }) => field === 'plan_id'),
      { field: 'plan_id', ours: SEED.plan_id, theirs: 1 },
    );
    await until(async () => (await asked(`GET ${path}`)).body.kept.document.sync === 'DIVERGED');
    const { kept } = (await asked(`GET ${path}`)).body;
    assert.deepEqual([...kept.differing].sort(), ['address', 'plan_id']);
    const listed = (await asked(`GET /policies?attention=true&mchid=${MCHID}&sync=DIVERGED`)).body.policies;
    const row = listed.find((one: Record<string, unknown>) => one.out_insurance_no === number);
    assert.deepEqual([row.code, row.state], ['DIVERGED', 'APPROVED']);
    assert.match(row.reason, /WeChat Pay holds otherwise: .*plan_id/);
    assert.match(row.since, /^\d{4}-.*\+08:00$/);
    assert.equal((await asked(`POST ${path}/accept?wait=60s`)).status, 200);
  });

  it('lists policies a page at a time, filtered, and counts them', async () => {
    const mchid = '1900000077';
    const numbers = [1, 2, 3].map((n) => `P${n}${uniqueNumber()}`);
    for (const [at, out_insurance_no] of numbers.entries()) {
      const policy_type = at === 2 ? ('POLICY_TYPE_LIFE' as const) : SEED.policy_type;
      const record = recordOf({ out_insurance_no, policy_type }, { mchid });
      assert.equal((await asked(`PUT /policies/${mchid}/${out_insurance_no}`, { body: record })).status, 201);
    }
    const page = async (query: string) => (await asked(`GET /policies?mchid=${mchid}${query}`)).body;
    await until(async () => (await page('')).policies.length === 3);
    const first = await page('&limit=2');
    const names = ({ policies }: { policies: { out_insurance_no: string }[] }) =>
      policies.map(({ out_insurance_no }) => out_insurance_no);
    assert.deepEqual([names(first), first.next], [numbers.slice(0, 2), `${mchid}/${numbers[1]}`]);
    const second = await page(`&limit=2&cursor=${first.next}`);
    assert.deepEqual([names(second), second.next], [numbers.slice(2), null]);
    assert.deepEqual(names(await page('&type=POLICY_TYPE_LIFE&state=ISSUING&sync=PENDING')), numbers.slice(2));
    assert.deepEqual(names(await page('&expires_before=2020-01-01T00:00:00+08:00')), []);
    assert.deepEqual(names(await page('&attention=true')), []);
    const { counts } = (await asked(`GET /counts?mchid=${mchid}`)).body;
    assert.deepEqual(counts, [{ state: 'ISSUING', sync: 'PENDING', ended: false, policies: 3 }]);
    assert.deepEqual((await asked('GET /attention')).body.findings, []);
    const erased = { end: 'ERASED', sync: 'STOPPED' } as const;
    const { servers } = await on.ready();
    await servers.storage.policies.updateOne({ _id: `${mchid}/${numbers[0]}` }, { $set: erased });
    assert.deepEqual(names(await page('&attention=true')), [], 'one that is erased asks for nobody');
    assert.deepEqual((await page('&sync=STOPPED')).policies[0].code, null);
  });

  it('logs a line a request: the path without the policy, who asked, and nothing that was sent', async () => {
    const { record, path, number } = await known();
    await asked(`PUT ${path}`, { body: record, headers: { 'x-request-id': 'req-4711' } });
    const line = () => lines.find((one) => one.includes('req-4711'));
    await until(async () => line() !== undefined);
    const { level: _level, time: _time, pid: _pid, hostname: _host, ms, ...told } = JSON.parse(line() ?? '');
    const pattern = '/policies/:mchid/:out_insurance_no';
    const expected = { id: 'req-4711', method: 'PUT', path: pattern, status: 201, by: 'core', msg: 'request' };
    assert.deepEqual(told, expected);
    assert.ok(ms >= 0);
    const all = lines.join('');
    assert.ok(!all.includes(number));
    assertNothingPersonal(all);
  });
});

servedGateway(on);
