import { Client } from '@temporalio/client';
import { makeKey } from '../codec/keys.ts';
import { ms } from '../policy/duration.ts';
import type { RecordInput } from '../policy/record.ts';
import { APPROVED } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { workflowIdOf } from '../policy/workflow_id.ts';
import type { World } from '../test/world.ts';
import { openBare } from './bare/lives.ts';
import { change } from './bare/messages.ts';
import { startYearWorker } from './bare/year_worker.ts';
import type { Bench, BenchOptions, Figure, Findings } from './bench.ts';
import { type Cost, costOf } from './cost.ts';
import { numbersOf, policyOf } from './policies.ts';

const ADDRESS = '上海市浦东新区晨晖路1001号';
const DAY = ms('1d');
const EVERY = '7d';
/** Days of the year on which something happens. */
const [APPROVED_ON, AMENDED_ON, OPENS_ON, RENEWED_ON, YEAR] = [1, 100, 305, 340, 365];

export const history: Bench = {
  name: 'history',
  about: 'events, bytes and billable actions of a policy-year, against a bare workflow of the same messages and timers',
  async run(options) {
    // Not before: it sets the SDK up for a worker in this process.
    const { startWorld } = await import('../test/world.ts');
    const keys = makeKey('bench');
    const world = await startWorld({ timeSkipping: true, keys });
    try {
      await world.startWorkers();
      return await measure(options, world, keys);
    } finally {
      await world.close();
    }
  },
};

async function measure({ say }: BenchOptions, world: World, keys: string): Promise<Findings> {
  const ours = await ourYear(world);
  say('a year of a policy has passed');
  const bare = await bareYear(world, keys);
  say('a year of a bare workflow has passed');
  return { figures: figures(ours, bare), more: table(ours, bare) };
}

/** Weekly verified, approved, amended once, its renewal window opened, renewed once. */
async function ourYear(world: World): Promise<Cost> {
  const { client, mchid } = world;
  const [number = ''] = numbersOf(1);
  const begin = await now(world);
  const policy = yearOf(number, begin);
  await world.put(policy);
  await client.openPolicy({ mchid, policy, verification: { every: EVERY } });
  const id = { mchid, out_insurance_no: number };
  const { runId } = await world.temporal.workflow.getHandle(workflowIdOf(mchid, number)).describe();
  const on = async (day: number, act: () => Promise<unknown>): Promise<void> => {
    await skip(world, begin + day * DAY);
    await rests(world, number);
    await act();
    await rests(world, number);
  };
  await on(APPROVED_ON, () => client.approve(id, { policy_code: 'C1' }));
  await on(AMENDED_ON, () => client.amend(id, { address: ADDRESS }));
  await on(RENEWED_ON, () => client.renew(id, { policy_code: 'C2', expired_time: wireTime(begin + 2 * YEAR * DAY) }));
  await on(YEAR, async () => {});
  // The first attempt of a verification makes no request; each other attempt of an activity makes one.
  const requests = (await world.requests(number)).length;
  const cost = await costOf(world.temporal, workflowIdOf(mchid, number), runId);
  return { ...cost, attempts: requests + (cost.activities.verify ?? 0) };
}

async function bareYear(world: World, keys: string): Promise<Cost> {
  const begin = await now(world);
  const policy = yearOf('BARE1', begin);
  const worker = await startYearWorker(world, keys, policy);
  const { connection } = world.temporal;
  const client = new Client({ connection, dataConverter: { payloadCodecs: worker.codecs } });
  const live = async (): Promise<Cost> => {
    const workflowId = `bare/${begin}`;
    await openBare(client, workflowId, { type: 'year', args: [{ mchid: world.mchid, policy }, OPENS_ON * DAY] });
    const handle = client.workflow.getHandle(workflowId);
    const { runId } = await handle.describe();
    const on = async (day: number, fields: object): Promise<void> => {
      await skip(world, begin + day * DAY);
      await worker.rests();
      await handle.executeUpdate(change, { args: [fields] });
      await worker.rests();
    };
    await on(APPROVED_ON, { policy_state: APPROVED, policy_code: 'C1' });
    await on(AMENDED_ON, { address: ADDRESS });
    await on(RENEWED_ON, { policy_code: 'C2', expired_time: wireTime(begin + 2 * YEAR * DAY) });
    await skip(world, begin + YEAR * DAY);
    await worker.rests();
    return { ...(await costOf(client, workflowId, runId)), attempts: worker.attempts() };
  };
  return live().finally(() => worker.stop());
}

function yearOf(number: string, begin: number): RecordInput['policy'] & { out_insurance_no: string } {
  return {
    ...policyOf(number, {
      support_renewal: true,
      effective_time: wireTime(begin),
      expired_time: wireTime(begin + YEAR * DAY),
    }),
  };
}

async function now(world: World): Promise<number> {
  return (await world.env?.currentTimeMs()) ?? 0;
}

async function skip(world: World, to: number): Promise<void> {
  const wait = to - (await now(world));
  if (wait > 0) await world.env?.sleep(wait);
}

/** The time-skipping server loses a task where a message comes while another is being completed. */
async function rests(world: World, number: string): Promise<void> {
  await world.until(
    number,
    ({ sync, call, revision, synced_revision }) =>
      sync === 'SYNCED' && call === 'verify' && revision === synced_revision,
  );
  await world.armed(number);
}

const actionsOf = ({ actions, attempts }: Cost): number => actions + attempts;

function figures(ours: Cost, bare: Cost): Figure[] {
  const figure = (name: string, of: (cost: Cost) => number): Figure => ({
    name,
    what: `${name} of a policy-year, to the least`,
    ...{ value: of(ours) / of(bare), unit: '×', limit: { most: 1.05 } },
    from: `${of(ours)} against ${of(bare)}`,
  });
  return [
    figure('events', ({ events }) => events),
    figure('bytes', ({ bytes }) => bytes),
    figure('actions', actionsOf),
  ];
}

function table(ours: Cost, bare: Cost): string[][] {
  const kinds = [...new Set([...Object.keys(ours.kinds), ...Object.keys(bare.kinds)])].sort();
  const rows = kinds.map((kind) => [kind, String(ours.kinds[kind] ?? 0), String(bare.kinds[kind] ?? 0)]);
  return [
    ['events of a policy-year', 'ours', 'least'],
    ...rows,
    ['attempts of activities', String(ours.attempts), String(bare.attempts)],
  ];
}
