import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { buildWithGo } from './build.ts';
import { findCached, makeCached } from './cache.ts';
import { download } from './download.ts';
import type { Log } from './log.ts';
import { findOnPath } from './path.ts';
import { withProgress } from './progress.ts';
import { type Found, firstOf, type Source } from './sources.ts';

const official = { tool: 'temporal', version: 'sdk-1.24' };
const byGo = { tool: 'temporal', version: 'cli-1.5.1' };
const module = 'github.com/temporalio/cli@v1.5.1';
const program = 'github.com/temporalio/cli/cmd/temporal@v1.5.1';
const otherwise =
  'set TEMPORAL_ADDRESS to a server of yours, or put the `temporal` command line on PATH, or install Go 1.24 or later';

/** Finds, or fetches, or builds the Temporal development server. See `firstOf` for its errors. */
export function findTemporal(log: Log): Promise<Found> {
  return firstOf('Temporal server', sources(log), otherwise, log);
}

function sources(log: Log): Source[] {
  return [
    { name: '`temporal` on PATH', find: () => recentEnough(findOnPath('temporal')) },
    { name: 'the official download, from the cache', find: () => inFolder(findCached(official)) },
    { name: 'the build by Go, from the cache', find: () => inFolder(findCached(byGo)) },
    { name: 'the official download', find: () => downloaded(log) },
    { name: 'a build by Go', find: () => built(log) },
  ];
}

/** Priorities, update-with-start and worker deployments need server 1.29; the CLI has no use for anything older. */
function recentEnough(file: string | undefined): string | undefined {
  if (!file) return undefined;
  const version = execFileSync(file, ['--version'], { encoding: 'utf8', timeout: 10_000 });
  const [major, minor] = /Server (\d+)\.(\d+)/.exec(version)?.slice(1).map(Number) ?? [];
  if (major === undefined || minor === undefined) throw new Error(`\`${file}\` does not tell its server's version`);
  if (major < 1 || (major === 1 && minor < 29)) throw new Error(`its server is ${major}.${minor}, 1.29 is needed`);
  return file;
}

function inFolder(folder: string | undefined): string | undefined {
  return folder && join(folder, 'temporal');
}

async function downloaded(log: Log): Promise<string | undefined> {
  return inFolder(
    await makeCached(official, log, (folder) =>
      withProgress('downloading Temporal', log, () => download('temporal', folder)),
    ),
  );
}

async function built(log: Log): Promise<string | undefined> {
  const go = findOnPath('go');
  if (!go) throw new Error('no `go` on PATH');
  return inFolder(
    await makeCached(byGo, log, (folder) =>
      withProgress('building Temporal with Go (about 3 minutes, once)', log, () =>
        buildWithGo(go, module, { args: ['install', '-ldflags', '-s -w', program], cwd: folder, folder }),
      ),
    ),
  );
}
