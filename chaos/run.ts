import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { workflowIdOf } from '../policy/workflow_id.ts';
import { evidenceOf, keep } from './evidence.ts';
import { type Evidence, type Finding, type Findings, findingsOf } from './findings.ts';
import { planOf } from './model.ts';
import { type FaultKind, floodsOf, LANDING_MS, type Victim } from './plan.ts';
import { isFreshRun } from './reset.ts';
import { each, Rest } from './rest.ts';
import { type Counts, SimulatedPolicy } from './simulated_policy.ts';
import { type ChaosStage, setChaosStage } from './stage.ts';
import { Troubles } from './troubles.ts';

const WORKERS = 2;
const LOOK_MS = 10_000;
/** Policies are opened one after the other over so much of the run. */
const OPENING = 0.1;

export interface ChaosOptions {
  policies: number;
  minutes: number;
  seed: number;
  log: (line: string) => void;
}

export interface ChaosReport {
  findings: Findings;
  evidence: Evidence;
  counts: Counts;
  faults: Partial<Record<FaultKind, number>>;
  kills: Record<Victim, number>;
  requests: { PATCH: number; GET: number; POST: number };
  /** Workflows that Temporal's reset brought back to an earlier task. */
  resets: number;
  /** Policies that got messages without effect, and those of them that went over into a fresh run. */
  flooded: number;
  fresh: number;
  /** Policies that were told to resume, because they backed off when nothing was wrong any more. */
  resumed: number;
  /** Where the log of the run is kept. */
  directory: string;
}

/**
 * Lives so many policies by the model's commands while servers and workers are killed and WeChat Pay misbehaves, waits
 * until all is at rest, and compares what everybody holds.
 * @throws an error of one line where the run itself cannot go on
 */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const directory = await mkdtemp(join(tmpdir(), 'policy-sync-chaos-'));
  options.log(`log of this run: ${directory}`);
  const stage = await setChaosStage(directory, WORKERS);
  try {
    return await new Run(stage, directory, options).report();
  } catch (error) {
    // Now: calls that wait for servers which are being stopped may end the program before it comes to say so.
    options.log(error instanceof Error ? error.message : String(error));
    throw error;
  } finally {
    await stage.stop();
    // What they stored is of no use without its keys, and those are nobody's to keep.
    await rm(join(directory, 'servers'), { recursive: true, force: true });
  }
}

class Run {
  readonly #stage: ChaosStage;
  readonly #directory: string;
  readonly #options: ChaosOptions;
  readonly #lives: SimulatedPolicy[];
  readonly #troubles: Troubles;
  readonly #rest: Rest;
  readonly #counts: Counts = {
    sent: 0,
    again: 0,
    retries: 0,
    signals: 0,
    flood: 0,
    accepted: 0,
    unchanged: 0,
    superseded: 0,
    refused: 0,
  };
  readonly #unexpected: Finding[] = [];
  readonly #flooded: SimulatedPolicy[];

  constructor(stage: ChaosStage, directory: string, options: ChaosOptions) {
    this.#stage = stage;
    this.#directory = directory;
    this.#options = options;
    this.#troubles = new Troubles(stage, options.log);
    this.#rest = new Rest(stage, this.#troubles.reset, options.log);
    const commands = createWriteStream(join(directory, 'commands.jsonl'));
    const surroundings = {
      client: stage.client,
      counts: this.#counts,
      unexpected: this.#unexpected,
      note: (line: object): void => void commands.write(`${JSON.stringify(line)}\n`),
    };
    const floods = floodsOf(options.seed, options.policies);
    this.#lives = Array.from({ length: options.policies }, (_, n) => {
      const id = { mchid: stage.mchid, out_insurance_no: `S${options.seed}N${n}` };
      return new SimulatedPolicy(id, planOf(options.seed, n), surroundings, floods.get(n));
    });
    this.#flooded = this.#lives.filter((_, n) => floods.has(n));
  }

  async report(): Promise<ChaosReport> {
    await this.#live();
    this.#options.log(`${this.#progress()}; nothing goes wrong any more`);
    await delay(LANDING_MS);
    await this.#verifyAll();
    const before = await this.#rest.come(this.#lives);
    const deaf = await this.#nextMessages();
    const unsettled = new Map([...before, ...(await this.#rest.come(this.#lives))]);
    const evidence = await evidenceOf(this.#stage, this.#lives, { unsettled, deaf, unexpected: this.#unexpected });
    const findings = findingsOf(evidence);
    await keep(this.#directory, this.#lives, evidence, findings);
    const made = (method: string): number => evidence.requests.filter((request) => request.method === method).length;
    return {
      ...{
        findings,
        evidence,
        directory: this.#directory,
        counts: this.#counts,
        faults: this.#troubles.faults,
        kills: this.#troubles.kills,
      },
      requests: { PATCH: made('PATCH'), GET: made('GET'), POST: made('POST') },
      resets: this.#troubles.reset.size,
      flooded: this.#flooded.length,
      fresh: await this.#freshRuns(),
      resumed: this.#rest.resumed.size,
    };
  }

  /** Until the last command is answered, the last fault is over, and all that was killed is up again. */
  async #live(): Promise<void> {
    const { seed, minutes, log } = this.#options;
    for (const { plan, number } of this.#lives)
      if (plan.held) await this.#stage.sandbox.put(`policies/${number}`, { json: plan.held });
    const [began, duration] = [Date.now(), minutes * 60_000];
    log(`${this.#lives.length} policies: ${minutes} min of commands, faults and kills`);
    const look = setInterval(() => log(this.#progress()), LOOK_MS);
    try {
      await Promise.all([
        ...this.#lives.map(async (life, n) => {
          await delay((n / this.#lives.length) * OPENING * duration);
          await life.live(began, duration);
        }),
        this.#troubles.make({ seed, minutes, began, duration }, this.#lives, WORKERS),
      ]);
    } finally {
      clearInterval(look);
    }
  }

  /** In the place of the verifications that come in time: an hour after a change, and when attempts have landed. */
  async #verifyAll(): Promise<void> {
    // What goes unanswered is not at rest, and found there.
    await each(this.#lives, ({ id }) => this.#stage.client.verify(id).catch(() => {}));
  }

  /** A last message to everyone that still lives. Those who did not take it, with why. */
  async #nextMessages(): Promise<Map<string, string>> {
    const deaf = new Map<string, string>();
    await each(this.#lives, async (life) => {
      if (life.model.over) return;
      const answered = await life.next();
      if (answered !== undefined) deaf.set(life.number, answered);
    });
    return deaf;
  }

  async #freshRuns(): Promise<number> {
    const { temporal } = this.#stage.client;
    const fresh = this.#flooded.map(({ id }) => isFreshRun(temporal, workflowIdOf(id.mchid, id.out_insurance_no)));
    return (await Promise.all(fresh)).filter(Boolean).length;
  }

  #progress(): string {
    const { sent, retries } = this.#counts;
    return `${sent} commands sent, ${retries} sent again for want of an answer; ${this.#troubles.told}`;
  }
}
