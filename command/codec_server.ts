import { type Command, InvalidArgumentError } from 'commander';
import { messageOf } from './error_text.ts';
import { port } from './options.ts';
import { untilTold } from './until_told.ts';
import { UsageError } from './usage.ts';

interface Options {
  host: string;
  port: number;
  uiOrigin?: string[];
}

const SETTINGS = `
Settings: POLICY_SYNC_KEYS, the payload keys; POLICY_SYNC_CODEC_TOKEN, which those who decode show, and
POLICY_SYNC_CODEC_ENCODE_TOKEN, which those who encode do (or …_FILE, the path of a file; several with blanks between).
For the token of a user who is signed in to the UI: POLICY_SYNC_CODEC_JWKS, POLICY_SYNC_CODEC_ISSUER,
POLICY_SYNC_CODEC_AUDIENCE, and POLICY_SYNC_CODEC_CLAIM (NAME=VALUE[,VALUE…]). Without any of these it listens on
loopback only, and whoever reaches it may do both.`;

export function addCodecServer(program: Command): void {
  program
    .command('codec-server')
    .description('open sealed payloads for the Temporal UI and command line; prints {"url": …} when it listens')
    .option(
      '--host <address>',
      'address to listen on; where others reach it, put a proxy with TLS before it',
      '127.0.0.1',
    )
    .option('--port <n>', 'port, 0 for a free one', port, 0)
    .option(
      '--ui-origin <origin>',
      'origin of a Temporal UI that may ask, such as https://temporal.example.com; may be repeated',
      origin,
    )
    .option('--json', 'changes nothing: it writes JSON anyway')
    .addHelpText('after', SETTINGS)
    .action(async ({ host, port, uiOrigin = [] }: Options) => {
      const [{ startCodecServer }, { codecSettings }, { makeLog }] = await Promise.all([
        import('../codec/server.ts'),
        import('./codec_settings.ts'),
        import('../worker/log.ts'),
      ]);
      const { logLevel, ...settings } = codecSettings(process.env);
      const told = untilTold();
      const log = makeLog(logLevel);
      const server = await startCodecServer({ ...settings, host, port, uiOrigins: uiOrigin, log }).catch((error) => {
        // A port that is taken is no wrong usage: the same command is right once it is free.
        throw 'syscall' in error ? error : new UsageError(messageOf(error));
      });
      process.stdout.write(`${JSON.stringify({ url: server.url })}\n`);
      await told;
      await server.close();
    });
}

function origin(text: string, others: string[] = []): string[] {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.origin !== text.replace(/\/$/, ''))
    throw new InvalidArgumentError('Expected an origin such as https://temporal.example.com.');
  return [...others, url.origin];
}
