import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

const ENDINGS = ['SIGINT', 'SIGTERM'] as const;

/**
 * What a command writes. Its process has a group of its own, so that a time-out (ms) or the end of this process ends what it
 * has started, too: `npm` runs others.
 */
export async function run(
  command: string,
  args: string[],
  { timeout = 600_000, ...options }: { cwd?: string; env?: NodeJS.ProcessEnv; timeout?: number } = {},
): Promise<{ stdout: string; stderr: string }> {
  const child = spawn(command, args, { ...options, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const endGroup = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      // It has ended, and all that it started.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  const interrupted = (): void => {
    endGroup();
    process.exit(1);
  };
  for (const signal of ENDINGS) process.on(signal, interrupted);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    endGroup();
  }, timeout);
  try {
    const ended = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
    const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    if (code === 0 && !late) return { stdout, stderr };
    const why = late ? `no end after ${timeout / 1000} s` : `ended with ${code}`;
    throw Object.assign(new Error(`${[command, ...args].join(' ')}: ${why}`), { stdout, stderr });
  } finally {
    clearTimeout(timer);
    for (const signal of ENDINGS) process.off(signal, interrupted);
  }
}
