import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PolicyFields } from '../policy/record.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { type Evidence, type Findings, numberOf } from './findings.ts';
import { saidOf } from './rest.ts';
import type { SimulatedPolicy } from './simulated_policy.ts';
import type { ChaosStage } from './stage.ts';

/** What the run itself saw. */
export type Seen = Pick<Evidence, 'unsettled' | 'deaf' | 'unexpected'>;

/** What the run saw, and what everybody holds. */
export async function evidenceOf(stage: ChaosStage, lives: readonly SimulatedPolicy[], seen: Seen): Promise<Evidence> {
  const { sandbox, witness, stored } = stage;
  const held = await sandbox.get('policies').json<PolicyFields[]>();
  const requests = await sandbox.get('requests').json<LoggedRequest[]>();
  const numberIn = (_id: string): string => _id.slice(_id.indexOf('/') + 1);
  const taken = await stored(async ({ calls, commands }) => [
    ...(await calls.find({ outcome: 'confirmed' }).toArray()).map((call) => ({
      number: numberIn(call.policy),
      request_id: 'request_id' in call ? String(call.request_id) : '',
      where: 'calls',
    })),
    ...(await commands.find({ request_id: { $ne: null } }).toArray()).map(({ policy, request_id }) => ({
      number: numberIn(policy),
      request_id: String(request_id),
      where: 'commands',
    })),
  ]);
  return {
    wanted: new Map(lives.map(({ number, model }) => [number, model.fields])),
    held: new Map(held.map((policy) => [String(policy.out_insurance_no), policy])),
    ...seen,
    requests,
    shown: witness.shown,
    said: await saidOf(stage),
    taken,
  };
}

/** Writes it down, for whoever looks into the run. */
export async function keep(
  directory: string,
  lives: readonly SimulatedPolicy[],
  { wanted, held, requests, shown, said }: Evidence,
  findings: Findings,
): Promise<void> {
  const lines = (values: Iterable<object>): string => [...values].map((value) => `${JSON.stringify(value)}\n`).join('');
  const logged = requests.map((request) => ({
    number: numberOf(request),
    ...request,
    genuine: shown.has(request.request_id),
  }));
  const policies = lives.map(({ number, plan }) => ({
    ...{ number, plan, wanted: wanted.get(number), held: held.get(number), said: said.get(number) },
  }));
  const files = {
    'requests.jsonl': lines(logged),
    'policies.jsonl': lines(policies),
    'findings.json': JSON.stringify(findings, null, 2),
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
}
