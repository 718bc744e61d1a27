// The SDK logs to the screen, but for errors silenced here; tests say what matters themselves. Imported by each test file
// that has a worker in its process: there is one runtime for all of them, and it can be set up only before its first use.
import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';

const REFUSED = /completing workflow activation/;

/** Why the server refused what workers had decided in a workflow task, in its words; each time adds one. */
export const refusedDecisions: string[] = [];

Runtime.install({
  // A signal ends the process, as it does one without a worker.
  shutdownSignals: [],
  logger: new DefaultLogger('WARN', ({ message, meta }) => {
    if (REFUSED.test(message)) refusedDecisions.push(String(meta?.error));
  }),
  telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }), forward: {} } },
});
