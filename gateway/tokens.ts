import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { z } from 'zod';
import { InvalidSetting } from '../client/errors.ts';
import { foundKind, OWN_WORDS } from '../policy/expected.ts';
import { only } from '../policy/record.ts';

/**
 * What a token may do. `read`: see policies, personal values masked. `write`: open policies, and tell what happens to them.
 * `operate`: verify, accept, resume, hold, unhold, observe. `reveal`: see personal values, which leaves a line among the commands.
 */
export const ROLES = ['read', 'write', 'operate', 'reveal'] as const;
export type Role = (typeof ROLES)[number];

/** Who asks, and what that one may do. */
export interface Who {
  /** Name of the token; undefined where nobody has to show one. */
  name: string | undefined;
  merchants: '*' | readonly string[];
  roles: readonly Role[];
}

const SETTING = 'POLICY_SYNC_TOKENS';
const hash = () => z.string().regex(/^[0-9a-f]{64}$/, { error: 'expected a SHA-256 in hexadecimal, in small letters' });
const mchid = () => z.string().regex(/^\d{8,10}$/, { error: 'expected a merchant id of 8 to 10 digits' });

const entrySchema = only({
  sha256: z.union([hash(), z.array(hash()).min(1)]),
  merchants: z.union([z.literal('*'), z.array(mchid()).min(1)]),
  roles: z.array(z.enum(ROLES)).min(1),
});
export const tokensSchema = z.record(
  z.string().regex(/^[\w.@-]{1,64}$/, { error: 'expected a name of 1 to 64 letters, digits, or . _ - @' }),
  entrySchema,
);
type Entries = z.output<typeof tokensSchema>;

/** What a new token is called in the file, and the token, which nobody can be told again. */
export function newToken({ name, merchants, roles }: Who & { name: string }): { token: string; entry: Entries } {
  const token = `ps_${randomBytes(32).toString('base64url')}`;
  const sha256 = digest(token).toString('hex');
  return {
    token,
    entry: { [name]: { sha256, merchants: merchants === '*' ? '*' : [...merchants], roles: [...roles] } },
  };
}

type Known = Who & { hash: Buffer };

/** The file's content is looked at anew after so long. */
const LOOK_MS = 1_000;

/**
 * The tokens of a file, as it is now: an edit counts within a second, without a restart. One that cannot be used keeps what was,
 * and is told once.
 */
export class Tokens {
  readonly #file: string;
  readonly #told: (fault: string) => void;
  #known: readonly Known[];
  #stamp: string;
  #looked = Date.now();

  /**
   * @param told is given, in one line, why an edit of the file is not taken
   * @throws {InvalidSetting} when the file cannot be used
   */
  constructor(file: string, told: (fault: string) => void) {
    this.#file = file;
    this.#told = told;
    this.#stamp = stampOf(file);
    this.#known = knownIn(file);
  }

  /** Whose token it is. Every hash is compared, in the same time wherever it differs. */
  whose(token: string): Who | undefined {
    this.#look();
    const given = digest(token);
    return this.#known.filter((one) => timingSafeEqual(one.hash, given))[0];
  }

  #look(): void {
    if (Date.now() - this.#looked < LOOK_MS) return;
    this.#looked = Date.now();
    const stamp = stampOf(this.#file);
    if (stamp === this.#stamp) return;
    this.#stamp = stamp;
    try {
      this.#known = knownIn(this.#file);
    } catch (error) {
      if (!(error instanceof InvalidSetting)) throw error;
      this.#told(`${error.message}; what was goes on`);
    }
  }
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** Other where the file is: an editor may put another in its place. */
function stampOf(file: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(file);
    return [ino, size, mtimeMs].join('/');
  } catch (error) {
    // Whoever reads it says so.
    return (error as NodeJS.ErrnoException).code ?? 'unreadable';
  }
}

function knownIn(file: string): Known[] {
  return Object.entries(entriesIn(file)).flatMap(([name, { sha256, merchants, roles }]) =>
    [sha256].flat().map((hex) => ({ name, merchants, roles, hash: Buffer.from(hex, 'hex') })),
  );
}

function entriesIn(file: string): Entries {
  const refused = (expected: string, found: string): never => {
    throw new InvalidSetting(`${SETTING}: expected ${expected} at ${file}, found ${found}`);
  };
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    // A parser's message quotes the text, which may be a token pasted into the wrong place.
    return refused('a JSON file of tokens', (error as NodeJS.ErrnoException).code ?? 'something else');
  }
  const { success, error, data } = tokensSchema.safeParse(content, OWN_WORDS);
  if (success) return data;
  const [issue] = error.issues;
  const where = issue?.path.map(String).join('.');
  const why = issue && `${issue.message}${foundKind(issue, content)}`;
  throw new InvalidSetting(`${SETTING}: ${file}: ${where ? `${where}: ` : ''}${why}`);
}
