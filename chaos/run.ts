import { createWriteStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { PolicyFields } from '../policy/record.ts';
import { workflowIdOf } from '../policy/workflow_id.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { listPolicies } from '../storage/policies.ts';
import type { Status } from '../workflows/messages.ts';
import { type Evidence, type Finding, type Findings, findingsOf, numberOf, type Said } from './findings.ts';
import { type Counts, Life } from './life.ts';
import { planOf } from './model.ts';
import {
  type FaultKind,
  floodsOf,
  injected,
  killsOf,
  LANDING_MS,
  type Reset,
  resetsOf,
  rotationOf,
  rulesOf,
  type Victim,
  weatherOf,
} from './plan.ts';
import { isFreshRun, resetWorkflow } from './reset.ts';
import { type ChaosStage, setChaosStage } from './stage.ts';

const WORKERS = 2;
const SPAN_MS = 5_000;
const LOOK_MS = 10_000;
/** Policies are opened one after the other over so much of the run. */
const OPENING = 0.1;
const QUESTIONS_AT_ONCE = 8;
/** So long everything may take to come to rest once nothing is wrong any more. */
const SETTLE_MS = 240_000;
/** What waits longer than this is told to try at once: rounds after unknown outcomes back off to an hour. */
const PATIENCE_MS = 25_000;
/** Of an operator, whose reset Temporal does not take. */
const RESET_TRIES = 5;

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
  readonly #lives: Life[];
  readonly #faults: Partial<Record<FaultKind, number>> = {};
  readonly #kills: Record<Victim, number> = { worker: 0, Temporal: 0, MongoDB: 0 };
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
  readonly #resumed = new Set<string>();
  readonly #reset = new Set<string>();
  readonly #flooded: Life[];

  constructor(stage: ChaosStage, directory: string, options: ChaosOptions) {
    this.#stage = stage;
    this.#directory = directory;
    this.#options = options;
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
      return new Life(id, planOf(options.seed, n), surroundings, floods.get(n));
    });
    this.#flooded = this.#lives.filter((_, n) => floods.has(n));
  }

  async report(): Promise<ChaosReport> {
    await this.#live();
    this.#options.log(`${this.#progress()}; nothing goes wrong any more`);
    await delay(LANDING_MS);
    await this.#verifyAll();
    const unsettled = await this.#settle();
    const deaf = await this.#nextMessages();
    const evidence = await this.#evidence(new Map([...unsettled, ...(await this.#settle())]), deaf);
    const findings = findingsOf(evidence);
    await this.#keep(evidence, findings);
    const made = (method: string): number => evidence.requests.filter((request) => request.method === method).length;
    return {
      ...{
        findings,
        evidence,
        directory: this.#directory,
        counts: this.#counts,
        faults: this.#faults,
        kills: this.#kills,
      },
      requests: { PATCH: made('PATCH'), GET: made('GET'), POST: made('POST') },
      resets: this.#reset.size,
      flooded: this.#flooded.length,
      fresh: await this.#freshRuns(),
      resumed: this.#resumed.size,
    };
  }

  /** Until the last command is answered, the last fault is over, and all that was killed is up again. */
  async #live(): Promise<void> {
    const { minutes, log } = this.#options;
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
        this.#weather(began, duration),
        this.#resets(began, duration),
        ...this.#killing(began, duration),
      ]);
    } finally {
      clearInterval(look);
    }
  }

  async #weather(began: number, duration: number): Promise<void> {
    const { sandbox } = this.#stage;
    const spans = weatherOf(this.#options.seed, Math.ceil(duration / SPAN_MS));
    const rotation = rotationOf(spans.length);
    for (const [at, faults] of spans.entries()) {
      if (at === rotation.from) await this.#stage.rotate();
      await sandbox.put('faults', { json: rulesOf(faults) });
      await delay(Math.max(0, began + Math.min((at + 1) * SPAN_MS, duration) - Date.now()));
      const left = await sandbox.get('faults').json<FaultRule[]>();
      for (const [kind, count] of injected(faults, left)) this.#faults[kind] = (this.#faults[kind] ?? 0) + count;
    }
    await sandbox.put('faults', { json: [] });
  }

  /** Each of a kind when the one before is up again; of different kinds as it comes. */
  #killing(began: number, duration: number): Promise<void>[] {
    const kills = killsOf(this.#options.seed, this.#options.minutes, WORKERS);
    return Object.keys(this.#kills).map(async (victim) => {
      for (const kill of kills.filter((one) => one.victim === victim)) {
        await delay(Math.max(0, began + kill.at * duration - Date.now()));
        this.#options.log(`kill -9: ${victim}${victim === 'worker' ? ` ${kill.which + 1}` : ''}`);
        await this.#stage.kill(kill);
        this.#kills[kill.victim]++;
      }
    });
  }

  /** A declined policy ends, and a reset would bring back what is over. */
  async #resets(began: number, duration: number): Promise<void> {
    for (const { at, which, back } of resetsOf(this.#options.seed, this.#lives.length)) {
      await delay(Math.max(0, began + at * duration - Date.now()));
      const life = this.#lives[which];
      if (!life || life.plan.steps.some(({ message }) => message.name === 'decline')) continue;
      if (await this.#resetOne(life, back, RESET_TRIES)) this.#reset.add(life.number);
    }
  }

  async #resetOne({ id, number }: Life, back: Reset['back'], tries: number): Promise<boolean> {
    try {
      return await resetWorkflow(this.#stage.client.temporal, workflowIdOf(id.mchid, id.out_insurance_no), back);
    } catch (error) {
      this.#options.log(`${number}: reset: ${String(error)}`);
      if (tries <= 1) return false;
      await delay(1_000);
      return this.#resetOne({ id, number } as Life, back, tries - 1);
    }
  }

  /** In the place of the verifications that come in time: an hour after a change, and when attempts have landed. */
  async #verifyAll(): Promise<void> {
    // What goes unanswered is not at rest, and found there.
    await this.#each(({ id }) => this.#stage.client.verify(id).catch(() => {}));
  }

  /** A last message to everyone that still lives. Those who did not take it, with why. */
  async #nextMessages(): Promise<Map<string, string>> {
    const deaf = new Map<string, string>();
    await this.#each(async (life) => {
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

  async #each(ask: (life: Life) => Promise<unknown>, lives: readonly Life[] = this.#lives): Promise<void> {
    const asked = [...lives];
    const one = async (): Promise<void> => {
      for (let life = asked.pop(); life !== undefined; life = asked.pop()) await ask(life);
    };
    await Promise.all(Array.from({ length: QUESTIONS_AT_ONCE }, one));
  }

  /** Until every policy is at rest; answers those that are not when time is up. */
  async #settle(): Promise<Map<string, string>> {
    const { log } = this.#options;
    let [lives, told] = [this.#lives, Date.now()];
    for (const deadline = Date.now() + SETTLE_MS; ; await delay(2_000)) {
      const unsettled = await this.#unsettled(lives);
      lives = lives.filter(({ number }) => unsettled.has(number));
      if (unsettled.size === 0 || Date.now() > deadline) return unsettled;
      log(`${unsettled.size} policies are not at rest yet`);
      const isLate = Date.now() - told >= PATIENCE_MS;
      if (isLate) told = Date.now();
      for (const { id, number } of lives) {
        const left = unsettled.get(number) ?? '';
        const waits = isLate && /^(PENDING|RETRYING)/.test(left);
        if (!waits && !this.#isForOperator(number, left)) continue;
        if (waits) this.#resumed.add(number);
        await this.#stage.client.resume(id).catch((error) => log(`${number}: resume: ${String(error)}`));
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

  async #unsettled(lives: Life[]): Promise<Map<string, string>> {
    const said = await this.#said();
    const unsettled = new Map<string, string>();
    await this.#each(async (life) => {
      const status = await this.#stage.client.status(life.id).catch((error) => String(error));
      const left = typeof status === 'string' ? status : atRest(status, said.get(life.number));
      if (left !== undefined) unsettled.set(life.number, left);
    }, lives);
    return unsettled;
  }

  async #said(): Promise<Map<string, Said>> {
    return this.#stage.stored(async (storage) => {
      const said = new Map<string, Said>();
      for await (const policy of listPolicies(storage, {})) said.set(policy.out_insurance_no, policy);
      return said;
    });
  }

  async #evidence(unsettled: Map<string, string>, deaf: Map<string, string>): Promise<Evidence> {
    const { sandbox, witness, stored } = this.#stage;
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
      wanted: new Map(this.#lives.map(({ number, model }) => [number, model.fields])),
      held: new Map(held.map((policy) => [String(policy.out_insurance_no), policy])),
      ...{
        unsettled,
        deaf,
        unexpected: this.#unexpected,
        requests,
        shown: witness.shown,
        said: await this.#said(),
        taken,
      },
    };
  }

  async #keep({ wanted, held, requests, shown, said }: Evidence, findings: Findings): Promise<void> {
    const lines = (values: Iterable<object>): string =>
      [...values].map((value) => `${JSON.stringify(value)}\n`).join('');
    const logged = requests.map((request) => ({
      number: numberOf(request),
      ...request,
      genuine: shown.has(request.request_id),
    }));
    const policies = this.#lives.map(({ number, plan }) => ({
      ...{ number, plan, wanted: wanted.get(number), held: held.get(number), said: said.get(number) },
    }));
    const files = {
      'requests.jsonl': lines(logged),
      'policies.jsonl': lines(policies),
      'findings.json': JSON.stringify(findings, null, 2),
    };
    for (const [name, text] of Object.entries(files)) await writeFile(join(this.#directory, name), text);
  }

  #progress(): string {
    const { sent, retries } = this.#counts;
    const faults = Object.values(this.#faults).reduce((sum, count) => sum + count, 0);
    const kills = Object.entries(this.#kills).map(([victim, count]) => `${victim} ${count}`);
    return `${sent} commands sent, ${retries} sent again for want of an answer; faults ${faults}; killed: ${kills.join(', ')}`;
  }
}

/** What still lacks, in words; undefined where the policy is in step and MongoDB says the same. */
function atRest(status: Status, said: Said | undefined): string | undefined {
  const { sync, revision, synced_revision, attention, block } = status;
  if (sync !== 'SYNCED' || synced_revision !== revision)
    return `${sync}, revision ${synced_revision} of ${revision}${block ? `: ${block.code}: ${block.message}` : ''}`;
  if (attention.length > 0) return `asks for attention: ${attention}`;
  if (said?.sync !== sync || said.synced_revision !== revision)
    return `MongoDB says ${said?.sync}, revision ${said?.synced_revision} instead of ${revision}`;
  return undefined;
}
