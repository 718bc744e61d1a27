import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { wantsTraces } from '../tracing/settings.ts';
import { policySync } from './command_process.ts';

describe('whether there are traces', () => {
  const http = 'http://localhost:4318';
  it('is what the settings of OpenTelemetry say: none without any', () => {
    assert.equal(wantsTraces({}), false);
    assert.equal(wantsTraces({ OTEL_EXPORTER_OTLP_ENDPOINT: http }), true);
    assert.equal(wantsTraces({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: http }), true);
    assert.equal(wantsTraces({ OTEL_TRACES_EXPORTER: 'otlp' }), true);
    assert.equal(wantsTraces({ OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: http }), false);
    assert.equal(wantsTraces({ OTEL_SDK_DISABLED: 'true', OTEL_EXPORTER_OTLP_ENDPOINT: http }), false);
  });

  it('is refused where they ask for what there is not, in a line that names the setting', async () => {
    assert.throws(() => wantsTraces({ OTEL_TRACES_EXPORTER: 'zipkin' }), /^Error: OTEL_TRACES_EXPORTER: .*"zipkin"$/);
    const grpc = { OTEL_EXPORTER_OTLP_ENDPOINT: http, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' };
    assert.throws(() => wantsTraces(grpc), /^Error: OTEL_EXPORTER_OTLP_PROTOCOL: /);
    const env = { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost:4318' };
    const { code, stderr } = await policySync(['list'], env);
    assert.equal(code, 2);
    assert.match(stderr, /^policy-sync: OTEL_EXPORTER_OTLP_ENDPOINT: expected [^\n]+\n$/);
  });
});
