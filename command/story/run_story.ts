import { setTimeout as delay } from 'node:timers/promises';
import { describePolicy } from '../../client/pending_call.ts';
import { messageOf } from '../error_text.ts';
import { aborted } from './aborted.ts';
import { type Life, livesOf } from './lives.ts';
import { makeNarration, type Narration } from './narration.ts';
import { type Stage, setStage } from './stage.ts';
import { watch } from './watch.ts';

export interface StoryOptions {
  /** End by itself, when all is as expected or the time is over. */
  once: boolean;
  /** Folder of data and logs, kept; otherwise a temporary one. */
  keep?: string;
}

/** Slow enough to be watched, and for a worker to be killed and replaced. */
const WATCHED_PACE = 3;
/** From the first policy's opening on. Lived without a mishap they take 17 s, or 50 s where they are watched. */
const BOUND_MS = 90_000;
const LOOK_MS = 500;
const INTERRUPTED = 130;

/**
 * What `npm start` does.
 * @returns the exit code: 0 when every policy ended as expected, or when Ctrl-C ended the show after that
 * @throws an error of one line when the stage cannot be set
 */
export async function runStory({ once, keep }: StoryOptions): Promise<number> {
  const interrupted = interruption();
  const narration = makeNarration();
  let stage: Stage | undefined;
  try {
    stage = await setStage({ keep, log: narration.line, interrupted });
    return await play(stage, livesOf(stage, once ? 1 : WATCHED_PACE), { once, narration, interrupted });
  } catch (error) {
    // What fails because the stage is being taken down is no failure.
    if (interrupted.aborted) return INTERRUPTED;
    throw error;
  } finally {
    narration.close();
    await stage?.end();
  }
}

interface Show {
  once: boolean;
  narration: Narration;
  interrupted: AbortSignal;
}

/** Lives the policies through, and shows them: with `once` until the verdict, else until Ctrl-C. */
async function play(stage: Stage, lives: Life[], { once, narration, interrupted }: Show): Promise<number> {
  const over = new AbortController();
  const watching = watch(stage, lives, narration, AbortSignal.any([over.signal, interrupted]));
  // Its failure is this function's, but only once it is awaited below.
  watching.catch(() => {});
  const ends = [aborted(interrupted), stage.broken];
  const failures = new Map<Life, string>();
  const living = liveAll(lives, failures);
  // The first policy to be open shows where to look.
  void showLinks(stage, lives, narration).catch((error) => narration.line(messageOf(error)));
  try {
    await Promise.race([untilAsExpected(lives, failures, living), ...ends]);
    if (interrupted.aborted) return INTERRUPTED;
    if (once) {
      over.abort();
      await watching;
      return await tellVerdict(lives, failures, narration);
    }
    const verdict = await tellVerdict(lives, failures, narration);
    narration.line('Ctrl-C ends it all.');
    await Promise.race([watching, ...ends]);
    return verdict;
  } finally {
    over.abort();
    await watching;
  }
}

/** The first life waits for the worker to be ready; the others begin then, for their times are counted in seconds. */
async function liveAll([first, ...others]: Life[], failures: Map<Life, string>): Promise<void> {
  const live = async (life: Life): Promise<void> => {
    await life.live().catch((error) => failures.set(life, messageOf(error)));
  };
  if (!first) return;
  const living = live(first);
  await Promise.race([first.opened, living]);
  await Promise.all([living, ...others.map(live)]);
}

/** Until WeChat Pay holds what every life is to end with; not longer than the bound, and than a life that failed. */
async function untilAsExpected(lives: Life[], failures: Map<Life, string>, living: Promise<unknown>): Promise<void> {
  let done = false;
  void living.then(() => {
    done = true;
  });
  await Promise.race([lives[0]?.opened, living]);
  const deadline = Date.now() + BOUND_MS;
  while (Date.now() < deadline) {
    const open = lives.filter((life) => !failures.has(life));
    const lacking = await Promise.all(open.map((life) => life.lacking()));
    if (done && lacking.every((lack) => lack === undefined)) return;
    await delay(LOOK_MS);
  }
}

async function tellVerdict(lives: Life[], failures: Map<Life, string>, narration: Narration): Promise<number> {
  let code = 0;
  for (const life of lives) {
    const lack = failures.get(life) ?? (await life.lacking());
    if (lack !== undefined) code = 1;
    narration.line(`${lack === undefined ? '✓' : '✗'} ${life.title}: ${lack ?? life.outcome}`);
  }
  narration.line(
    code === 0
      ? 'Every policy is at WeChat Pay (the sandbox) as it should be.'
      : 'Not every policy is at WeChat Pay (the sandbox) as it should be.',
  );
  return code;
}

async function showLinks(stage: Stage, [first]: Life[], narration: Narration): Promise<void> {
  if (!first) return;
  await first.opened;
  const { mchid, out_insurance_no } = first.policy;
  narration.line(`HTTP and JSON, and a console: ${stage.gatewayUrl}/console/`);
  narration.line(`by a shell: curl ${stage.gatewayUrl}/policies/${mchid}/${out_insurance_no}`);
  if (!stage.uiUrl) return;
  const { workflow_id, run_id } = await describePolicy(stage.client, first.policy);
  const path = ['namespaces', stage.namespace, 'workflows', workflow_id, run_id, 'history'].map(encodeURIComponent);
  narration.line(`Temporal UI: ${stage.uiUrl}`);
  narration.line(`one policy there: ${stage.uiUrl}/${path.join('/')}`);
}

function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => controller.abort());
  return controller.signal;
}
