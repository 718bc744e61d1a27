import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MongoClient } from 'mongodb';
import { findCached, makeCached } from './cache.ts';
import { download } from './download.ts';
import { EmbeddedServerError } from './errors.ts';
import { buildFerretDb, cachedFerretDb, startFerretDb } from './ferretdb.ts';
import { type Guarded, lastLines, startGuarded } from './guarded.ts';
import type { Log } from './log.ts';
import { findOnPath } from './path.ts';
import { freePort } from './ports.ts';
import { withProgress } from './progress.ts';
import { type Found, firstOf, type Source } from './sources.ts';

export type MongoOptions = {
  log: Log;
  /** Where data and log files are, and stay; without it in a folder removed by `stop()`. */
  directory?: string;
  /** Whether the user's own server, named by MONGODB_URI, comes first (default). */
  useEnvironment?: boolean;
};

export type Mongo = {
  uri: string;
  /** `own`: the user's; `mongod`: MongoDB itself; `ferretdb`: FerretDB on PostgreSQL. */
  kind: 'own' | 'mongod' | 'ferretdb';
  /** Where the server comes from, in words. */
  source: string;
  /** Where its data are; undefined for the user's own. */
  directory?: string;
  /** Ends the server; does nothing to the user's own. */
  stop(): Promise<void>;
};

const downloadedMongod = { tool: 'mongod', version: '8.2.6' };
const otherwise = 'set MONGODB_URI to a server of yours, or put `mongod` on PATH, or install Go 1.24 or later';

/** Finds, or fetches, or builds a server that speaks MongoDB's protocol. See `firstOf` for its errors. */
export function findMongo(log: Log): Promise<Found> {
  return firstOf('MongoDB server', sources(log), otherwise, log);
}

/**
 * Starts a MongoDB server on a free loopback port, unless the user names one, and waits until it answers.
 * @throws EmbeddedServerError in one line when there is none, or when it ends before it answers
 */
export async function startMongo(options: MongoOptions): Promise<Mongo> {
  const uri = options.useEnvironment === false ? undefined : process.env.MONGODB_URI;
  if (uri) {
    options.log('MongoDB: yours (MONGODB_URI)');
    return { uri, kind: 'own', source: 'MONGODB_URI', stop: async () => {} };
  }
  const found = await findMongo(options.log);
  options.log(`MongoDB: ${found.source}`);
  return launch(found, options.directory);
}

function sources(log: Log): Source[] {
  return [
    { name: '`mongod` on PATH', find: () => findOnPath('mongod') },
    { name: 'the official download, from the cache', find: () => inFolder(findCached(downloadedMongod)) },
    { name: 'FerretDB on PostgreSQL, from the cache', find: cachedFerretDb },
    { name: 'the official download', find: () => downloaded(log) },
    { name: 'FerretDB on PostgreSQL, built by Go', find: () => buildFerretDb(log) },
  ];
}

function inFolder(folder: string | undefined): string | undefined {
  return folder && join(folder, 'mongod');
}

async function downloaded(log: Log): Promise<string | undefined> {
  return inFolder(
    await makeCached(downloadedMongod, log, (folder) =>
      withProgress('downloading MongoDB', log, () => download('mongod', folder)),
    ),
  );
}

async function launch(found: Found, given: string | undefined): Promise<Mongo> {
  const directory = given ?? mkdtempSync(join(tmpdir(), 'policy-sync-mongodb-'));
  mkdirSync(directory, { recursive: true });
  const removeTemporary = () => given ?? rmSync(directory, { recursive: true, force: true });
  const kind = basename(found.file) === 'ferretdb' ? 'ferretdb' : 'mongod';
  try {
    const port = await freePort();
    const start = kind === 'ferretdb' ? startFerretDb : startMongod;
    const server = await start(found.file, directory, port);
    // FerretDB stalls under some hundred callers at once; a pool of this size queues them in the driver.
    const uri = `mongodb://127.0.0.1:${port}/${kind === 'ferretdb' ? '?maxPoolSize=20' : ''}`;
    await untilReady(uri, server, join(directory, `${kind}.log`));
    const stop = async () => {
      await server.stop();
      removeTemporary();
    };
    return { uri, kind, source: found.source, directory, stop };
  } catch (error) {
    removeTemporary();
    throw error;
  }
}

function startMongod(program: string, directory: string, port: number): Promise<Guarded> {
  const data = join(directory, 'mongod');
  mkdirSync(data, { recursive: true });
  return startGuarded({
    command: program,
    args: ['--dbpath', data, '--port', String(port), '--bind_ip', '127.0.0.1', '--nounixsocket', '--quiet'],
    logFile: join(directory, 'mongod.log'),
    lockFile: join(directory, 'mongod.lock'),
  });
}

async function untilReady(uri: string, server: Guarded, logFile: string): Promise<void> {
  let over: string | undefined;
  void server.exited.then((exit) => {
    over = exit.reason;
  });
  const deadline = Date.now() + 60_000;
  while (!(await answers(uri))) {
    if (over === undefined && Date.now() > deadline) {
      await server.stop();
      over = 'no answer within 60 s';
    }
    if (over !== undefined) {
      throw new EmbeddedServerError(`the MongoDB server did not start (${over}): ${lastLines(logFile)}`);
    }
    await delay(100);
  }
}

async function answers(uri: string): Promise<boolean> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 1_000, connectTimeoutMS: 1_000 });
  try {
    await client.db('admin').command({ ping: 1 });
    // FerretDB answers a ping before it has ever spoken to its PostgreSQL.
    await client.db('admin').listCollections().toArray();
    return true;
  } catch {
    return false;
  } finally {
    await client.close();
  }
}
