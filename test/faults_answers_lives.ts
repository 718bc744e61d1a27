// WeChat Pay's answers gone wrong in every way, at the steps of a policy's life where it can happen (docs/faults.md): `npm test` takes
// every answer through a life, `npm run test:all` through those of an upload and of a verification, too.
// Each case has a policy of its own; they run at the same time, for most of it is waiting.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { type Action, FAULTS, type Fault, type Given } from './faults_answers_list.ts';
import { CODE, world } from './faults_answers_world.ts';
import { eventually, type Life, type PolicyFault, type Terms } from './faults_fixture.ts';

export const UPLOAD = {
  settings: { upload: { appid: 'wx1', openid: 'o1' }, verification: { every: '2s' } },
  changes: { insurance_company_code: 'IC1', free_insurance: false },
};

/** An attempt as `calls` has it: its method, and its code where it failed. */
export type Attempt = [method: string, code: string | null];

/** What one step of a life is under: nothing at all where the fault cannot hit it. */
interface Hit {
  fault: Fault;
  faults: (number: string) => PolicyFault[];
  terms: Terms;
}

interface Step {
  name: string;
  /** Whether the call that is hit takes effect; absent for a query. */
  effect?: boolean;
  /** A life begins with its first step. */
  live(life: Life | undefined, hit: Hit): Promise<Life>;
  /** The attempts that it has to take. */
  attempts(fault: Fault): Attempt[];
  /** What WeChat Pay has to hold then, beside what it held. */
  held?: PolicyFields;
}

const many = (count: number, ...attempt: Attempt): Attempt[] => Array.from({ length: count }, () => attempt);
const query = ({ times = 1, code }: Fault): Attempt[] => [...many(times, 'GET', code), ['GET', null]];

/** A write that is hit, and what follows: where it had no effect it is made again. */
function write({ harmless, times = 1, code }: Fault, method: string, effect: boolean, known = true): Attempt[] {
  if (harmless) return [...many(times, method, code), [method, null]];
  const asked: Attempt = ['GET', effect || known ? null : 'NOT_FOUND'];
  return [[method, code], ...many(times - 1, 'GET', code), asked, ...many(effect ? 0 : 1, method, null)];
}

/** A command given while calls go wrong. */
const commanded = (send: (life: Life) => Promise<unknown>): Step['live'] => {
  return async (life, { terms, faults }) => {
    assert.ok(life);
    world.serve(life.number, terms);
    await world.fault(life.number, ...faults(life.number));
    await send(life);
    await world.rests(life.number);
    return life;
  };
};

const opening: Step = {
  name: 'at the GET of the opening',
  async live(_none, hit) {
    const life = await world.opened(hit);
    await world.rests(life.number);
    return life;
  },
  attempts: query,
};

const approving: Step = {
  name: 'at a PATCH that has not taken effect',
  effect: false,
  live: commanded(({ policy }) => world.client.approve(policy, { policy_code: CODE })),
  attempts: (fault) => write(fault, 'PATCH', false),
  held: { policy_state: APPROVED, policy_code: CODE },
};

const cancelling: Step = {
  name: 'at a PATCH that has taken effect',
  effect: true,
  live: commanded(({ policy }) => world.client.cancel(policy)),
  attempts: (fault) => write(fault, 'PATCH', true),
  held: { policy_state: INACTIVE },
};

export const CUT: PolicyFault = { method: 'PATCH', do: { drop: 'after' } };

const asking: Step = {
  name: 'at the GET after an unknown outcome',
  live: (life, { faults, ...hit }) => {
    const reinstated = commanded(({ policy }) => world.client.reinstate(policy, { reason: 'paid' }));
    return reinstated(life, { ...hit, faults: (number) => [CUT, ...faults(number)] });
  },
  attempts: (fault) => [['PATCH', 'no-answer'], ...query(fault)],
  held: { policy_state: APPROVED },
};

const uploading = (effect: boolean): Step => ({
  name: `at a POST that has ${effect ? '' : 'not '}taken effect`,
  effect,
  async live(_none, { terms, faults }) {
    // The GET of the opening goes well.
    const well: PolicyFault = { method: 'GET', do: { delay_ms: 0 } };
    const life = await world.opened({ ...UPLOAD, terms, faults: (number) => [well, ...faults(number)] });
    await world.rests(life.number);
    return life;
  },
  attempts: (fault) => [['GET', 'NOT_FOUND'], ...write(fault, 'POST', effect, false)],
});

const verifying: Step = {
  name: 'at a verification',
  async live(life, { fault: { times = 1, code }, faults, terms }) {
    assert.ok(life);
    const { number } = life;
    const before = (await world.calls(number)).length;
    world.serve(number, terms);
    await world.fault(number, ...faults(number));
    await eventually(
      async () => (await world.calls(number)).slice(before),
      (calls) => calls.filter((call) => call.code === code).length >= times && calls.at(-1)?.outcome === 'confirmed',
    );
    const { sync, revision } = await world.client.status(life.policy);
    assert.deepEqual([sync, revision], ['SYNCED', 1]);
    const policy = `${world.mchid}/${number}`;
    assert.equal(await world.storage.discrepancies.countDocuments({ policy }), 0, 'a fault is no drift');
    return life;
  },
  attempts: query,
};

/** A life through which every fault is taken: each step where it can hit is a test. */
export const CHANGES: Step[] = [opening, approving, cancelling, asking];
export const UPLOADS: Step[][] = [[uploading(false), verifying], [uploading(true)]];

/** What a fault does to the calls of a step; `undefined` where it cannot hit it. */
function actionAt({ effect }: Step, fault: Fault): Action | Given | undefined {
  if (effect === undefined) return fault.without ?? fault.with;
  return effect ? fault.with : fault.without;
}

function hitOf(fault: Fault, action: ReturnType<typeof actionAt>): Hit {
  if (action === undefined) return { fault, faults: () => [], terms: {} };
  const times = fault.times ?? 1;
  const faults = (number: string) => [{ times, do: typeof action === 'function' ? action(number) : action }];
  return { fault, faults, terms: fault.terms ?? {} };
}

/** As many as there are, unless MongoDB was too slow for some, which it then has as a number only. */
async function assertAttempts(step: Step, fault: Fault, number: string, from: number): Promise<void> {
  const made = (await world.calls(number)).slice(from).map(({ method, code }) => [method, code]);
  if ((await world.owed(number)) > 0) return;
  if (step === verifying) {
    const first = made.findIndex(([, code]) => code !== null);
    made.splice(0, first);
  }
  if (fault.open) assert.ok(made.some(([, code]) => code === fault.code));
  else assert.deepEqual(made.slice(0, step === verifying ? (fault.times ?? 1) + 1 : made.length), step.attempts(fault));
}

/** A test for each fault of each life in which it can hit. */
export function answersGoneWrong(lives: Step[][]): void {
  for (const fault of FAULTS)
    for (const steps of lives) {
      if (steps.every((step) => actionAt(step, fault) === undefined)) continue;
      it(`${fault.name}: ${steps.map(({ name }) => name).join(', ')}`, async (context) => {
        let life: Life | undefined;
        let held: PolicyFields = {};
        for (const step of steps) {
          const action = actionAt(step, fault);
          const through = async (): Promise<void> => {
            const from = life ? (await world.calls(life.number)).length : 0;
            life = await step.live(life, hitOf(fault, action));
            held = { ...life.record.policy, ...held, ...step.held };
            await world.assertHeld(life.number, held);
            if (action !== undefined) await assertAttempts(step, fault, life.number, from);
          };
          if (action === undefined) {
            if (step !== steps.at(-1)) await through();
          } else await context.test(`${fault.name} ${step.name}`, through);
        }
        assert.ok(life);
        // It would go on verifying, beside the others.
        await world.temporal.workflow.getHandle(`policy/${world.mchid}/${life.number}`).terminate();
        await world.assertSound(life.number);
      });
    }
}
