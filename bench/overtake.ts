// npm run bench:overtake, after a build: does a user's cancellation overtake the verifications that wait, and is the merchant's rate kept?
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Command, InvalidArgumentError } from 'commander';
import { ms } from '../policy/duration.ts';
import type { Policy } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { mostWithin, percentile } from './figures.ts';
import { queueOf } from './queue.ts';
import { type Stage, setStage } from './stage.ts';

const LIMITS = { p95_ms: 1_000, ten_seconds: 1.1, one_second: 2.2 };
const WORKERS = 2;
/** As short as a record may say: what was verified waits again at once. */
const EVERY = '1s';
const SPREAD_MS = 40_000;
const LATEST_MS = 60_000;
const OPENERS = 24;
const LOOK_MS = 5_000;
const DAY = ms('1d');

interface Options {
  policies: number;
  rate: number;
  cancellations: number;
}

interface Cancellation {
  number: string;
  sent_at: number;
  /** How long the next verification in the queue had waited by then, in ms. */
  behind_ms: number;
}

const program = new Command('npm run bench:overtake --')
  .description('cancellations behind waiting verifications, over two workers: exit 0 when every limit is kept')
  .option('--policies <n>', 'verifications that wait', positive, 2_000)
  .option('--rate <n>', 'calls a second that the merchant may make', positive, 50)
  .option('--cancellations <n>', 'sent while they wait', positive, 60)
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2));
const { policies, rate, cancellations } = program.parse().opts<Options>();

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('Expected a whole number from 1 on.');
  return value;
}

const began = Date.now();
const say = (line: string): void => console.log(`${((Date.now() - began) / 1000).toFixed(0).padStart(4)} s  ${line}`);

/** Opens the policies first and serves their calls then, so that neither is slowed by the other. */
async function fillQueue(stage: Stage, numbers: readonly string[]): Promise<void> {
  let opened = 0;
  const look = setInterval(() => say(`${opened} of ${numbers.length} policies are open`), LOOK_MS);
  const left = [...numbers];
  const open = async (): Promise<void> => {
    for (let number = left.shift(); number !== undefined; number = left.shift()) {
      const policy = policyOf(number);
      await stage.put(policy);
      await stage.client.openPolicy({ mchid: stage.mchid, policy, verification: { every: EVERY } });
      opened++;
    }
  };
  try {
    await Promise.all(Array.from({ length: OPENERS }, open));
  } finally {
    clearInterval(look);
  }
  await stage.serve(true);
  // One call confirms a policy, and the first attempt of its verification sends none.
  for (let calls = 0; calls <= numbers.length; await delay(LOOK_MS)) {
    calls = (await stage.requests()).length;
    say(`${calls} calls were made, ${await waitingNow(stage)} wait`);
  }
}

function policyOf(out_insurance_no: string): Policy {
  return {
    out_insurance_no,
    insurance_name: '微医保·百万医疗险',
    insured_name_list: ['张三'],
    effective_time: wireTime(began - DAY),
    expired_time: wireTime(began + 365 * DAY),
    policy_type: 'POLICY_TYPE_MEDICAL',
    policy_state: APPROVED,
    policy_code: 'C0123456789',
  };
}

async function waitingNow(stage: Stage): Promise<number> {
  return (await queueOf(stage)).waiting;
}

/** Sends them evenly over time, every other one as an update. */
async function cancelSome(stage: Stage, numbers: readonly string[]): Promise<Cancellation[]> {
  const sent: Cancellation[] = [];
  const answers: Promise<unknown>[] = [];
  const from = Date.now();
  for (let n = 0; n < cancellations; n++) {
    await delay(from + (n * SPREAD_MS) / cancellations - Date.now());
    const { oldest_ms } = await queueOf(stage);
    const number = numbers[Math.floor((n * numbers.length) / cancellations)] ?? '';
    const policy = { mchid: stage.mchid, out_insurance_no: number };
    sent.push({ number, sent_at: Date.now(), behind_ms: oldest_ms });
    answers.push(n % 2 === 0 ? stage.client.cancelBySignal(policy) : stage.client.cancel(policy));
  }
  await Promise.all(answers);
  return sent;
}

/** How long each cancellation took to the arrival of its PATCH, in ms; infinitely long where none came. */
async function delaysOf(stage: Stage, sent: readonly Cancellation[]): Promise<number[]> {
  for (const deadline = Date.now() + LATEST_MS; ; await delay(1_000)) {
    const patches = (await stage.requests()).filter(({ method }) => method === 'PATCH');
    const delays = sent.map(({ number, sent_at }) => {
      const patch = patches.find(({ path, body }) => path.endsWith(`/${number}`) && body.includes(INACTIVE));
      return patch ? Date.parse(patch.at) - sent_at : Number.POSITIVE_INFINITY;
    });
    if (delays.every(Number.isFinite) || Date.now() > deadline) return delays;
  }
}

async function run(stage: Stage): Promise<boolean> {
  // Beside those that wait, some are under way, and some wait for the second until they come due.
  const run = randomBytes(4).toString('hex');
  const numbers = Array.from({ length: policies + 3 * rate }, (_, n) => `${run}N${n}`);
  await fillQueue(stage, numbers);
  const before = await waitingNow(stage);
  const from = Date.now();
  say(`${before} verifications wait: ${cancellations} cancellations follow`);
  const sent = await cancelSome(stage, numbers);
  const [after, until] = [await waitingNow(stage), Date.now()];
  const delays = await delaysOf(stage, sent);
  const arrivals = (await stage.requests()).map(({ at }) => Date.parse(at));
  const reached = arrivals.filter((at) => at >= from && at < until).length / ((until - from) / 1000);
  return report({ before, after, reached, delays, behind: sent.map(({ behind_ms }) => behind_ms), arrivals });
}

interface Findings {
  before: number;
  after: number;
  /** Calls a second while the cancellations were sent. */
  reached: number;
  delays: number[];
  behind: number[];
  arrivals: number[];
}

function report({ before, after, reached, delays, behind, arrivals }: Findings): boolean {
  const seconds = (value: number): string => `${(value / 1000).toFixed(2)} s`;
  const spread = (values: number[]): string =>
    [`p50 ${seconds(percentile(values, 0.5))}`, `p95 ${seconds(percentile(values, 0.95))}`]
      .concat(`max ${seconds(Math.max(...values))}`)
      .join(', ');
  const [p95, baseline] = [percentile(delays, 0.95), percentile(behind, 0.5)];
  const [ten, one] = [mostWithin(arrivals, 10_000) / 10 / rate, mostWithin(arrivals, 1_000) / rate];
  console.log(`
verifications waiting       ${before} at the first cancellation, ${after} after the last
calls that reached WeChat   ${reached.toFixed(1)} a second meanwhile, of ${rate} allowed
a cancellation's PATCH      ${spread(delays)} (${delays.length} cancellations, half of them signals)
a verification's turn       ${spread(behind)}: ${(baseline / percentile(delays, 0.5)).toFixed(0)} times as long at p50
`);
  const checks: [boolean, string][] = [
    [Math.min(before, after) >= policies, `${policies} verifications wait throughout`],
    [p95 <= LIMITS.p95_ms, `cancellation to PATCH, p95: ${seconds(p95)}, at most ${seconds(LIMITS.p95_ms)}`],
    [ten <= LIMITS.ten_seconds, `worst 10 s: ${ten.toFixed(2)} times the rate, at most ${LIMITS.ten_seconds}`],
    [one <= LIMITS.one_second, `worst second: ${one.toFixed(2)} times the rate, at most ${LIMITS.one_second}`],
  ];
  for (const [kept, what] of checks) console.log(`${kept ? 'PASS' : 'FAIL'}  ${what}`);
  return checks.every(([kept]) => kept);
}

const stage = await setStage({ workers: WORKERS, rate, served: false, say });
try {
  process.exitCode = (await Promise.race([run(stage), stage.broken])) ? 0 : 1;
} catch (error) {
  console.error(`npm run bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  await stage.end();
}
