import { loadClientConnectConfig } from '@temporalio/envconfig';
import type { NativeConnectionOptions } from '@temporalio/worker';
import { z } from 'zod';
import { InvalidKeys, type Keyring, parseKeys } from '../codec/keys.ts';
import { DAY, durationOf } from '../policy/duration.ts';
import { OWN_WORDS } from '../policy/expected.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

export interface Settings {
  temporal: { namespace: string; connection: NativeConnectionOptions; address: string };
  mongoUri: string;
  /** Payload keys; without them payloads and records are in the clear. */
  keyring: Keyring | undefined;
  /** Whether payloads in the clear are taken although there are keys. */
  allowPlain: boolean;
  /** The WECHATPAY_MERCHANTS file. */
  merchantsFile: string;
  logLevel: (typeof LOG_LEVELS)[number];
  /** How long documents, and personal data of ended policies, are kept in MongoDB, in ms; Infinity: for ever. */
  kept: Record<'calls' | 'commands' | 'discrepancies' | 'events' | 'personal', number>;
  /** The POLICY_SYNC_WEBHOOKS file; without it nobody is told of events. */
  webhooksFile: string | undefined;
  /** Where metrics are served; nowhere without a port. */
  metrics: { host: string; port: number } | undefined;
}

/** Settings that can't be used: every fault is one line that names the setting, what was expected, and what was found. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.faults = faults;
  }
}

// Values that may be or hold a secret are never shown as what was found.
export const settingsSchema = z.object({
  MONGODB_URI: z
    .string({ error: 'expected mongodb://host:port/database, found nothing' })
    .regex(/^mongodb(\+srv)?:\/\/\S+$/, { error: 'expected mongodb://host:port/database, found something else' }),
  WECHATPAY_MERCHANTS: z
    .string({ error: 'expected the path of the merchants file (JSON), found nothing' })
    .min(1, { error: 'expected the path of the merchants file (JSON), found an empty text' }),
  POLICY_SYNC_ALLOW_PLAIN: z.enum(['0', '1'], { error: found('0 or 1') }).default('0'),
  POLICY_SYNC_LOG_LEVEL: z.enum(LOG_LEVELS, { error: found(LOG_LEVELS.join(', ')) }).default('info'),
  POLICY_SYNC_CALLS_KEPT: keptFor('90d'),
  POLICY_SYNC_COMMANDS_KEPT: keptFor('forever'),
  POLICY_SYNC_DISCREPANCIES_KEPT: keptFor('forever'),
  POLICY_SYNC_PERSONAL_KEPT: keptFor('forever'),
  // Longer than an event is tried.
  POLICY_SYNC_EVENTS_KEPT: keptFor('30d', { least: 7 }),
  POLICY_SYNC_WEBHOOKS: z
    .string()
    .min(1, { error: 'expected the path of the webhooks file (JSON), found an empty text' })
    .optional(),
  POLICY_SYNC_METRICS_HOST: z.string().min(1).default('127.0.0.1'),
  POLICY_SYNC_METRICS_PORT: z
    .string()
    .refine((port) => /^\d{1,5}$/.test(port) && Number(port) <= 65_535, { error: found('a port, 0 to 65535') })
    .optional(),
});

function keptFor(usual: string, { least = 1 }: { least?: number } = {}) {
  const days = least === 1 ? 'a day' : `${least} days`;
  const expected = `a duration of ${days} at least, such as 90d, or forever`;
  return z
    .string()
    .refine((text) => keptOf(text) >= least * DAY, { error: found(expected) })
    .default(usual);
}

/** In ms; 0 for what is no duration. */
function keptOf(text: string): number {
  return text === 'forever' ? Number.POSITIVE_INFINITY : (durationOf(text) ?? 0);
}

function found(expected: string): (issue: { input?: unknown }) => string {
  return ({ input }) => `expected ${expected}, found ${JSON.stringify(input)}`;
}

/**
 * Settings of a worker from its environment.
 * @throws {SettingsError} with every fault at once
 */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  const faults: string[] = [];
  const own = settingsSchema.safeParse(env, OWN_WORDS);
  if (!own.success) faults.push(...own.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`));
  const keyring = collected(faults, () => parseKeys(env.POLICY_SYNC_KEYS));
  const temporal = collected(faults, () => temporalSettings(env));
  if (!own.success || !temporal || faults.length > 0) throw new SettingsError(faults);
  const { MONGODB_URI, WECHATPAY_MERCHANTS, POLICY_SYNC_METRICS_PORT: port, ...rest } = own.data;
  return {
    temporal,
    mongoUri: MONGODB_URI,
    keyring,
    allowPlain: rest.POLICY_SYNC_ALLOW_PLAIN === '1',
    merchantsFile: WECHATPAY_MERCHANTS,
    logLevel: rest.POLICY_SYNC_LOG_LEVEL,
    kept: {
      calls: keptOf(rest.POLICY_SYNC_CALLS_KEPT),
      commands: keptOf(rest.POLICY_SYNC_COMMANDS_KEPT),
      discrepancies: keptOf(rest.POLICY_SYNC_DISCREPANCIES_KEPT),
      events: keptOf(rest.POLICY_SYNC_EVENTS_KEPT),
      personal: keptOf(rest.POLICY_SYNC_PERSONAL_KEPT),
    },
    webhooksFile: rest.POLICY_SYNC_WEBHOOKS,
    metrics: port === undefined ? undefined : { host: rest.POLICY_SYNC_METRICS_HOST, port: Number(port) },
  };
}

function temporalSettings(env: NodeJS.ProcessEnv): Settings['temporal'] {
  const entries = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const { namespace = 'default', connectionOptions } = loadClientConnectConfig({
    overrideEnvVars: Object.fromEntries(entries),
  });
  const { address = 'localhost:7233', tls, apiKey, metadata } = connectionOptions;
  const connection = { address, tls, apiKey, metadata } as NativeConnectionOptions;
  return { namespace, address, connection };
}

function collected<T>(faults: string[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    // A parser's message goes on by quoting the file, keys and all.
    const [reason = ''] = error.message.split('\n');
    const known = error instanceof InvalidKeys;
    faults.push(known ? reason : `TEMPORAL_*: expected Temporal's own environment configuration, found: ${reason}`);
    return undefined;
  }
}
