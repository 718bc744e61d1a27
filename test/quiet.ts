// The SDK logs to the screen, but for errors silenced here; tests say what matters themselves. Imported by each test file
// that has a worker in its process: there is one runtime for all of them, and it can be set up only before its first use.
import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';

Runtime.install({
  // A signal ends the process, as it does one without a worker.
  shutdownSignals: [],
  logger: new DefaultLogger('ERROR', () => {}),
  telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'ERROR', other: 'ERROR' }) } },
});
