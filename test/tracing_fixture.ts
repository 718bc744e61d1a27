import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

/** A span as a collector gets it. */
export interface Seen {
  service: string;
  name: string;
  kind: number;
  trace: string;
  id: string;
  /** Undefined: the first of its trace. */
  parent: string | undefined;
  attributes: Record<string, unknown>;
  isFailed: boolean;
}

interface Attribute {
  key: string;
  value: Record<string, unknown>;
}

interface WireSpan {
  name: string;
  kind: number;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  attributes: Attribute[];
  status: { code?: number };
}

interface Wire {
  resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: WireSpan[] }[] }[];
}

const SERVER_ERROR = 2;

/** Takes OTLP over HTTP as a collector does. */
export async function startCollector() {
  const bodies: string[] = [];
  const server = createServer(async (request, response) => {
    bodies.push(await text(request));
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bodies,
    spans: () => bodies.flatMap((body) => spansIn(JSON.parse(body) as Wire)),
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

export type Collector = Awaited<ReturnType<typeof startCollector>>;

function spansIn({ resourceSpans }: Wire): Seen[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = String(valuesOf(resource.attributes)['service.name']);
    return scopeSpans.flatMap(({ spans }) =>
      spans.map(({ name, kind, traceId, spanId, parentSpanId, attributes, status }) => ({
        ...{ service, name, kind, trace: traceId, id: spanId, parent: parentSpanId || undefined },
        ...{ attributes: valuesOf(attributes), isFailed: status.code === SERVER_ERROR },
      })),
    );
  });
}

function valuesOf(attributes: Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}

/** The workflow code as a worker has it that knows nothing of traces. */
export async function bundleWithoutTraces(): Promise<{ code: string }> {
  const pathOf = (file: string): string => fileURLToPath(new URL(`../${file}`, import.meta.url));
  return bundleWorkflowCode({
    workflowsPath: pathOf('workflows/workflows.ts'),
    payloadConverterPath: pathOf('codec/payload_converter.ts'),
    failureConverterPath: pathOf('codec/failure_converter.ts'),
    workflowInterceptorModules: ['listening', 'sealed_only', 'sealed'].map((name) => pathOf(`workflows/${name}.ts`)),
    logger: { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} },
  });
}
