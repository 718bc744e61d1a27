import type { Command } from 'commander';
import { port } from './options.ts';
import { untilTold } from './until_told.ts';

interface Options {
  port: number;
  keys: string;
  strict?: boolean;
}

export function addSandbox(program: Command): void {
  program
    .command('sandbox')
    .description('a WeChat Pay to develop against; prints {"url": …} when it listens')
    .option('--port <n>', 'port, 0 for a free one', port, 0)
    .requiredOption('--keys <dir>', 'folder of its keys, made if missing')
    .option('--strict', "also refuse what WeChat Pay's documentation forbids, though it may not refuse it")
    .option('--json', 'changes nothing: it writes JSON anyway')
    .action(async ({ port, keys, strict = false }: Options) => {
      const { startSandbox } = await import('../sandbox/server.ts');
      const told = untilTold();
      const sandbox = await startSandbox({ port, keys, strict });
      process.stdout.write(`${JSON.stringify({ url: sandbox.url })}\n`);
      await told;
      await sandbox.close();
    });
}
