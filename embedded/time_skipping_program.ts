import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runToEnd } from './build.ts';
import { findCached, makeCached } from './cache.ts';
import { download } from './download.ts';
import type { Log } from './log.ts';
import { findOnPath } from './path.ts';
import { withProgress } from './progress.ts';
import { type Found, firstOf, type Source } from './sources.ts';

const downloaded = { tool: 'temporal-test-server', version: 'sdk-1.24' };
const jars = { tool: 'temporal-test-server', version: 'java-1.32.0' };
const pom = fileURLToPath(new URL('time_skipping/pom.xml', import.meta.url));
const otherwise =
  'it is for tests only, and needs its official download, or Java 11 or later and Maven (`java`, `mvn` on PATH)';
const javaOptions = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];

/** Finds or fetches Temporal's test server, whose clock jumps to the next timer. See `firstOf` for its errors. */
export function findTimeSkipping(log: Log): Promise<Found> {
  return firstOf('time-skipping test server', sources(log), otherwise, log);
}

function sources(log: Log): Source[] {
  return [
    { name: 'the official download, from the cache', find: () => inFolder(findCached(downloaded)) },
    { name: 'its Java build, from the cache', find: () => (findOnPath('java') ? findCached(jars) : undefined) },
    { name: 'the official download', find: () => official(log) },
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
