import { Client } from '@temporalio/client';
import { type WorkerOptions as TemporalOptions, Worker } from '@temporalio/worker';
import type { CallSettings } from '../activities/attempt.ts';
import { callActivities } from '../activities/calls.ts';
import type { Log } from '../activities/log.ts';
import type { Noted } from '../activities/recording.ts';
import { recordActivities } from '../activities/records.ts';
import { dataConverter } from '../codec/data_converter.ts';
import { identityOf } from '../codec/key_notice.ts';
import { connect } from '../storage/connection.ts';
import { countPolicies } from '../storage/counts.ts';
import { countAttention } from '../storage/lives.ts';
import { callQueueOf, WORKFLOW_QUEUE } from '../workflows/messages.ts';
import { clearAbandoned } from './abandoned_holds.ts';
import { auditActivities } from './audit_activity.ts';
import { warnUnlessAudited } from './audit_schedule.ts';
import { backlogs } from './backlog.ts';
import { buildWorkflows, type WorkflowBuild } from './bundle.ts';
import { cacheSize } from './cache_size.ts';
import { CallWorkers } from './call_workers.ts';
import { counted } from './counted.ts';
import { CurrentVersion } from './current_version.ts';
import { deploymentVersion, promote, refuseUnsealed, warnOfOtherKeys, warnUnlessCurrent } from './deployment.ts';
import { type Endpoints, endpointsOf } from './events/endpoints.ts';
import { runEvents } from './events/run.ts';
import { Holds } from './holds.ts';
import { keepTryingIndexes } from './indexes.ts';
import { LearnedRates } from './learned_rates.ts';
import { logSinks } from './log.ts';
import { Merchants } from './merchants.ts';
import { Metrics, serveMetrics } from './metrics.ts';
import { callLoad, paceOf } from './pace.ts';
import { pause } from './pause.ts';
import { keepRetention } from './retention.ts';
import { Running } from './running.ts';
import { sdkMetrics } from './sdk_metrics.ts';
import { ensureSearchAttributes } from './search_attributes.ts';
import type { Settings } from './settings.ts';
import { connectTemporal } from './temporal.ts';
import { tracedActivities } from './traced_activities.ts';
import { upOf } from './up.ts';

/** Calls under way are given so long to finish: 10 s of HTTP, the rest for records. */
const SHUTDOWN_GRACE = '30s';
/** An added merchant is to be served within 10 s. */
const LOOK_EVERY_MS = 2_000;
const PROBE_EVERY_MS = 60_000;
const VERSION_EVERY_MS = 60_000;

export interface RunningWorker {
  /** Takes no more work, lets what runs finish, and lets go of everything. */
  shutdown(): Promise<void>;
  /** Resolves after `shutdown`; rejects when a part of it fails, the rest of it shut down. */
  done: Promise<void>;
}

export interface WorkerOptions {
  settings: Settings;
  log: Log;
  /** Makes the version of this build the current one. */
  promote?: boolean;
  /** Does what `shutdown` does, and ends a start under way. */
  signal?: AbortSignal;
  /** How often a merchant that is held is probed, in ms. @default 60000 */
  probeEvery?: number;
  /** How often it is looked who takes the tasks of the current version, in ms. @default 60000 */
  versionEvery?: number;
}

/**
 * Runs the workers of one process: workflows and records on `policy-sync`, and a Worker for each merchant of the
 * watched file on `calls/{mchid}`, whose rate the Temporal server holds over all processes. MongoDB may be down.
 * @throws {SettingsError} or {MerchantsFileError} when merchants, Temporal, its namespace or the metrics' port cannot
 * be used; `signal`'s reason when it was aborted meanwhile. Nothing is left running then.
 */
export async function startWorker({ signal: given, ...options }: WorkerOptions): Promise<RunningWorker> {
  const own = new AbortController();
  const signal = AbortSignal.any(given ? [own.signal, given] : [own.signal]);
  const ends: (() => Promise<unknown>)[] = [];
  const release = (): Promise<unknown> =>
    ends.reduceRight((ended: Promise<unknown>, end) => ended.finally(end), Promise.resolve());
  try {
    const { failed } = await start({ ...options, signal, atEnd: (end) => ends.push(end) });
    signal.throwIfAborted();
    const asked = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    const done = Promise.race([failed, asked]).finally(() => {
      own.abort();
      return release();
    });
    const shutdown = (): Promise<void> => {
      own.abort();
      return done;
    };
    return { shutdown, done };
  } catch (error) {
    const reason = signal.aborted ? signal.reason : error;
    own.abort();
    await release();
    throw reason;
  }
}

interface Start extends Omit<WorkerOptions, 'signal'> {
  /** Aborted when all is to end. */
  signal: AbortSignal;
  /** What was begun last is ended first. */
  atEnd(end: () => Promise<unknown>): void;
}

/** What the parts of a running worker share. */
interface Shared {
  settings: Settings;
  log: Log;
  merchants: Merchants;
  metrics: Metrics;
  common: Common;
  temporal: Client;
  place: CallPlace;
  /** Undefined: nobody is told of events. */
  endpoints: Endpoints | undefined;
}

type CallPlace = Pick<CallSettings, 'storage' | 'log' | 'noted' | 'payloadKey' | 'events'>;

/** `failed` rejects when one of the Workers does. */
async function start(options: Start): Promise<{ failed: Promise<void> }> {
  const { settings, log, signal, atEnd } = options;
  if (!settings.keyring) log.warn('POLICY_SYNC_KEYS is not set: payloads and records rest in the clear');
  const merchants = new Merchants(settings.merchantsFile, log);
  await merchants.load();
  const endpoints = await endpointsOf(settings.webhooksFile, log);
  const metrics = new Metrics(() => merchants.all());
  const sdk = settings.metrics && (await sdkMetrics());
  if (sdk) metrics.sdk = sdk.text;
  if (settings.metrics) atEnd(await serveMetrics(metrics, settings.metrics, log));
  const connection = await connectTemporal(settings.temporal, log, { signal, ...(sdk && { metrics: sdk.exporter }) });
  atEnd(() => connection.close());
  const { namespace } = settings.temporal;
  const { bundle, buildId } = await buildWorkflows(settings.keyring !== undefined, settings.allowPlain);
  const version = { connection, namespace, buildId };
  await refuseUnsealed(version);
  await warnOfOtherKeys(version, settings.keyring, log);
  await ensureSearchAttributes(connection, namespace, { log, signal });
  const storage = await connect(settings.mongoUri, { keyring: settings.keyring });
  atEnd(() => storage.close());
  const indexing = keepTryingIndexes(storage, log, signal);
  atEnd(() => Promise.allSettled([indexing]));

  const converter = dataConverter(settings.keyring, { allowPlain: settings.allowPlain, marksLocked: true });
  const common: Common = {
    ...{ connection, namespace, dataConverter: converter, shutdownGraceTime: SHUTDOWN_GRACE },
    interceptors: { activity: [tracedActivities] },
  };
  const temporal = new Client({ connection, namespace, dataConverter: converter });
  const noted = (what: Noted) => metrics.noted(what);
  const events = endpoints !== undefined;
  const place = { storage, log, noted, events, ...(settings.keyring && { payloadKey: settings.keyring.active.id }) };
  const shared: Shared = { settings, log, merchants, metrics, common, temporal, place, endpoints };
  const workflows = new Running(await workflowWorker(shared, { bundle, buildId }));
  const { calls, following } = await startCalls(shared, options, workflows);
  const sweeping = sweep(shared, options, indexing);
  const current = new CurrentVersion(version, log);
  metrics.currentVersion = () => current.served;
  const versioned = (options.promote ? promote(version, { log, signal }) : warnUnlessCurrent(version, log)).then(() =>
    current.look(),
  );
  const looking = versioned.then(() => current.keepLooking(options.versionEvery ?? VERSION_EVERY_MS, signal));
  atEnd(() => Promise.allSettled([looking]));
  const kept = Promise.all([following, sweeping, looking]);
  const failed = Promise.race([workflows.done, calls.failed, kept]).then(() => {});
  await Promise.race([Promise.all([versioned, warnUnlessAudited(temporal, log)]), failed]);
  log.info({ buildId, merchants: merchants.all().length }, 'worker is running');
  return { failed };
}

/** Takes workflows, records and audits, as a version of its own. */
function workflowWorker(
  { settings, log, common, temporal, place }: Shared,
  { bundle, buildId }: WorkflowBuild,
): Promise<Worker> {
  return Worker.create({
    ...common,
    taskQueue: WORKFLOW_QUEUE,
    identity: identityOf(settings.keyring, { allowPlain: settings.allowPlain }),
    workflowBundle: bundle,
    maxCachedWorkflows: cacheSize(),
    sinks: logSinks(log),
    activities: { ...recordActivities(place), ...auditActivities({ temporal, ...place }) },
    workerDeploymentOptions: {
      version: deploymentVersion(buildId),
      useWorkerVersioning: true,
      defaultVersioningBehavior: 'AUTO_UPGRADE',
    },
  });
}

/** Takes the calls of the merchants that the file names and nothing holds; `following` ends with the signal. */
async function startCalls(
  { log, merchants, metrics, common, temporal, place }: Shared,
  { signal, atEnd, probeEvery = PROBE_EVERY_MS }: Start,
  workflows: Running,
): Promise<{ calls: CallWorkers; following: Promise<void> }> {
  const holds = new Holds({
    ...place,
    probeEvery,
    client: (mchid) => merchants.client(mchid),
    heldByFile: () => merchants.held(),
    changed: () => following.now(),
    observe: (call) => metrics.observe(call),
  });
  const rates = new LearnedRates(temporal, log, () => merchants.all());
  const learning = rates.keepLooking(signal);
  atEnd(() => Promise.allSettled([learning]));
  metrics.rates = () => rates.rates();
  metrics.held = () => holds.held();
  metrics.attention = counted(() => countAttention(place.storage), log);
  metrics.counts = counted(() => countPolicies(place.storage), log);
  const mchids = () => merchants.all().map(({ mchid }) => mchid);
  metrics.backlogs = counted(() => backlogs(temporal, mchids()), log);
  metrics.up = () => upOf(temporal, place.storage);
  atEnd(async () => holds.end());
  const load = callLoad();
  const calls = new CallWorkers(log, ({ mchid, requests_per_second }) =>
    Worker.create({
      ...common,
      ...paceOf(requests_per_second, load),
      taskQueue: callQueueOf(mchid),
      activities: callActivities({
        ...place,
        wechatPay: () => {
          const client = merchants.client(mchid);
          return typeof client === 'object' && holds.isHeld(mchid) ? 'held' : client;
        },
        merchant: {
          faulty: (fault, number) => holds.faulty(mchid, fault, number),
          well: (number, made) => holds.well(mchid, number, made),
          called: (isThrottled, made) => rates.called(mchid, isThrottled, made),
        },
        observe: (call) => metrics.observe(call),
      }),
    }),
  );
  atEnd(() => Promise.all([workflows.stop(), calls.stop()]));
  const following = follow({ merchants, holds, calls }, signal);
  await Promise.race([following.begun, following.done]);
  atEnd(() => Promise.allSettled([following.done]));
  return { calls, following: following.done };
}

/** Takes away what is left behind: holds of processes that are gone, and what is kept no longer; and delivers events. */
function sweep(
  { settings, place, temporal, endpoints, metrics }: Shared,
  { signal, atEnd, probeEvery = PROBE_EVERY_MS }: Start,
  indexing: Promise<void>,
): Promise<unknown> {
  const clearing = clearAbandoned(place, probeEvery, signal);
  // By their index, without which it is long work for MongoDB.
  const deleting = indexing.then(() => keepRetention(place, temporal, settings.kept, signal));
  const telling = runEvents({ ...place, endpoints, metrics, kept: settings.kept.events, indexing }, signal);
  atEnd(() => Promise.allSettled([clearing, deleting, telling]));
  return Promise.all([clearing, deleting, telling]);
}

type Common = Pick<
  TemporalOptions,
  'connection' | 'namespace' | 'dataConverter' | 'shutdownGraceTime' | 'interceptors'
>;

interface Followed {
  merchants: Merchants;
  holds: Holds;
  calls: CallWorkers;
}

/**
 * Serves the merchants that the file names, but for those paused in it or held for a fault of theirs: their calls wait on
 * the Temporal server. Looks at the file again and again; `now` has it look at once.
 */
function follow({ merchants, holds, calls }: Followed, signal: AbortSignal) {
  let wake = new AbortController();
  const serve = () => calls.serve(merchants.all().filter(({ mchid }) => !holds.isHeld(mchid)));
  holds.look();
  const begun = serve();
  const keep = async (): Promise<void> => {
    await begun;
    while (!signal.aborted) {
      await pause(LOOK_EVERY_MS, AbortSignal.any([signal, wake.signal]));
      wake = new AbortController();
      await merchants.look();
      holds.look();
      if (!signal.aborted) await serve();
    }
  };
  return { begun, done: keep(), now: () => wake.abort() };
}
