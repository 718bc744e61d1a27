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
  /** The same with little patience: a person who looks at a policy is told what MongoDB keeps while Temporal is away. */
  glance(): Promise<PolicyClient>;
  /** Names of the servers that do not answer. */
  away(): Promise<string[]>;
  close(): Promise<void>;
}

const CONNECT_MS = 2_000;
const LOOK_MS = 2_000;
const GLANCE_MS = 4_000;

/** @throws {InvalidSetting}, {InvalidUri} */
export async function serversOf(env: NodeJS.ProcessEnv): Promise<Servers> {
  const { MONGODB_URI } = env;
  if (!MONGODB_URI) throw new InvalidSetting('MONGODB_URI: expected mongodb://host:port/database, found nothing');
  const storage = await connect(MONGODB_URI, { keyring: keyringOf(env) }).catch((error: unknown) => {
    throw error instanceof InvalidUri ? new InvalidSetting(error.message) : error;
  });
  const [client, glance] = [connected(env), connected(env, GLANCE_MS)];
  const answers = {
    temporal: async () => {
      const { temporal } = await glance.asked();
      await temporal.withDeadline(Date.now() + LOOK_MS, () => temporal.workflowService.getSystemInfo({}));
    },
    mongodb: () => storage.clock(),
  };
  return {
    storage,
    client: client.asked,
    glance: glance.asked,
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
      await Promise.all([client.close(), glance.close(), storage.close()]);
    },
  };
}

/** A client that is connected by the first who asks for it, and tried again by the next where that failed. */
function connected(env: NodeJS.ProcessEnv, timeout?: number) {
  let connecting: Promise<PolicyClient> | undefined;
  return {
    asked: (): Promise<PolicyClient> => {
      const options = { env, connectTimeout: CONNECT_MS, boundCalls: true, ...(timeout !== undefined && { timeout }) };
      connecting ??= connectPolicyClient(options).catch((error) => {
        connecting = undefined;
        throw error;
      });
      return connecting;
    },
    close: async (): Promise<void> => {
      await connecting?.then((client) => client.close()).catch(() => {});
    },
  };
}
