// WeChat Pay's answers gone wrong in every way, at the steps of a policy's life where it can happen (docs/faults.md): `npm test` takes
// every answer through a life, `npm run test:all` through those of an upload and of a verification, too.
// Each case has a policy of its own; they run at the same time, for most of it is waiting.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import {
  eventually,
  type FaultWorld,
  type Life,
  type PolicyFault,
  startFaultWorld,
  type Terms,
} from './faults_fixture.ts';

let world: FaultWorld;
/** A policy of somebody else's, whose answer comes in the place of the one asked for. */
const STRANGER = 'STRANGER1';

/** The world of the file that asks for it, while its tests run. */
export function faultWorld(): () => FaultWorld {
  before(async () => {
    world = await startFaultWorld();
    await world.put({ out_insurance_no: STRANGER, policy_state: APPROVED, address: 'a stranger’s' });
  });
  after(() => world?.close());
  return () => world;
}

type Action = FaultRule['do'];
type Given = (number: string) => Action;

interface Fault {
  name: string;
  /** What happens to a call that has no effect; to one that takes effect first; absent where there is no such. */
  without?: Action | Given;
  with?: Action | Given;
  /** How many calls in a row. @default 1 */
  times?: number;
  /** The call certainly had no effect, so it is made again without asking. */
  harmless?: boolean;
  /** What `calls` says of it. */
  code: string;
  terms?: Terms;
  /** How many calls it takes hangs on the machine's speed. */
  open?: boolean;
}

const answered = (status: number, code: string, more = {}): Pick<Fault, 'without' | 'with'> => ({
  without: { status, code, ...more },
  with: { status, code, ...more, effect: true },
});
const raw = (status: number, body: string, more = {}): Pick<Fault, 'without' | 'with'> => ({
  without: { status, body, ...more },
  with: { status, body, ...more, effect: true },
});
const throttled = { code: 'FREQUENCY_LIMITED', harmless: true } as const;
export const limited = { status: 429, code: 'FREQUENCY_LIMITED' };
const EXCEEDED = 'FREQUENCY_LIMIT_EXCEED';
const html = { headers: { 'Content-Type': 'text/html' } };

const FAULTS: Fault[] = [
  { name: 'several 500s', ...answered(500, 'SYSTEM_ERROR'), times: 3, code: 'SYSTEM_ERROR' },
  { name: 'a 502 with HTML', ...raw(502, '<html>502 Bad Gateway</html>', html), code: 'server-error' },
  { name: 'a 429 with Retry-After in seconds', without: { ...limited, retry_after: 2 }, ...throttled },
  {
    name: 'a 429 with Retry-After as a date',
    without: () => ({ ...limited, retry_after: inSeconds(3) }),
    ...throttled,
  },
  { name: 'a 429 without Retry-After', without: limited, times: 2, ...throttled },
  {
    name: 'a time-out',
    without: { delay_ms: 2500, drop: 'before' },
    code: 'time-out',
    terms: { timeout: 1000 },
    open: true,
  },
  { name: 'a cut connection', without: { drop: 'before' }, with: { drop: 'after' }, code: 'no-answer' },
  { name: 'a truncated body', with: { truncate: true }, code: 'no-answer' },
  { name: 'invalid JSON, signed', ...raw(200, '{"out_insurance_no": ', { signed: true }), code: 'not-a-policy' },
  {
    name: 'a 202, signed',
    without: (number) => ({ ...lie(number), status: 202, signed: true }),
    with: (number) => ({ ...lie(number), status: 202, signed: true, effect: true }),
    code: 'unexpected-status',
  },
  {
    name: 'a 200 that carries the number alone, signed',
    without: nothing,
    with: (number) => ({ ...nothing(number), effect: true }),
    code: 'not-a-policy',
  },
  { name: 'a 403 FREQUENCY_LIMIT_EXCEED', without: { status: 403, code: EXCEEDED }, ...throttled, code: EXCEEDED },
  {
    name: 'a huge body',
    ...raw(200, `{"address": "${'x'.repeat(100_000)}"}`, { signed: true }),
    code: 'too-large',
    terms: { answerLimit: 65_536 },
  },
  {
    name: 'a redirect',
    without: () => ({ redirect: elsewhere() }),
    with: () => ({ redirect: elsewhere(), effect: true }),
    code: 'redirect',
  },
  { name: 'a wrong signature', with: { forge: 'signature' }, code: 'wrong-signature' },
  { name: 'an unsigned answer', without: lie, with: { forge: 'unsigned' }, code: 'unsigned' },
  { name: 'an unsigned 400', ...answered(400, 'PARAM_ERROR', { unsigned: true }), code: 'PARAM_ERROR' },
  { name: 'an unsigned 403', ...answered(403, 'NO_AUTH', { unsigned: true }), code: 'NO_AUTH' },
  { name: 'an unsigned 404', ...answered(404, 'NOT_FOUND', { unsigned: true }), code: 'NOT_FOUND' },
  {
    name: 'a signed error whose signature is wrong',
    ...answered(400, 'X', { forge: 'signature' }),
    code: 'wrong-signature',
  },
  { name: 'an unknown serial', with: { forge: 'serial' }, code: 'unknown-serial' },
  { name: 'a SIGNTEST', with: { forge: 'signtest' }, code: 'wrong-signature' },
  { name: 'a stale time stamp', with: { forge: 'timestamp' }, code: 'stale' },
  { name: 'the answer of another policy', with: { answer_of: STRANGER }, code: 'other-policy' },
];

export function inSeconds(seconds: number): string {
  return new Date(Date.now() + seconds * 1000).toUTCString();
}

export function elsewhere(): string {
  return `${world.sandbox.url}/elsewhere`;
}

/** Says that everything was taken, which it was not. */
function lie(number: string) {
  const policy = { out_insurance_no: number, policy_state: APPROVED, policy_code: CODE };
  return { status: 200, body: JSON.stringify(policy) };
}

/** Says nothing of what was taken. */
function nothing(number: string) {
  return { status: 200, body: JSON.stringify({ out_insurance_no: number }), signed: true } as const;
}

export const CODE = 'C1';
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
