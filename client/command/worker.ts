import type { Command } from 'commander';

export function addWorker(program: Command): void {
  program
    .command('worker')
    .description('run a worker, until it is asked to end')
    .option('--promote', 'make its version the current one, without which no version gets work')
    .action(async ({ promote = false }: { promote?: boolean }) => {
      const { runWorker } = await import('../../worker/run.ts');
      await runWorker({ promote });
    });
}
