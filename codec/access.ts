import { createHash, timingSafeEqual } from 'node:crypto';
import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify } from 'jose';

export type Verb = 'decode' | 'encode';

/** Who may open and who may seal payloads. Without any of it, whoever reaches the server may do both. */
export interface AccessSettings {
  /** Bearer tokens; any of them will do, so that one can be replaced by another. */
  tokens?: Partial<Record<Verb, readonly string[]>>;
  /** People who are signed in to the Temporal UI, by the access token that it passes on: they may decode. */
  signedIn?: SignedIn;
}

export interface SignedIn {
  /** Where the identity provider has its keys: a JSON Web Key Set. */
  jwks: URL;
  issuer: string;
  audience: string;
  /** A claim that must have, or contain, one of the values. */
  claim?: { name: string; values: readonly string[] };
}

/** `by`: a word for the log, no token. */
export type May = { by?: string } | { status: 401 | 403 | 503; refused: string };

const LACKING = { status: 401, refused: 'expected "Authorization: Bearer TOKEN", found none' } as const;
const WRONG = { status: 401, refused: 'the token is none that may ask for this' } as const;
const PROVIDERS = ['ERR_JOSE_GENERIC', 'ERR_JWKS_TIMEOUT', 'ERR_JWKS_INVALID'];
const UNKNOWN = { status: 503, refused: 'the keys of the identity provider cannot be had: try again later' } as const;
const CLOSED = { status: 403, refused: 'nobody may ask for this here: no token was set for it' } as const;

/** With the provider's keys, which are fetched when they are needed and kept. */
type Verifier = SignedIn & { keys: ReturnType<typeof createRemoteJWKSet> };

export class Access {
  readonly #tokens: Record<Verb, readonly Buffer[]>;
  readonly #signedIn: Verifier | undefined;

  constructor({ tokens = {}, signedIn }: AccessSettings) {
    this.#tokens = { decode: (tokens.decode ?? []).map(digest), encode: (tokens.encode ?? []).map(digest) };
    this.#signedIn = signedIn && { ...signedIn, keys: createRemoteJWKSet(signedIn.jwks) };
  }

  /** Nobody has to show a token. */
  get isOpen(): boolean {
    return !this.#signedIn && Object.values(this.#tokens).every((tokens) => tokens.length === 0);
  }

  /** Whether a request with that `Authorization` may decode or encode. */
  async may(verb: Verb, authorization: string | undefined): Promise<May> {
    if (this.isOpen) return {};
    const signedIn = verb === 'decode' ? this.#signedIn : undefined;
    if (this.#tokens[verb].length === 0 && !signedIn) return CLOSED;
    const [, token] = /^Bearer +(\S+)$/i.exec(authorization ?? '') ?? [];
    if (token === undefined) return LACKING;
    if (isAmong(digest(token), this.#tokens[verb])) return { by: 'token' };
    return signedIn ? verified(token, signedIn) : WRONG;
  }
}

async function verified(token: string, { keys, issuer, audience, claim }: Verifier): Promise<May> {
  try {
    const { payload } = await jwtVerify(token, keys, { issuer, audience, requiredClaims: ['exp'] });
    return claim && !has(payload, claim) ? { status: 403, refused: 'this user may not decode' } : { by: payload.sub };
  } catch (error) {
    // What fetch throws, and what jose says of an answer that is no key set.
    const isProviders = !(error instanceof errors.JOSEError) || PROVIDERS.includes(error.code);
    return isProviders ? UNKNOWN : WRONG;
  }
}

function has(payload: JWTPayload, { name, values }: NonNullable<SignedIn['claim']>): boolean {
  return [payload[name]].flat().some((value) => values.includes(String(value)));
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** In the same time wherever it differs, and whatever its length: digests are compared, every one of them. */
function isAmong(one: Buffer, all: readonly Buffer[]): boolean {
  return all.filter((other) => timingSafeEqual(one, other)).length > 0;
}
