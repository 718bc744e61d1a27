import {
  Client,
  Connection,
  type ConnectionOptions,
  defaultGrpcRetryOptions,
  makeGrpcRetryInterceptor,
} from '@temporalio/client';
import type { loadClientConnectConfig } from '@temporalio/envconfig';
import { dataConverter } from '../codec/data_converter.ts';
import { misfit } from '../codec/key_notice.ts';
import { InvalidKeys, type Keyring, parseKeys } from '../codec/keys.ts';
import { expectNumber, expectObject } from './arguments.ts';
import { InvalidSetting } from './errors.ts';
import { notConnected } from './explained.ts';
import { ANSWER_MS, PolicyClient, type PolicyClientOptions } from './policy_client.ts';
import { tracedMessages } from './traced.ts';

export interface ConnectOptions extends PolicyClientOptions {
  /**
   * Where `TEMPORAL_*` (as Temporal's own environment configuration has them), `POLICY_SYNC_KEYS` and
   * `POLICY_SYNC_ALLOW_PLAIN` are read from.
   * @default process.env
   */
  env?: NodeJS.ProcessEnv;
  /**
   * How long to wait for the server, in ms.
   * @default 5000, `timeout` where that is less
   */
  connectTimeout?: number;
  /** Gives up calls made through `temporal` itself after `timeout`, too; otherwise they wait without end. */
  boundCalls?: boolean;
}

/**
 * A client of the Temporal server that the environment names, `localhost:7233` where it names none.
 * @throws {InvalidSetting}, {ServerUnreachable}, {ServerRefused}
 */
export async function connectPolicyClient(options: ConnectOptions = {}): Promise<PolicyClient> {
  expectObject(options, 'options');
  const { env = process.env, boundCalls = false, connectTimeout, ...rest } = options;
  expectObject(env, 'options.env');
  for (const name of ['timeout', 'connectTimeout'] as const)
    if (options[name] !== undefined) expectNumber(options[name], `options.${name}`);
  const { namespace = 'default', connectionOptions } = await temporalSettings(env);
  const keyring = keyringOf(env);
  const converter = dataConverter(keyring, { allowPlain: allowsPlain(env) });
  const address = connectionOptions.address ?? 'localhost:7233';
  const connection = await Connection.connect({
    ...connectionOptions,
    address,
    connectTimeout: connectTimeout ?? Math.min(5_000, options.timeout ?? 5_000),
    ...(isLoopback(address) && { channelArgs: DIRECT }),
    ...(boundCalls && { interceptors: within(options.timeout ?? ANSWER_MS) }),
  }).catch((error) => {
    throw notConnected(error, { address });
  });
  const interceptors = { workflow: [tracedMessages] };
  return new PolicyClient(new Client({ connection, namespace, dataConverter: converter, interceptors }), {
    misfit: (identities) => misfit(keyring, identities),
    ...rest,
    close: () => connection.close(),
  });
}

type Interceptor = NonNullable<ConnectionOptions['interceptors']>[number];

/** Gives each call that has no deadline one of so many ms, its retries included: those of the SDK, as by default. */
function within(timeout: number): Interceptor[] {
  return [
    (options, nextCall) =>
      nextCall({ ...options, deadline: options.deadline ?? Date.now() + timeout }) as ReturnType<Interceptor>,
    makeGrpcRetryInterceptor(defaultGrpcRetryOptions()),
  ];
}

// A proxy in the environment is not for this machine's own servers.
const DIRECT = { 'grpc.enable_http_proxy': 0 };

function isLoopback(address: string): boolean {
  return /^(localhost|127\.[\d.]+|\[::1\])(:\d+)?$/.test(address);
}

async function temporalSettings(env: NodeJS.ProcessEnv): Promise<ReturnType<typeof loadClientConnectConfig>> {
  const { loadClientConnectConfig } = await import('@temporalio/envconfig');
  try {
    return loadClientConnectConfig({ overrideEnvVars: given(env) });
  } catch (error) {
    // Only the first line: a parser's further lines quote the file, its API key too.
    const found = error instanceof Error ? (error.message.split('\n')[0] ?? '').slice(0, 200) : 'something else';
    throw new InvalidSetting(
      `TEMPORAL_*: expected settings as Temporal's environment configuration has them: ${found}`,
    );
  }
}

function given(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** As the worker has it: a spelling that neither takes nor refuses would be taken for the other by somebody. */
function allowsPlain({ POLICY_SYNC_ALLOW_PLAIN: given = '0' }: NodeJS.ProcessEnv): boolean {
  if (given !== '0' && given !== '1')
    throw new InvalidSetting(`POLICY_SYNC_ALLOW_PLAIN: expected 0 or 1, found ${JSON.stringify(given)}`);
  return given === '1';
}

/**
 * The keys of `POLICY_SYNC_KEYS`; `undefined` where it is not set.
 * @throws {InvalidSetting}
 */
export function keyringOf(env: NodeJS.ProcessEnv): Keyring | undefined {
  try {
    return parseKeys(env.POLICY_SYNC_KEYS);
  } catch (error) {
    if (error instanceof InvalidKeys) throw new InvalidSetting(error.message);
    throw error;
  }
}
