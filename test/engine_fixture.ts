import { after, before, beforeEach } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type PolicyFields, type RecordInput, workflowIdOf } from '../policy/record.ts';
import { APPROVED } from '../policy/state.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import { listCommands, type ReadCommand } from '../storage/commands.ts';
import type { Status } from '../workflows/messages.ts';
import { until } from './client_namespace.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import { eventNames } from './history_events.ts';
import { HISTORY_KEYS, keptHistories } from './kept_histories.ts';
import { startWorld, type World } from './world.ts';

export interface Opened {
  policy: { mchid: string; out_insurance_no: string };
  number: string;
  record: RecordInput;
}

/** The engine, for as long as the tests of the file that asks for it run; their histories are kept where they are to be saved. */
export function runEngine() {
  let world: World;
  let stop: () => Promise<void>;
  let started: Promise<void> | undefined;
  async function start(): Promise<void> {
    world = await startWorld({ keys: HISTORY_KEYS });
    stop = await world.startWorkers();
  }
  before(() => {
    started = start();
    return started;
  });
  const kept = keptHistories(() => world);
  beforeEach((context) => kept.named(context));
  after(async () => {
    await kept.save();
    await stop?.();
    await world?.close();
  });
  return {
    ...livesIn(() => world, kept.keep),
    keep: kept.keep,
    /** For a hook of the file's own: in a file that runs by itself, Node does not await one before the next. */
    world: async (): Promise<World> => {
      await started;
      return world;
    },
    /** Others in their place, which know no policy and replay what they are asked for. */
    replaceWorkers: async (): Promise<void> => {
      await stop();
      stop = await world.startWorkers();
    },
  };
}

/** Policies in a world that is there once the tests run; `keep` is told of each. */
function livesIn(world: () => World, keep: (number: string) => void) {
  const handleOf = (number: string) => world().temporal.workflow.getHandle(workflowIdOf(world().mchid, number));

  /** `there`: whether WeChat Pay has it already. */
  async function opened(
    settings: Partial<RecordInput> = {},
    changes: PolicyFields = {},
    { there = true } = {},
  ): Promise<Opened> {
    const { mchid, put, client } = world();
    const number = uniqueNumber('E');
    const record = recordOf({ out_insurance_no: number, ...changes }, { ...settings, mchid });
    if (there) await put({ ...record.policy });
    await client.openPolicy(record);
    keep(number);
    return { policy: { mchid, out_insurance_no: number }, number, record };
  }

  const synced = (number: string, patience?: number): Promise<Status> =>
    world().until(
      number,
      ({ sync, revision, synced_revision }) => sync === 'SYNCED' && synced_revision === revision,
      patience,
    );

  async function approved(settings: Partial<RecordInput> = {}): Promise<Opened> {
    const life = await opened(settings, { policy_state: APPROVED });
    await synced(life.number);
    return life;
  }

  async function methods(number: string): Promise<string[]> {
    return (await world().requests(number)).map(({ method }) => method);
  }

  /** What a policy's history has once no workflow task is under way. */
  async function events(number: string, names = eventNames): Promise<string[]> {
    const handle = handleOf(number);
    await until(async () => !(await handle.describe()).raw.pendingWorkflowTask);
    return names(handle);
  }

  /** What is on record of the messages of a policy, the oldest first, once it is enough. */
  const commands = async (number: string, enough: (all: ReadCommand[]) => boolean): Promise<ReadCommand[]> => {
    for (const from = Date.now(); ; await delay(50)) {
      const all = (await listCommands(world().storage, `${world().mchid}/${number}`, 200)).reverse();
      if (enough(all)) return all;
      if (Date.now() - from > 30_000) throw new Error(`not so after 30 s: ${JSON.stringify(all)}`);
    }
  };

  return { handleOf, opened, approved, synced, methods, events, commands };
}

export function fault(number: string, rule: Omit<FaultRule, 'match'> & { method?: string }): FaultRule {
  const { method, ...rest } = rule;
  return { match: { out_insurance_no: number, ...(method && { method }) }, ...rest } as FaultRule;
}
