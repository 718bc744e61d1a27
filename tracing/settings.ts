// OpenTelemetry's own settings, as its specification has them.

/**
 * Whether traces are asked for.
 * @throws Error with one line, where a setting asks for what there is not
 */
export function wantsTraces(env: NodeJS.ProcessEnv): boolean {
  if (env.OTEL_SDK_DISABLED?.trim().toLowerCase() === 'true') return false;
  const exporter = env.OTEL_TRACES_EXPORTER?.trim();
  if (exporter === 'none') return false;
  if (exporter && exporter !== 'otlp')
    throw new Error(`OTEL_TRACES_EXPORTER: expected otlp or none, found ${JSON.stringify(exporter)}`);
  const endpoint = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || env.OTEL_EXPORTER_OTLP_ENDPOINT;
  if (!exporter && !endpoint) return false;
  if (endpoint && !/^https?:\/\/[^/]/.test(endpoint))
    throw new Error('OTEL_EXPORTER_OTLP_ENDPOINT: expected the URL of a collector, such as http://localhost:4318');
  const protocol = env.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL || env.OTEL_EXPORTER_OTLP_PROTOCOL;
  if (protocol === 'grpc')
    throw new Error(
      'OTEL_EXPORTER_OTLP_PROTOCOL: expected http/json, found grpc: name the HTTP port of the collector, 4318 as a rule',
    );
  return true;
}
