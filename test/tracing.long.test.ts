import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { context, propagation, trace } from '@opentelemetry/api';
import { defaultPayloadConverter } from '@temporalio/common';
import { Worker } from '@temporalio/worker';
import { dataConverter } from '../codec/data_converter.ts';
import { parseKeys } from '../codec/keys.ts';
import { WechatPay as AtWechatPay } from '../command/story/wechatpay.ts';
import { freePort } from '../embedded/ports.ts';
import { type Gateway, startGateway } from '../gateway/server.ts';
import { type Servers, serversOf } from '../gateway/servers.ts';
import { workflowIdOf } from '../policy/workflow_id.ts';
import { carrierOfNow, parentIn } from '../tracing/carrier.ts';
import { startExporting } from '../tracing/exporting.ts';
import { spanned } from '../tracing/spans.ts';
import { WechatPay } from '../wechatpay/client.ts';
import { personalValues } from '../wechatpay/redaction.ts';
import { buildWorkflows } from '../worker/bundle.ts';
import { TRACE_HEADER } from '../workflows/messages.ts';
import { until } from './client_namespace.ts';
import { type Stage, setStage } from './client_stage.ts';
import { policySync } from './command_process.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';
import { ask, logOf } from './gateway_fixture.ts';
import './quiet.ts';
import { bundleWithoutTraces, type Collector, type Seen, startCollector } from './tracing_fixture.ts';
import { merchantAt } from './wechatpay_counterpart.ts';

const CALLER = { trace: '0af7651916cd43dd8448eb211c80319c', span: 'b7ad6b7169203331' };
const traceparent = `00-${CALLER.trace}-${CALLER.span}-01`;
const OPENING = { trace: '1bf7651916cd43dd8448eb211c80319c', span: 'c7ad6b7169203331' };
const [SERVER, CLIENT] = [2, 3];

describe('traces', () => {
  let collector: Collector;
  let stage: Stage;
  let servers: Servers;
  let gateway: Gateway;
  let endExporting: () => Promise<void>;
  let settings: NodeJS.ProcessEnv;

  const start = async (): Promise<void> => {
    collector = await startCollector();
    settings = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '50' };
    Object.assign(process.env, settings);
    // This process is the gateway.
    endExporting = startExporting('policy-sync-gateway', () => {});
    for (const name of Object.keys(settings)) delete process.env[name];
    stage = await setStage({ settings });
    servers = await serversOf(stage.env);
    gateway = await startGateway({ servers, log: logOf().log });
  };
  let started: Promise<void> | undefined;
  before(() => {
    started = start();
    return started;
  });
  after(async () => {
    await gateway?.close();
    await servers?.close();
    await stage?.stop();
    await endExporting?.();
    await collector?.stop();
  });

  /** The only span of that name in a trace, once it is there. */
  const seen = async (name: string, trace: string, wanted: (span: Seen) => boolean = () => true): Promise<Seen> => {
    const found = () => collector.spans().filter((span) => span.name === name && span.trace === trace && wanted(span));
    await until(async () => found().length > 0).catch(() => {});
    const [span, ...others] = found();
    assert.equal(others.length, 0, `one ${name}`);
    assert.ok(span, `${name} among ${collector.spans().map((one) => one.name)}`);
    return span;
  };

  /** Opened and amended by way of the gateway, by a caller that traces. */
  const lived = async () => {
    const record = recordOf({ out_insurance_no: uniqueNumber(), policy_state: 'POLICY_STATE_APPROVED' });
    const number = record.policy.out_insurance_no;
    await new AtWechatPay(stage.sandboxUrl).put(number, record.policy);
    const path = `/policies/${MCHID}/${number}`;
    const opening = { traceparent: `00-${OPENING.trace}-${OPENING.span}-01` };
    const opened = await ask(gateway.url, `PUT ${path}?wait=60s`, { body: record, headers: opening });
    assert.equal(opened.status, 201, opened.text);
    const body = { car_number: '京A·12345' };
    const headers = { traceparent, baggage: 'name=Zhang' };
    const amended = await ask(gateway.url, `POST ${path}/amend?wait=60s`, { body, headers });
    assert.equal(amended.status, 200, amended.text);
    return { record, number, body, workflowId: workflowIdOf(MCHID, number) };
  };
  let life: ReturnType<typeof lived> | undefined;
  const aLife = () => {
    life ??= (started ?? Promise.resolve()).then(lived);
    return life;
  };
  const historyOf = (workflowId: string) =>
    servers.client().then(({ temporal }) => temporal.workflow.getHandle(workflowId).fetchHistory());

  it('go from the caller of the gateway through the message and the activity to the call', async () => {
    const { workflowId } = await aLife();
    const request = await seen('POST /policies/:mchid/:out_insurance_no/amend', CALLER.trace);
    assert.deepEqual([request.parent, request.kind, request.service], [CALLER.span, SERVER, 'policy-sync-gateway']);
    assert.equal(Number(request.attributes['http.response.status_code']), 200);
    const message = await seen('policy-sync amend', CALLER.trace);
    assert.deepEqual([message.parent, message.kind], [request.id, CLIENT]);
    assert.equal(message.attributes['temporal.workflow_id'], workflowId);
    assert.equal(message.attributes['policy_sync.outcome'], 'accepted');
    const push = await seen('activity push', CALLER.trace);
    assert.deepEqual([push.parent, push.service], [message.id, 'policy-sync-worker']);
    assert.equal(push.attributes['temporal.workflow_id'], workflowId);
    assert.equal(push.attributes['policy_sync.outcome'], 'confirmed');
    assert.equal(Number(push.attributes['temporal.attempt']), 1);
    assert.ok(push.attributes['policy_sync.request_id']);
    const call = await seen('PATCH', CALLER.trace);
    assert.deepEqual([call.parent, call.kind, call.isFailed], [push.id, CLIENT, false]);
    const { hostname, port } = new URL(stage.sandboxUrl);
    assert.deepEqual(call.attributes, {
      'http.request.method': 'PATCH',
      'http.response.status_code': call.attributes['http.response.status_code'],
      'server.address': hostname,
      'server.port': call.attributes['server.port'],
    });
    assert.equal(Number(call.attributes['server.port']), Number(port));
  });

  it('have what an opening leads to, and leave to a verification a trace of its own', async () => {
    const { workflowId } = await aLife();
    const message = await seen('policy-sync open', OPENING.trace);
    for (const name of ['activity claim', 'activity query'])
      assert.equal((await seen(name, OPENING.trace)).parent, message.id);
    await until(async () => collector.spans().some(({ name }) => name === 'activity verify'));
    for (const span of collector.spans().filter(({ name }) => name === 'activity verify')) {
      assert.deepEqual([span.parent, span.isFailed], [undefined, false]);
      assert.equal(span.attributes['temporal.workflow_id'], workflowId);
    }
  });

  it('name what was refused by its rule, and nothing of it', async () => {
    const { number } = await aLife();
    const refusal = '2bf7651916cd43dd8448eb211c80319c';
    const headers = { traceparent: `00-${refusal}-${CALLER.span}-01` };
    const refused = await ask(gateway.url, `POST /policies/${MCHID}/${number}/approve`, {
      body: { policy_code: 'C9' },
      headers,
    });
    assert.equal(refused.status, 409, refused.text);
    const message = await seen('policy-sync approve', refusal);
    assert.deepEqual([message.isFailed, message.attributes['error.type']], [true, refused.body.rule]);
  });

  it('hold nothing personal', async () => {
    const { record, body } = await aLife();
    await seen('PATCH', CALLER.trace);
    const bytes = collector.bodies.join('\n');
    const personal = [...personalValues(record.policy), ...personalValues(body), 'Zhang'];
    assert.ok(personal.length > 3);
    for (const value of personal) assert.ok(!bytes.includes(value), value);
    assert.ok(!bytes.includes('/v3/'), 'no path of WeChat Pay');
  });

  it('are not told to WeChat Pay', async () => {
    const sent: string[] = [];
    const fetch: typeof globalThis.fetch = async (input) => {
      sent.push(...new Request(input as Request).headers.keys());
      throw new TypeError('no connection');
    };
    const client = new WechatPay(merchantAt('http://127.0.0.1:1'), { fetch });
    await assert.rejects(spanned('a caller', {}, () => client.queryPolicy('N1')));
    assert.ok(sent.includes('authorization'));
    assert.deepEqual(
      sent.filter((name) => /trace|baggage|b3/.test(name)),
      [],
    );
  });

  it('take no baggage along, and begin anew where a header names no span', async () => {
    const baggage = propagation.createBaggage({ name: { value: 'Zhang' } });
    const carried = await context.with(propagation.setBaggage(context.active(), baggage), () =>
      spanned('a caller', {}, async () => carrierOfNow()),
    );
    assert.deepEqual(Object.keys(carried ?? {}), ['traceparent']);
    for (const header of [
      undefined,
      null,
      7,
      'x',
      [],
      { traceparent: 7 },
      { traceparent: 'x' },
      { baggage: 'name=Zhang' },
    ]) {
      const parent = parentIn(header);
      assert.deepEqual([trace.getSpan(parent), propagation.getBaggage(parent)], [undefined, undefined]);
    }
  });

  it('change nothing that a replay sees: a history with them replays on code without, and the other way round', async () => {
    const { workflowId } = await aLife();
    const number = uniqueNumber();
    // By a program that does not trace.
    const record = recordOf({ out_insurance_no: number, policy_state: 'POLICY_STATE_APPROVED' });
    await new AtWechatPay(stage.sandboxUrl).put(number, record.policy);
    const silent = { ...stage.env, OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
    const opened = await policySync(['open', '-', '--wait'], silent, JSON.stringify(record));
    assert.equal(opened.code, 0, opened.stderr);
    assert.ok(!collector.spans().some(({ service }) => service === 'policy-sync'), 'none is sent where traces are off');
    const converter = dataConverter(parseKeys(stage.env.POLICY_SYNC_KEYS), { allowPlain: false });
    const codes = [(await buildWorkflows(true)).bundle, await bundleWithoutTraces()];
    for (const [id, isTraced] of [
      [workflowId, true],
      [workflowIdOf(MCHID, number), false],
    ] as const) {
      const history = await historyOf(id);
      const carried = (history.events ?? []).flatMap((event) => {
        const { header } = event.activityTaskScheduledEventAttributes ?? {};
        const payload = header?.fields?.[TRACE_HEADER];
        return payload ? [defaultPayloadConverter.fromPayload<object>(payload)] : [];
      });
      assert.equal(carried.length > 0, isTraced);
      for (const one of carried) assert.deepEqual(Object.keys(one), ['traceparent']);
      for (const workflowBundle of codes)
        await Worker.runReplayHistory({ workflowBundle, dataConverter: converter }, history, id);
    }
  });

  it('are sent by a command before it ends', async () => {
    const { number } = await aLife();
    const env = { ...stage.env, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
    const done = await policySync(['resume', number], env);
    assert.equal(done.code, 0, done.stderr);
    const span = collector
      .spans()
      .find(({ service, name }) => service === 'policy-sync' && name === 'policy-sync resume');
    assert.equal(span?.parent, undefined);
    assert.ok(span);
  });

  it('are lost where no collector takes them, with a line, and the command does what it does', async () => {
    const { number } = await aLife();
    const env = { ...stage.env, OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}` };
    const done = await policySync(['resume', number], env);
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stderr, /^policy-sync: traces are lost: [^\n]+\n$/);
  });
});
