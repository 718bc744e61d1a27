import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { ms } from '../policy/duration.ts';
import type { Policy, RecordInput } from '../policy/record.ts';
import { APPROVED, ISSUING } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { callAll } from './callers.ts';
import type { Stage } from './stage.ts';

const DAY = ms('1d');
const CALLERS = 32;
const LOOK_MS = 50;
const LATEST_MS = 120_000;

/** Numbers that no other run has. */
export function numbersOf(count: number): string[] {
  const run = randomBytes(4).toString('hex');
  return Array.from({ length: count }, (_, n) => `${run}N${n}`);
}

/** A policy about to be issued, of one insured. */
export function policyOf(out_insurance_no: string, changes: Partial<Policy> = {}): Policy {
  const now = Date.now();
  return {
    out_insurance_no,
    insurance_name: '微医保·百万医疗险',
    insured_name_list: ['张三'],
    effective_time: wireTime(now - DAY),
    expired_time: wireTime(now + 365 * DAY),
    policy_type: 'POLICY_TYPE_MEDICAL',
    policy_state: ISSUING,
    ...changes,
  };
}

/** Has the sandbox hold policies, before anything is measured. */
export async function putAll(stage: Pick<Stage, 'put'>, policies: readonly Policy[]): Promise<void> {
  await callAll(policies, CALLERS, (policy) => stage.put(policy));
}

/** Puts policies in force at the sandbox and opens them; resolves when WeChat Pay has confirmed all. */
export async function openAll(
  stage: Stage,
  numbers: readonly string[],
  record: Partial<RecordInput> = {},
): Promise<void> {
  const { mchid, client } = stage;
  const policies = numbers.map((number) => policyOf(number, { policy_state: APPROVED, policy_code: `C${number}` }));
  await putAll(stage, policies);
  const confirmations = new Confirmations(stage);
  await callAll(policies, CALLERS, async (policy) => {
    const confirmed = confirmations.of('GET', policy.out_insurance_no);
    await client.openPolicy({ ...record, mchid, policy });
    await confirmed;
  });
  await confirmations.end();
}

/** Tells who waits for a call of theirs that it was confirmed. It alone asks the sandbox, for all, and only while one waits. */
export class Confirmations {
  readonly #stage: Stage;
  readonly #waiting = new Map<string, (request: LoggedRequest) => void>();
  readonly #looking: Promise<void>;
  #seen = 0;
  #open = true;

  constructor(stage: Stage) {
    this.#stage = stage;
    this.#looking = this.#look();
    // Whoever waits is told; see `of`.
    this.#looking.catch(() => {});
  }

  /** The next call of the policy by this method that is answered with 200. To be asked for before it may have come. */
  async of(method: 'GET' | 'PATCH', number: string): Promise<LoggedRequest> {
    const key = `${method} ${number}`;
    const come = new Promise<LoggedRequest>((resolve) => this.#waiting.set(key, resolve));
    const late = delay(LATEST_MS, undefined, { ref: false }).then(() => {
      throw new Error(`no ${key} was confirmed within ${LATEST_MS / 1000} s`);
    });
    return Promise.race([come, late, this.#looking.then(() => come)]);
  }

  async end(): Promise<void> {
    this.#open = false;
    await this.#looking;
  }

  async #look(): Promise<void> {
    for (; this.#open; await delay(LOOK_MS)) {
      if (this.#waiting.size === 0) continue;
      for (const request of await this.#stage.requests(this.#seen)) {
        // One under way is looked at again, and all after it.
        if (request.ended_at === null) break;
        this.#seen = request.n;
        if (request.status === 200) this.#tell(request);
      }
    }
  }

  #tell(request: LoggedRequest): void {
    const key = `${request.method} ${request.path.split('/').at(-1)}`;
    this.#waiting.get(key)?.(request);
    this.#waiting.delete(key);
  }
}
