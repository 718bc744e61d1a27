import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import type { MetricsExporterConfig } from '@temporalio/worker';

const ANSWER_MS = 2_000;

/** The SDK serves its metrics itself, at an address of its own: where, and how to have what it says. */
export interface SdkMetrics {
  exporter: MetricsExporterConfig;
  /** In Prometheus' text format. Empty where the SDK serves none: another worker of this process has set it up before. */
  text(): Promise<string>;
}

/** On a loopback port that is free now; names and units as Prometheus wants them. */
export async function sdkMetrics(): Promise<SdkMetrics> {
  const bindAddress = `127.0.0.1:${await freePort()}`;
  const prometheus = { bindAddress, countersTotalSuffix: true, unitSuffix: true, useSecondsForDurations: true };
  return {
    exporter: { attachServiceName: false, prometheus },
    async text() {
      try {
        const answer = await fetch(`http://${bindAddress}/metrics`, { signal: AbortSignal.timeout(ANSWER_MS) });
        return answer.ok ? await answer.text() : '';
      } catch {
        return '';
      }
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
