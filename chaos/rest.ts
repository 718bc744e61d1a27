import { setTimeout as delay } from 'node:timers/promises';
import { listPolicies } from '../storage/policy_list.ts';
import type { Status } from '../workflows/messages.ts';
import type { Said } from './findings.ts';
import type { SimulatedPolicy } from './simulated_policy.ts';
import type { ChaosStage } from './stage.ts';

const QUESTIONS_AT_ONCE = 8;
/** So long everything may take to come to rest once nothing is wrong any more. */
const SETTLE_MS = 240_000;
/** What waits longer than this is told to try at once: rounds after unknown outcomes back off to an hour. */
const PATIENCE_MS = 25_000;

/** Waits until every policy is at rest, and does what an operator would. */
export class Rest {
  /** Numbers of the policies that were told to resume. */
  readonly resumed = new Set<string>();
  readonly #stage: ChaosStage;
  readonly #reset: ReadonlySet<string>;
  readonly #log: (line: string) => void;

  /** @param reset numbers of the policies whose workflow was reset */
  constructor(stage: ChaosStage, reset: ReadonlySet<string>, log: (line: string) => void) {
    this.#stage = stage;
    this.#reset = reset;
    this.#log = log;
  }

  /** Until every policy is at rest; answers those that are not when time is up. */
  async come(all: readonly SimulatedPolicy[]): Promise<Map<string, string>> {
    let [lives, told] = [all, Date.now()];
    for (const deadline = Date.now() + SETTLE_MS; ; await delay(2_000)) {
      const unsettled = await this.#unsettled(lives);
      lives = lives.filter(({ number }) => unsettled.has(number));
      if (unsettled.size === 0 || Date.now() > deadline) return unsettled;
      this.#log(`${unsettled.size} policies are not at rest yet`);
      const isLate = Date.now() - told >= PATIENCE_MS;
      if (isLate) told = Date.now();
      for (const { id, number } of lives) {
        const left = unsettled.get(number) ?? '';
        const waits = isLate && /^(PENDING|RETRYING)/.test(left);
        if (!waits && !this.#isForOperator(number, left)) continue;
        if (waits) this.resumed.add(number);
        await this.#stage.client.resume(id).catch((error) => this.#log(`${number}: resume: ${String(error)}`));
      }
    }
  }

  /**
   * Marks of ignored signals and resets, and what a reset left different, are a person's to see. Nothing else in a run may
   * block a policy or have it left different: what is, no resume may hide.
   */
  #isForOperator(number: string, left: string): boolean {
    return (
      /^asks for attention: ((refused-signal:[\w-]+|reset),?)+$/.test(left) ||
      (this.#reset.has(number) && /^DIVERGED/.test(left))
    );
  }

  async #unsettled(lives: readonly SimulatedPolicy[]): Promise<Map<string, string>> {
    const said = await saidOf(this.#stage);
    const unsettled = new Map<string, string>();
    await each(lives, async (life) => {
      const status = await this.#stage.client.status(life.id).catch((error) => String(error));
      const left = typeof status === 'string' ? status : atRest(status, said.get(life.number));
      if (left !== undefined) unsettled.set(life.number, left);
    });
    return unsettled;
  }
}

/** Asks of all, some at a time. */
export async function each(
  lives: readonly SimulatedPolicy[],
  ask: (life: SimulatedPolicy) => Promise<unknown>,
): Promise<void> {
  const asked = [...lives];
  const one = async (): Promise<void> => {
    for (let life = asked.pop(); life !== undefined; life = asked.pop()) await ask(life);
  };
  await Promise.all(Array.from({ length: QUESTIONS_AT_ONCE }, one));
}

/** What MongoDB says, by number. */
export async function saidOf(stage: ChaosStage): Promise<Map<string, Said>> {
  return stage.stored(async (storage) => {
    const said = new Map<string, Said>();
    for await (const policy of listPolicies(storage, {})) said.set(policy.out_insurance_no, policy);
    return said;
  });
}

/** What still lacks, in words; undefined where the policy is in step and MongoDB says the same. */
function atRest(status: Status, said: Said | undefined): string | undefined {
  const { sync, revision, synced_revision, attention, block } = status;
  if (sync !== 'SYNCED' || synced_revision !== revision)
    return `${sync}, revision ${synced_revision} of ${revision}${block ? `: ${block.code}: ${block.message}` : ''}`;
  // Nobody can take a mark off a life that is over.
  if (attention.length > 0 && said?.end == null) return `asks for attention: ${attention}`;
  if (said?.sync !== sync || said.synced_revision !== revision)
    return `MongoDB says ${said?.sync}, revision ${said?.synced_revision} instead of ${revision}`;
  return undefined;
}
