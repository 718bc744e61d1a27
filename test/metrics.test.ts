import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { freePort } from '../embedded/ports.ts';
import { connect } from '../storage/connection.ts';
import { until } from './client_namespace.ts';
import { type Stage, setStage } from './client_stage.ts';
import { metricsIn, promtool, read } from './deploy_fixture.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';

const [good, bad] = [uniqueNumber('M'), uniqueNumber('M')];
let directory: string;
let stage: Stage;
let mchid: string;
let scraped: string;

const control = (method: string, path: string, body: unknown) =>
  fetch(`${stage.sandboxUrl}/_sandbox/${path}`, {
    method,
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  });

/** The value of the first series whose name and labels begin so. */
function series(start: string): number {
  const line = scraped.split('\n').find((text) => text.startsWith(start));
  assert.ok(line, `${start} is not there:\n${scraped.match(/^policy_sync.*$/gm)?.join('\n')}`);
  return Number(line.slice(line.lastIndexOf(' ')));
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'policy-sync-metrics-'));
  const [port, silent] = [await freePort(), await freePort()];
  // An endpoint that nobody serves: what is told it waits, and is counted.
  await writeFile(join(directory, 'core.secret'), `whsec_${randomBytes(32).toString('base64')}`, { mode: 0o600 });
  const endpoint = { name: 'core', url: `http://127.0.0.1:${silent}/`, secret_files: ['core.secret'] };
  await writeFile(join(directory, 'webhooks.json'), JSON.stringify([endpoint]));
  const POLICY_SYNC_WEBHOOKS = join(directory, 'webhooks.json');
  stage = await setStage({ settings: { POLICY_SYNC_METRICS_PORT: String(port), POLICY_SYNC_WEBHOOKS } });
  mchid = stage.env.POLICY_SYNC_MCHID ?? '';
  const { client } = stage;
  const faults = [
    { match: { out_insurance_no: bad, method: 'PATCH' }, do: { status: 400, code: 'PARAM_ERROR' } },
    { match: { out_insurance_no: good, method: 'GET' }, times: 1, do: { forge: 'signature' } },
  ];
  await control('PUT', 'faults', faults);
  for (const out_insurance_no of [good, bad]) {
    const record = recordOf({ out_insurance_no }, { mchid });
    await control('PUT', `policies/${out_insurance_no}`, record.policy);
    await client.openPolicy(record);
    await client.amend({ mchid, out_insurance_no }, { coverage_detail: '新' });
  }
  const is = (out_insurance_no: string, sync: string) => async () =>
    (await client.status({ mchid, out_insurance_no })).sync === sync;
  await until(is(good, 'SYNCED'));
  await until(is(bad, 'BLOCKED'));
  await control('PATCH', `policies/${good}`, { car_number: '粤B·99999' });
  await client.verify({ mchid, out_insurance_no: good });
  // Policies are counted once a minute: by the first look they are to stand as they will.
  const storage = await connect(stage.env.MONGODB_URI ?? '', { keyring: undefined });
  try {
    await until(async () => (await storage.discrepancies.countDocuments({ became: 'healed' })) === 1);
    await until(async () => (await storage.policies.countDocuments({ sync: 'SYNCED' })) === 1);
  } finally {
    await storage.close();
  }
  scraped = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
});

after(async () => {
  await stage?.stop();
  await rm(directory, { recursive: true, force: true });
});

describe('/metrics of a worker', () => {
  it('tells policies by state and sync, what blocks them, how long changes took, what differed, and answers that nobody signed', () => {
    assert.equal(series('policy_sync_policies{state="ISSUING",sync="BLOCKED"}'), 1);
    assert.equal(series('policy_sync_policies{state="ISSUING",sync="SYNCED"}'), 1);
    assert.equal(series('policy_sync_blocked_policies{code="PARAM_ERROR"}'), 1);
    assert.equal(series('policy_sync_confirmation_seconds_count{command="amend"}'), 1);
    assert.equal(series(`policy_sync_signature_failures_total{mchid="${mchid}",reason="wrong-signature"}`), 1);
    const refused = `policy_sync_calls_total{mchid="${mchid}",method="PATCH",outcome="refused",code="PARAM_ERROR"}`;
    assert.equal(series(refused), 1);
    assert.ok(series(`policy_sync_calls_total{mchid="${mchid}",method="PATCH",outcome="confirmed",code=""}`) > 0);
    for (const server of ['temporal', 'mongodb']) assert.equal(series(`policy_sync_up{server="${server}"}`), 1);
    assert.equal(series('policy_sync_discrepancies_total{field="car_number",kind="drift"}'), 1);
    for (const queue of ['policy-sync', `calls/${mchid}`])
      assert.ok(series(`policy_sync_queue_backlog_tasks{queue="${queue}"}`) >= 0);
    assert.equal(series('policy_sync_oldest_pending_seconds'), 0);
    assert.equal(series('policy_sync_verification_overdue_seconds'), 0);
  });

  it('has what the SDK tells of itself behind it', () => {
    assert.ok(series('temporal_worker_task_slots_available{') > 0);
    assert.ok(series('temporal_request_latency_seconds_count{') > 0);
  });

  it('keeps to the rules of Prometheus', { skip: promtool ? false : 'there is no promtool' }, () => {
    const { status, stdout, stderr } = spawnSync(promtool ?? '', ['check', 'metrics'], { input: scraped });
    assert.equal(status, 0, `${stdout}${stderr}`);
  });

  it('names no policy and no person', () => {
    for (const secret of [good, bad, '张三', '新']) assert.ok(!scraped.includes(secret), secret);
  });

  it('has every metric that dashboard, alerts and pages name', async () => {
    const exposed = new Set([...scraped.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
    const files = [
      'deploy/grafana/policy-sync.json',
      'deploy/prometheus/alerts.yml',
      'docs/runbook.md',
      'docs/operating.md',
    ];
    for (const file of files)
      for (const name of metricsIn(await read(file)))
        assert.ok(exposed.has(name.replace(/_(bucket|sum|count)$/, '')) || exposed.has(name), `${file}: ${name}`);
    const shown = await read('deploy/grafana/policy-sync.json');
    for (const name of exposed)
      if (name?.startsWith('policy_sync_')) assert.ok(shown.includes(name), `no panel shows ${name}`);
  });
});

describe('the log of a worker', () => {
  it('has a line for each call: who, what, and what came of it', async () => {
    const text = await readFile(join(stage.directory, 'worker.log'), 'utf8');
    const lines = text.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line)] : []));
    const calls = lines.filter(({ msg }) => msg === 'WeChat Pay was called');
    const requests = (await (await fetch(`${stage.sandboxUrl}/_sandbox/requests?after=0`)).json()) as {
      path: string;
    }[];
    assert.equal(calls.length, requests.length);
    const refused = calls.find(({ outcome }) => outcome === 'refused');
    const { out_insurance_no, method, status, code, revision } = refused;
    assert.deepEqual([out_insurance_no, method, status, code, revision], [bad, 'PATCH', 400, 'PARAM_ERROR', 2]);
    assert.match(refused.request_id, /./);
  });
});
