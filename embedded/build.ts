import { readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { lastLines, startGuarded, type Task } from './guarded.ts';

/**
 * Runs a command to its end, with its output in `logFile`.
 * @param silentFor milliseconds without anything new in the log's folder, the log included, after which the command is
 *   ended and counts as failed
 * @throws Error in one line, the last one of its output
 */
export async function runToEnd(task: Task, silentFor = Number.POSITIVE_INFINITY): Promise<void> {
  const program = await startGuarded(task);
  let silent = false;
  const watch = watchSize(dirname(task.logFile), silentFor, () => {
    silent = true;
    void program.stop();
  });
  const exit = await program.exited.finally(() => clearInterval(watch));
  if (exit.code === 0) return;
  if (silent) throw new Error(`no answer for ${Math.round(silentFor / 1_000)} s`);
  throw new Error((exit.code !== null && lastLines(task.logFile, 1)) || exit.reason);
}

/**
 * Builds a Go program into `folder`. Whether the module proxy can be reached is asked first: the build itself would try
 * for minutes.
 * @param build what follows `go`, the folder it runs in, and what is waited for before it, once the proxy has answered
 * @throws Error in one line when the proxy does not answer within 8 s or the build fails
 */
export async function buildWithGo(
  go: string,
  module: string,
  build: { args: string[]; cwd: string; folder: string; after?: Promise<void> },
): Promise<void> {
  const logFile = join(build.folder, 'build.log');
  const env = { ...process.env, GOBIN: build.folder, CGO_ENABLED: '0' };
  await runToEnd({ command: go, args: ['list', '-m', module], cwd: build.folder, env, logFile }, 8_000);
  await build.after;
  await runToEnd({ command: go, args: build.args, cwd: build.cwd, env, logFile });
}

function watchSize(folder: string, silentFor: number, onSilent: () => void): NodeJS.Timeout {
  let size = -1;
  let grown = Date.now();
  return setInterval(() => {
    const now = sizeOf(folder);
    if (now !== size) grown = Date.now();
    size = now;
    if (Date.now() - grown > silentFor) onSilent();
  }, 250);
}

/** Bytes in a folder and those below it. What goes while it is looked at counts as nothing. */
function sizeOf(folder: string): number {
  try {
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    return names.reduce((sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0), 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return 0;
  }
}
