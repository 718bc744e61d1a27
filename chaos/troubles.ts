import { setTimeout as delay } from 'node:timers/promises';
import { workflowIdOf } from '../policy/workflow_id.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import {
  type FaultKind,
  injected,
  killsOf,
  type Reset,
  resetsOf,
  rotationOf,
  rulesOf,
  type Victim,
  weatherOf,
} from './plan.ts';
import { resetWorkflow } from './reset.ts';
import type { SimulatedPolicy } from './simulated_policy.ts';
import type { ChaosStage } from './stage.ts';

const SPAN_MS = 5_000;
/** Of an operator, whose reset Temporal does not take. */
const RESET_TRIES = 5;

/** When in the run, and in which run. */
export interface Span {
  seed: number;
  minutes: number;
  began: number;
  duration: number;
}

/** All that goes wrong in a run, by its plan: what WeChat Pay does, who is killed, which workflows are reset. */
export class Troubles {
  readonly faults: Partial<Record<FaultKind, number>> = {};
  readonly kills: Record<Victim, number> = { worker: 0, Temporal: 0, MongoDB: 0 };
  /** Numbers of the policies whose workflow was reset. */
  readonly reset = new Set<string>();
  readonly #stage: ChaosStage;
  readonly #log: (line: string) => void;

  constructor(stage: ChaosStage, log: (line: string) => void) {
    this.#stage = stage;
    this.#log = log;
  }

  /** Until the last is over, and all that was killed is up again. */
  async make(span: Span, lives: readonly SimulatedPolicy[], workers: number): Promise<void> {
    await Promise.all([this.#weather(span), this.#resets(span, lives), ...this.#killing(span, workers)]);
  }

  get told(): string {
    const faults = Object.values(this.faults).reduce((sum, count) => sum + count, 0);
    const kills = Object.entries(this.kills).map(([victim, count]) => `${victim} ${count}`);
    return `faults ${faults}; killed: ${kills.join(', ')}`;
  }

  async #weather({ seed, began, duration }: Span): Promise<void> {
    const { sandbox } = this.#stage;
    const spans = weatherOf(seed, Math.ceil(duration / SPAN_MS));
    const rotation = rotationOf(spans.length);
    for (const [at, faults] of spans.entries()) {
      if (at === rotation.from) await this.#stage.rotate();
      await sandbox.put('faults', { json: rulesOf(faults) });
      await delay(Math.max(0, began + Math.min((at + 1) * SPAN_MS, duration) - Date.now()));
      const left = await sandbox.get('faults').json<FaultRule[]>();
      for (const [kind, count] of injected(faults, left)) this.faults[kind] = (this.faults[kind] ?? 0) + count;
    }
    await sandbox.put('faults', { json: [] });
  }

  /** Each of a kind when the one before is up again; of different kinds as it comes. */
  #killing({ seed, minutes, began, duration }: Span, workers: number): Promise<void>[] {
    const kills = killsOf(seed, minutes, workers);
    return Object.keys(this.kills).map(async (victim) => {
      for (const kill of kills.filter((one) => one.victim === victim)) {
        await delay(Math.max(0, began + kill.at * duration - Date.now()));
        this.#log(`kill -9: ${victim}${victim === 'worker' ? ` ${kill.which + 1}` : ''}`);
        await this.#stage.kill(kill);
        this.kills[kill.victim]++;
      }
    });
  }

  /** A declined policy ends, and a reset would bring back what is over. */
  async #resets({ seed, began, duration }: Span, lives: readonly SimulatedPolicy[]): Promise<void> {
    for (const { at, which, back } of resetsOf(seed, lives.length)) {
      await delay(Math.max(0, began + at * duration - Date.now()));
      const life = lives[which];
      if (!life || life.plan.steps.some(({ message }) => message.name === 'decline')) continue;
      if (await this.#resetOne(life, back, RESET_TRIES)) this.reset.add(life.number);
    }
  }

  async #resetOne({ id, number }: SimulatedPolicy, back: Reset['back'], tries: number): Promise<boolean> {
    try {
      return await resetWorkflow(this.#stage.client.temporal, workflowIdOf(id.mchid, id.out_insurance_no), back);
    } catch (error) {
      this.#log(`${number}: reset: ${String(error)}`);
      if (tries <= 1) return false;
      await delay(1_000);
      return this.#resetOne({ id, number } as SimulatedPolicy, back, tries - 1);
    }
  }
}
