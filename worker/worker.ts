import { setTimeout as delay } from 'node:timers/promises';
import { NativeConnection, Worker } from '@temporalio/worker';
import type { Logger } from 'pino';
import { callActivities } from '../activities/calls.ts';
import { recordActivities } from '../activities/records.ts';
import { dataConverter } from '../codec/data_converter.ts';
import { connect, type Storage } from '../storage/connection.ts';
import type { Merchant } from '../wechatpay/merchant.ts';
import { callQueueOf, WORKFLOW_QUEUE } from '../workflows/messages.ts';
import { buildWorkflows } from './bundle.ts';
import { Merchants } from './merchants.ts';
import { Metrics, serveMetrics } from './metrics.ts';
import { deploymentVersion, ensureSearchAttributes, promote, warnWithoutCurrent } from './namespace.ts';
import { type Settings, SettingsError } from './settings.ts';

/** Calls under way are given so long to finish: 10 s of HTTP, the rest for records. */
const SHUTDOWN_GRACE = '30s';
const CONNECT_TRIES = 30;

export interface RunningWorker {
  /** Takes no more work, finishes what runs, and lets go of everything. */
  shutdown(): Promise<void>;
  /** Rejects when a part of it fails. */
  done: Promise<void>;
}

export interface WorkerOptions {
  settings: Settings;
  log: Logger;
  /** Makes the version of this build the current one. */
  promote?: boolean;
}

/**
 * Runs the workers of one process: workflows and records on `policy-sync`, and a Worker for each merchant of the
 * watched file on `calls/{mchid}`, whose rate the Temporal server holds over all processes.
 * @throws {SettingsError} when the merchants file, Temporal or the metrics' port cannot be used
 */
export async function startWorker({
  settings,
  log,
  promote: promoting = false,
}: WorkerOptions): Promise<RunningWorker> {
  if (!settings.keyring) log.warn('POLICY_SYNC_KEYS is not set: payloads and records rest in the clear');
  const merchants = new Merchants(settings.merchantsFile, log);
  await merchants.load();
  const { bundle, buildId } = await buildWorkflows(settings.keyring !== undefined);
  const connection = await connected(settings, log);
  const storage = await connect(settings.mongoUri, { keyring: settings.keyring });
  indexed(storage, log);
  const { namespace } = settings.temporal;
  await ensureSearchAttributes(connection, namespace, log);

  const metrics = new Metrics(() => merchants.all());
  const server = settings.metrics && (await serveMetrics(metrics, settings.metrics));
  const converter = dataConverter(settings.keyring, { allowPlain: settings.allowPlain });
  const common = { connection, namespace, dataConverter: converter, shutdownGraceTime: SHUTDOWN_GRACE } as const;
  const place = { storage, log, ...(settings.keyring && { payloadKey: settings.keyring.active.id }) };

  const workflows = new Running(
    await Worker.create({
      ...common,
      taskQueue: WORKFLOW_QUEUE,
      workflowBundle: bundle,
      activities: recordActivities(place),
      workerDeploymentOptions: {
        version: deploymentVersion(buildId),
        useWorkerVersioning: true,
        defaultVersioningBehavior: 'AUTO_UPGRADE',
      },
    }),
  );
  const calls = new CallWorkers(log, ({ mchid, requests_per_second }) =>
    Worker.create({
      ...common,
      taskQueue: callQueueOf(mchid),
      activities: callActivities({
        ...place,
        wechatPay: () => merchants.client(mchid),
        observe: (call) => metrics.observe(call),
      }),
      maxTaskQueueActivitiesPerSecond: requests_per_second,
      maxConcurrentActivityTaskExecutions: Math.max(10, requests_per_second * 2),
    }),
  );
  await calls.serve(merchants.all());
  merchants.watch(() => calls.serve(merchants.all()));
  if (promoting) await promote(connection, namespace, buildId, log);
  else await warnWithoutCurrent(connection, namespace, log);
  log.info({ buildId, merchants: merchants.all().length }, 'worker is running');

  const shutdown = async (): Promise<void> => {
    merchants.stop();
    await Promise.all([workflows.stop(), calls.serve([])]);
    server?.close();
    await storage.close();
    await connection.close();
  };
  return { shutdown, done: Promise.race([workflows.done, calls.failed]) };
}

async function connected({ temporal }: Settings, log: Logger): Promise<NativeConnection> {
  for (let tries = 1; ; tries++) {
    try {
      return await NativeConnection.connect(temporal.connection);
    } catch {
      const asked = `TEMPORAL_ADDRESS: expected a Temporal server at ${temporal.address}, found none that answers`;
      if (tries === CONNECT_TRIES) throw new SettingsError([asked]);
      if (tries === 1) log.warn(`${asked}; trying for a minute`);
      await delay(2000);
    }
  }
}

/** Indexes make reports fast; a worker does its work without, so it waits for none. */
function indexed(storage: Storage, log: Logger): void {
  storage.ensureIndexes().catch((error: Error) => {
    log.warn({ reason: error.message }, 'MongoDB did not take the indexes; the next start tries again');
  });
}

/** A Worker and its run. */
class Running {
  readonly #worker: Worker;
  readonly done: Promise<void>;

  constructor(worker: Worker) {
    this.#worker = worker;
    this.done = worker.run();
    // A failure is told by whoever waits for `done`.
    this.done.catch(() => {});
  }

  async stop(): Promise<void> {
    if (this.#worker.getState() === 'RUNNING') this.#worker.shutdown();
    await this.done;
  }
}

/** One Worker for each merchant, so that none delays another. */
class CallWorkers {
  readonly #log: Logger;
  readonly #create: (merchant: Merchant) => Promise<Worker>;
  readonly #running = new Map<string, { worker: Running; rate: number }>();
  #fail: (error: unknown) => void = () => {};
  /** Settles only when a Worker fails. */
  readonly failed: Promise<never> = new Promise((_, reject) => {
    this.#fail = reject;
  });

  constructor(log: Logger, create: (merchant: Merchant) => Promise<Worker>) {
    this.#log = log;
    this.#create = create;
    this.failed.catch(() => {});
  }

  /** Serves these merchants and no others. Another rate needs another Worker; keys are asked for at each call. */
  async serve(merchants: readonly Merchant[]): Promise<void> {
    const wanted = new Map(merchants.map((merchant) => [merchant.mchid, merchant]));
    const leaving = [...this.#running].filter(([mchid, { rate }]) => wanted.get(mchid)?.requests_per_second !== rate);
    await Promise.all(leaving.map(([mchid, { worker }]) => this.#leave(mchid, worker)));
    for (const [mchid, merchant] of wanted) if (!this.#running.has(mchid)) await this.#take(merchant);
  }

  async #take(merchant: Merchant): Promise<void> {
    const { mchid, requests_per_second: rate } = merchant;
    const worker = new Running(await this.#create(merchant));
    worker.done.catch(this.#fail);
    this.#running.set(mchid, { worker, rate });
    this.#log.info({ mchid, requests_per_second: rate }, 'merchant is served');
  }

  async #leave(mchid: string, worker: Running): Promise<void> {
    this.#running.delete(mchid);
    await worker.stop();
    this.#log.info({ mchid }, 'merchant is no longer served by this worker');
  }
}
