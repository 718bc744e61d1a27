import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { InvalidSetting } from '../client/errors.ts';
import type { AccessSettings } from '../codec/access.ts';
import { type Keyring, parseKeys } from '../codec/keys.ts';
import { OWN_WORDS } from '../policy/expected.ts';
import { logLevelOf } from './log_level.ts';

const SHORTEST_TOKEN = 16;

const provider = z.object({
  POLICY_SYNC_CODEC_JWKS: z.url({ protocol: /^https?$/, error: 'expected the URL of the identity provider’s key set' }),
  POLICY_SYNC_CODEC_ISSUER: z.string({ error: 'expected the "iss" of the tokens' }).min(1),
  POLICY_SYNC_CODEC_AUDIENCE: z.string({ error: 'expected the "aud" of the tokens' }).min(1),
  POLICY_SYNC_CODEC_CLAIM: z
    .string()
    .regex(/^[^=]+=.+$/, { error: 'expected NAME=VALUE[,VALUE…]' })
    .optional(),
});

/**
 * Keys of the codec server, who may use it, and how much it logs.
 * @throws {InvalidSetting}, {InvalidKeys} in one line that names the setting and no secret
 */
export function codecSettings(env: NodeJS.ProcessEnv): AccessSettings & { keyring: Keyring; logLevel: string } {
  const keyring = parseKeys(env.POLICY_SYNC_KEYS);
  if (!keyring)
    throw new InvalidSetting('POLICY_SYNC_KEYS: expected the payload keys of workers and clients, found nothing');
  const decode = tokensOf(env, 'POLICY_SYNC_CODEC_TOKEN');
  const encode = tokensOf(env, 'POLICY_SYNC_CODEC_ENCODE_TOKEN');
  const signedIn = signedInOf(env);
  return { keyring, logLevel: logLevelOf(env), tokens: { decode, encode }, ...(signedIn && { signedIn }) };
}

/** Of the setting itself, or of the file that `…_FILE` names: one token, or several with blanks or line ends between. */
function tokensOf(env: NodeJS.ProcessEnv, name: string): string[] {
  const file = env[`${name}_FILE`];
  const text = file === undefined ? env[name] : textOf(file, `${name}_FILE`);
  if (text === undefined) return [];
  if (file !== undefined && env[name] !== undefined)
    throw new InvalidSetting(`${name}: expected this or ${name}_FILE, found both`);
  const tokens = text.split(/\s+/).filter(Boolean);
  // One that failed to arrive must not open the door.
  if (tokens.length === 0) throw new InvalidSetting(`${name}: expected a token, found an empty text`);
  if (tokens.some((token) => token.length < SHORTEST_TOKEN))
    throw new InvalidSetting(
      `${name}: expected ${SHORTEST_TOKEN} characters or more (openssl rand -hex 32), found fewer`,
    );
  return tokens;
}

function textOf(file: string, setting: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new InvalidSetting(`${setting}: expected the path of a file with a token, found ${code} at ${file}`);
  }
}

function signedInOf(env: NodeJS.ProcessEnv): AccessSettings['signedIn'] {
  if (!Object.keys(provider.shape).some((name) => env[name] !== undefined)) return undefined;
  const { success, error, data } = provider.safeParse(env, OWN_WORDS);
  if (!success) {
    const [issue] = error.issues;
    throw new InvalidSetting(
      `${issue?.path.join('.')}: ${issue?.message}, found ${env[`${issue?.path[0]?.toString()}`] ?? 'nothing'}`,
    );
  }
  const [name = '', values = ''] = data.POLICY_SYNC_CODEC_CLAIM?.split(/=(.*)/s) ?? [];
  return {
    jwks: new URL(data.POLICY_SYNC_CODEC_JWKS),
    issuer: data.POLICY_SYNC_CODEC_ISSUER,
    audience: data.POLICY_SYNC_CODEC_AUDIENCE,
    ...(data.POLICY_SYNC_CODEC_CLAIM && { claim: { name, values: values.split(',') } }),
  };
}
