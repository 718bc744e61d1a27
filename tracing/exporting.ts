import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider, type SpanExporter } from '@opentelemetry/sdk-trace-node';

/** So long a batch is tried, in ms, where OTEL_EXPORTER_OTLP_TIMEOUT does not say: a command waits for it at its end. */
const EXPORT_MS = 3_000;
/** `ExportResultCode.SUCCESS` of the SDK. */
const TAKEN = 0;

/**
 * Sends the spans of this process to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names, as OTLP over HTTP with JSON.
 * @param service name of the service, where OTEL_SERVICE_NAME gives none
 * @param told of it each time that the collector begins not to take them
 * @returns sends what is left, and ends
 */
export function startExporting(service: string, told: (line: string) => void): () => Promise<void> {
  const { OTEL_EXPORTER_OTLP_TIMEOUT: timeout, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: ofTraces } = process.env;
  const exporter = new OTLPTraceExporter(timeout || ofTraces ? {} : { timeoutMillis: EXPORT_MS });
  const provider = new NodeTracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': service }))
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(telling(exporter, told))],
  });
  provider.register();
  return () => provider.shutdown().catch(() => {});
}

/** The SDK itself is silent about what it could not send. */
function telling(exporter: SpanExporter, told: (line: string) => void): SpanExporter {
  let wasTaken = true;
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        const isTaken = result.code === TAKEN;
        if (wasTaken && !isTaken)
          told('traces are lost: the collector that OTEL_EXPORTER_OTLP_ENDPOINT names does not take them');
        wasTaken = isTaken;
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => exporter.forceFlush?.(),
  };
}
