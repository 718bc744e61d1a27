import { join } from 'node:path';
import type { Log } from './log.ts';
import { findMongo, type Mongo, startMongo } from './mongodb.ts';
import { startTemporal, type Temporal } from './temporal.ts';
import { findTemporal } from './temporal_program.ts';
import { findTimeSkipping } from './time_skipping_program.ts';

export type ServersOptions = {
  log: Log;
  /** Where data and log files are, and stay; without it they go with `stop()`. */
  directory?: string;
  /** Temporal's database; by default `temporal.db` in `directory`, or memory without one. */
  databaseFile?: string;
  /** Serves Temporal's web UI too (default). */
  ui?: boolean;
  /** Codec server of Temporal's UI. */
  codecEndpoint?: string;
  /** Whether TEMPORAL_ADDRESS and MONGODB_URI come first (default). */
  useEnvironment?: boolean;
};

export type Servers = { temporal: Temporal; mongo: Mongo; stop(): Promise<void> };

/**
 * Starts Temporal and MongoDB at the same time, finding, fetching or building both.
 * @throws EmbeddedServerError of the first that fails; the other is then stopped
 */
export async function startServers(options: ServersOptions): Promise<Servers> {
  const { directory, databaseFile = directory && join(directory, 'temporal.db'), ...rest } = options;
  // Apart from the start, so that what cannot be had is known at once, and not after the other's build.
  await prepareServers(options);
  const starting = [
    startTemporal({ ...rest, databaseFile, dataDirectory: directory && join(directory, 'temporal') }),
    startMongo({ ...rest, directory: directory && join(directory, 'mongodb') }),
  ] as const;
  const results = await Promise.allSettled(starting);
  const started = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const stop = async () => {
    await Promise.all(started.map((server) => server.stop()));
  };
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) {
    await stop();
    throw failed.reason;
  }
  const [temporal, mongo] = await Promise.all(starting);
  return { temporal, mongo, stop };
}

/**
 * Finds, fetches or builds what `startServers` needs, and starts nothing. The user's own servers need nothing.
 * @param options.timeSkipping the time-skipping test server too
 * @param options.useEnvironment as of `startServers`
 * @throws EmbeddedServerError of the first that cannot be had
 */
export async function prepareServers(options: {
  log: Log;
  timeSkipping?: boolean;
  useEnvironment?: boolean;
}): Promise<void> {
  const { TEMPORAL_ADDRESS, MONGODB_URI } = options.useEnvironment === false ? {} : process.env;
  await Promise.all([
    TEMPORAL_ADDRESS ? undefined : findTemporal(options.log),
    MONGODB_URI ? undefined : findMongo(options.log),
    options.timeSkipping ? findTimeSkipping(options.log) : undefined,
  ]);
}
