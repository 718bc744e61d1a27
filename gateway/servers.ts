import { setTimeout as delay } from 'node:timers/promises';
import { connectPolicyClient, keyringOf } from '../client/connect.ts';
import { InvalidSetting } from '../client/errors.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import { connect, InvalidUri, type Storage } from '../storage/connection.ts';

/** Temporal and MongoDB, as the environment names them. */
export interface Servers {
  storage: Storage;
  /**
   * The client of Temporal, connected by the first that asks for it: the gateway starts while Temporal is away, and goes on
   * once it is there.
   * @throws the errors of `client/errors.ts`
   */
  client(): Promise<PolicyClient>;
  /** Names of the servers that do not answer. */
  away(): Promise<string[]>;
  close(): Promise<void>;
}

const CONNECT_MS = 2_000;
const LOOK_MS = 2_000;

/** @throws {InvalidSetting}, {InvalidUri} */
export async function serversOf(env: NodeJS.ProcessEnv): Promise<Servers> {
  const { MONGODB_URI } = env;
  if (!MONGODB_URI) throw new InvalidSetting('MONGODB_URI: expected mongodb://host:port/database, found nothing');
  const storage = await connect(MONGODB_URI, { keyring: keyringOf(env) }).catch((error: unknown) => {
    throw error instanceof InvalidUri ? new InvalidSetting(error.message) : error;
  });
  let connecting: Promise<PolicyClient> | undefined;
  const client = (): Promise<PolicyClient> => {
    connecting ??= connectPolicyClient({ env, connectTimeout: CONNECT_MS, boundCalls: true }).catch((error) => {
      connecting = undefined;
      throw error;
    });
    return connecting;
  };
  const answers = {
    temporal: async () => {
      const { temporal } = await client();
      await temporal.withDeadline(Date.now() + LOOK_MS, () => temporal.workflowService.getSystemInfo({}));
    },
    mongodb: () => storage.clock(),
  };
  return {
    storage,
    client,
    away: async () => {
      const asked = Object.entries(answers).map(async ([name, answer]) => {
        const isThere = await Promise.race([
          answer().then(
            () => true,
            () => false,
          ),
          delay(LOOK_MS * 2, false),
        ]);
        return isThere ? [] : [name];
      });
      return (await Promise.all(asked)).flat();
    },
    close: async () => {
      await Promise.all([connecting?.then((connected) => connected.close()).catch(() => {}), storage.close()]);
    },
  };
}
