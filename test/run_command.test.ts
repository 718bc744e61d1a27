import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until } from './client_namespace.ts';
import { run } from './run_command.ts';

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    // ESRCH: no such process.
    return false;
  }
}

describe('a command that is run to its end', () => {
  it('gives what it writes, and fails with it where it fails', async () => {
    assert.deepEqual(await run('sh', ['-c', 'echo out; echo err >&2']), { stdout: 'out\n', stderr: 'err\n' });
    await assert.rejects(run('sh', ['-c', 'echo out; exit 3']), { message: /ended with 3/, stdout: 'out\n' });
    await assert.rejects(run('/no/such/program', []), { code: 'ENOENT' });
  });

  for (const [what, script] of [
    ['while it waits for them', 'sleep 600 & echo $!; wait'],
    ['though it has ended before them', 'sleep 600 & echo $!'],
  ] as const)
    it(`is ended by its time-out with all that it has started, ${what}`, async () => {
      const failure = await run('sh', ['-c', script], { timeout: 500 }).then(
        () => assert.fail('it ended by itself'),
        (error: { stdout: string }) => error,
      );
      const started = Number(failure.stdout);
      assert.ok(started > 1, failure.stdout);
      await until(async () => !isThere(started));
    });
});
