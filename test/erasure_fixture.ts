// A person whose policy is erased, and where one looks for what is left.
import proto from '@temporalio/proto';
import type { Storage } from '../storage/connection.ts';
import type { Stage } from './client_stage.ts';

/** What a person said of oneself, in no other policy. */
export function personOf(number: string) {
  return {
    insured_name_list: [`王${number}`],
    car_number: `粤B${number}`,
    pet_name: `小白${number}`,
    address: `长安街${number}号`,
    coverage_detail: `可保${number}`,
    amended: `中山路${number}号`,
    drifted: `解放路${number}号`,
    openid: `openid-${number}`,
    reason: `怀孕${number}`,
    by: `operator-${number}`,
    event: `event-${number}`,
  };
}

/** Which of a person's values are found, and in which place. */
export async function leftOf(number: string, storage: Storage, { client }: Pick<Stage, 'client'>): Promise<string[]> {
  const values = Object.entries(personOf(number));
  const found = new Set<string>();
  const look = (place: string, text: string): void => {
    for (const [name, value] of values) if (text.includes(String(value))) found.add(`${place}: ${name}`);
  };
  for (const name of ['policies', 'calls', 'commands', 'discrepancies', 'merchants', 'findings', 'sweeps'] as const)
    look(name, JSON.stringify(await storage[name].find({}).toArray()));
  const { workflow } = client.temporal;
  for await (const { workflowId, runId, memo } of workflow.list()) {
    look('Temporal', JSON.stringify(memo ?? {}));
    const history = await workflow.getHandle(workflowId, runId).fetchHistory().catch(gone);
    look('Temporal', Buffer.from(proto.temporal.api.history.v1.History.encode(history).finish()).toString());
  }
  return [...found].sort();
}

/** Listed still, and deleted meanwhile. */
function gone(error: Error) {
  if (error.name !== 'WorkflowNotFoundError') throw error;
  return {};
}
