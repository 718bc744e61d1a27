// Fetches an official build of a server into an empty folder: node download.mjs temporal|time-skipping|mongod FOLDER.
// A process of its own, since neither downloader takes a time limit, and one of them starts the server it fetched.

import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, readdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';

const FIRST_BYTE_MS = 5_000;
const STALLED_MS = 20_000;
const [kind, folder] = process.argv.slice(2);
const mongodVersion = '8.2.6';

const fetchers = {
  async temporal() {
    const { TestWorkflowEnvironment } = await import('@temporalio/testing');
    const environment = await TestWorkflowEnvironment.createLocal({ server: { executable: cachedDownload() } });
    await environment.teardown();
    renameSync(join(folder, downloaded('temporal-sdk-')), join(folder, 'temporal'));
  },
  async 'time-skipping'() {
    const { TestWorkflowEnvironment } = await import('@temporalio/testing');
    const environment = await TestWorkflowEnvironment.createTimeSkipping({ server: { executable: cachedDownload() } });
    await environment.teardown();
    renameSync(join(folder, downloaded('temporal-test-server-')), join(folder, 'temporal-test-server'));
  },
  async mongod() {
    // Its default is three more tries, seconds apart.
    process.env.MONGOMS_MAX_RETRIES = '0';
    const { MongoBinary } = await import('mongodb-memory-server-core/lib/util/MongoBinary.js');
    const file = await MongoBinary.getPath({ downloadDir: folder, version: mongodVersion });
    copyFileSync(file, join(folder, 'mongod'));
    // On a system that lacks one of its libraries, or the processor's instructions, it is of no use.
    execFileSync(join(folder, 'mongod'), ['--version']);
  },
};

watch();
try {
  await fetchers[kind]();
} catch (error) {
  leave(inShort(error));
}
process.exit(0);

function cachedDownload() {
  return { type: 'cached-download', downloadDir: folder };
}

function downloaded(prefix) {
  return readdirSync(folder).find((name) => name.startsWith(prefix) && !name.endsWith('.downloading'));
}

/** Gives up when nothing has arrived for a while. */
function watch() {
  let size = 0;
  let grown = Date.now();
  setInterval(() => {
    const now = arrived();
    if (now !== size) grown = Date.now();
    size = now;
    if (Date.now() - grown < (size === 0 ? FIRST_BYTE_MS : STALLED_MS)) return;
    leave(size === 0 ? 'no answer' : 'the download stopped');
  }, 250).unref();
}

function arrived() {
  const files = existsSync(folder) ? readdirSync(folder).filter((name) => !/\.(log|lock)$/.test(name)) : [];
  return files.reduce((sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0), 0);
}

function inShort(error) {
  const text = `${error.message} ${error.cause?.message ?? ''}`;
  const unreachable =
    /Download failed for url|dns error|client error \(Connect\)|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH/;
  return unreachable.test(text) ? 'cannot be reached' : text.split('\n')[0].slice(0, 200);
}

/** The last line is what the user is told. */
function leave(reason) {
  console.error(`\n${reason}`);
  process.exit(1);
}
