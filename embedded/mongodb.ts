import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { MongoClient } from 'mongodb';
import { findCached, makeCached } from './cache.ts';
import { download } from './download.ts';
import { buildFerretDb, cachedFerretDb, startFerretDb } from './ferretdb.ts';
import { type Guarded, startGuarded } from './guarded.ts';
import { launch } from './launch.ts';
import type { Log } from './log.ts';
import { findOnPath } from './path.mjs';
import type { Place } from './place.ts';
import { freePort } from './ports.ts';
import { withProgress } from './progress.ts';
import { type Found, firstOf, type Source } from './sources.ts';

export type MongoOptions = {
  log: Log;
  /** Where data and log files are, and stay; without it in a folder removed by `stop()`. */
  directory?: string;
  /** Where it listens; by default any free port. One that is started again is found where it was. */
  port?: number;
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
  /** The process that listens; undefined for the user's own. */
  pid?: number;
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
  return start(found, options);
}

function sources(log: Log): Source[] {
  return [
    { name: '`mongod` on PATH', find: () => recentEnough(findOnPath('mongod')) },
    { name: 'the official download, from the cache', find: () => inFolder(findCached(downloadedMongod)) },
    { name: 'FerretDB on PostgreSQL, from the cache', find: cachedFerretDb },
    { name: 'the official download', find: () => downloaded(log) },
    { name: 'FerretDB on PostgreSQL, built by Go', find: () => buildFerretDb(log) },
  ];
}

/** The driver speaks to 4.4 and later; one that cannot even tell its version lacks a library. */
function recentEnough(file: string | undefined): string | undefined {
  if (!file) return undefined;
  const version = execFileSync(file, ['--version'], { encoding: 'utf8', timeout: 10_000 });
  const [, major, minor] = /db version v(\d+)\.(\d+)/.exec(version) ?? [];
  if (Number(major) > 4 || (major === '4' && Number(minor) >= 4)) return file;
  throw new Error(`it is version ${major}.${minor}, 4.4 is needed`);
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

async function start(found: Found, { directory: given, port: chosen }: MongoOptions): Promise<Mongo> {
  const scratch = given ? undefined : mkdtempSync(join(tmpdir(), 'policy-sync-mongodb-'));
  const directory = given ?? scratch ?? '';
  const kind = basename(found.file) === 'ferretdb' ? 'ferretdb' : 'mongod';

  const attempt = async () => {
    mkdirSync(directory, { recursive: true });
    const port = chosen ?? (await freePort());
    const server = await (kind === 'ferretdb' ? startFerretDb : startMongod)(found.file, { directory, port, scratch });
    // FerretDB stalls under some hundred callers at once; a pool of this size queues them in the driver.
    const uri = `mongodb://127.0.0.1:${port}/${kind === 'ferretdb' ? '?maxPoolSize=20' : ''}`;
    return { server, logFile: join(directory, `${kind}.log`), uri, answers: () => answers(uri) };
  };
  const { server, uri } = await launch('MongoDB server', attempt, scratch);
  return { uri, kind, source: found.source, directory, pid: server.pid, stop: async () => void (await server.stop()) };
}

function startMongod(program: string, { directory, port, scratch }: Place): Promise<Guarded> {
  const data = join(directory, 'mongod');
  mkdirSync(data, { recursive: true });
  return startGuarded({
    command: program,
    args: ['--dbpath', data, '--port', String(port), '--bind_ip', '127.0.0.1', '--nounixsocket', '--quiet'],
    logFile: join(directory, 'mongod.log'),
    lockFile: join(directory, 'mongod.lock'),
    scratch,
  });
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
