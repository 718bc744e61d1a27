import { type Command, InvalidArgumentError } from 'commander';
import { print } from './output.ts';

interface Options {
  merchants: string[] | '*';
  roles: string[];
  json?: boolean;
}

export function addToken(program: Command): void {
  program
    .command('token <NAME>')
    .description(
      'make a token for `serve`, shown this once, and its entry for the file of tokens, which has only a hash',
    )
    .option('--merchants <ids>', 'merchants that it is for, such as 1900000001,1900000002, or *', merchants, '*')
    .option('--roles <roles>', 'what it may do: read, write, operate, reveal', words, ['read', 'write'])
    .option('--json', 'write JSON, for programs')
    .action(async (name: string, options: Options) => {
      const [{ newToken, tokensSchema }, { OWN_WORDS }, { UsageError }] = await Promise.all([
        import('../gateway/tokens.ts'),
        import('../policy/expected.ts'),
        import('./usage.ts'),
      ]);
      const { token, entry } = newToken({ name, ...options } as Parameters<typeof newToken>[0]);
      const fault = tokensSchema.safeParse(entry, OWN_WORDS).error?.issues[0];
      if (fault) throw new UsageError(`token: ${fault.path.map(String).join('.')}: ${fault.message}`);
      print(options.json, { token, entry }, () => `${token}\n\nfor the file of tokens:\n${JSON.stringify(entry)}`);
    });
}

function merchants(text: string): string[] | '*' {
  return text === '*' ? '*' : words(text);
}

function words(text: string): string[] {
  const found = text.split(',').map((word) => word.trim());
  if (found.includes('')) throw new InvalidArgumentError('Expected words with commas between.');
  return found;
}
