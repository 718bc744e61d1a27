import type { Command } from 'commander';
import { port } from './options.ts';
import { note } from './output.ts';
import { untilTold } from './until_told.ts';

interface Options {
  host: string;
  port: number;
  tokens?: string;
}

const SETTINGS = `
Settings: those of every command; MONGODB_URI is required; POLICY_SYNC_TOKENS, the file of tokens (\`policy-sync token\` makes
them), read again when it changes. Without it, it listens on loopback only, and whoever reaches it may do all.`;

export function addServe(program: Command): void {
  program
    .command('serve')
    .description('serve HTTP and JSON for systems in other languages; prints {"url": …} when it listens')
    .option(
      '--host <address>',
      'address to listen on; where others reach it, put a proxy with TLS before it',
      '127.0.0.1',
    )
    .option('--port <n>', 'port, 0 for a free one', port, 0)
    .option('--tokens <file>', 'file of tokens (default: POLICY_SYNC_TOKENS)')
    .option('--json', 'changes nothing: it writes JSON anyway')
    .addHelpText('after', SETTINGS)
    .action(async ({ host, port, tokens = process.env.POLICY_SYNC_TOKENS }: Options) => {
      const [{ startGateway }, { serversOf }, { makeLog }, { logLevelOf }] = await Promise.all([
        import('../gateway/server.ts'),
        import('../gateway/servers.ts'),
        import('../worker/log.ts'),
        import('./log_level.ts'),
      ]);
      const told = untilTold();
      const log = makeLog(logLevelOf(process.env));
      const servers = await serversOf(process.env);
      try {
        const gateway = await startGateway({ servers, host, port, tokensFile: tokens, log });
        if (tokens === undefined)
          note("POLICY_SYNC_TOKENS is not set: whoever reaches this machine's loopback may do all");
        process.stdout.write(`${JSON.stringify({ url: gateway.url })}\n`);
        await told;
        await gateway.close();
      } finally {
        await servers.close();
      }
    });
}
