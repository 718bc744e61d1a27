import type { PolicyClient } from '../client/policy_client.ts';
import type { Common } from './options.ts';

/** Runs `work` with a client of the Temporal server that the environment names, and closes it. */
export async function withClient<T>(options: Common, work: (client: PolicyClient) => Promise<T>): Promise<T> {
  const { connectPolicyClient } = await import('../client/connect.ts');
  const client = await connectPolicyClient({ timeout: options.timeout, boundCalls: true });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}
