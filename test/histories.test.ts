import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { before, describe, it } from 'node:test';
import proto from '@temporalio/proto';
import { type ReplayResult, Worker } from '@temporalio/worker';
import { dataConverter } from '../codec/data_converter.ts';
import { parseKeys } from '../codec/keys.ts';
import { buildWorkflows } from '../worker/bundle.ts';
import { HISTORIES, HISTORY_KEYS, NEXT } from './kept_histories.ts';
import './quiet.ts';

// Policies live for years: workflow code may change only so that every history of former code still replays.
// New ones are saved by SAVE_HISTORIES=1 npm test -- engine lives.
describe('a saved history replays on the workflow code of today', async () => {
  const { bundle: workflowBundle } = await buildWorkflows(true);
  const converter = dataConverter(parseKeys(HISTORY_KEYS), { allowPlain: false });
  const options = { workflowBundle, dataConverter: converter };
  const { History } = proto.temporal.api.history.v1;
  const saved = async (file: string) => History.decode(await readFile(`${HISTORIES}${file}`));
  type Saved = Awaited<ReturnType<typeof saved>>;
  const idOf = ({ events }: Saved): string => events[0]?.workflowExecutionStartedEventAttributes?.workflowId ?? '';

  const releases = (await readdir(HISTORIES)).sort();
  const inAll = await Promise.all(
    releases.map(async (release) => (await readdir(`${HISTORIES}${release}`)).map((file) => `${release}/${file}`)),
  );
  const files = inAll.flat().filter((file) => file.endsWith('.binpb'));
  assert.ok(files.length >= 20, `${files.length} histories`);

  /** One after the other by one worker: a result is that of the file at its place. */
  const results: ReplayResult[] = [];
  before(async () => {
    const histories = await Promise.all(files.map(saved));
    const replayed = Worker.runReplayHistories(
      options,
      histories.map((history) => ({ workflowId: idOf(history), history })),
    );
    for await (const result of replayed) results.push(result);
  });

  for (const [at, file] of files.entries())
    it(file.replace('.binpb', '').replaceAll('-', ' '), () => {
      assert.ok(results[at], 'it was replayed');
      assert.ifError(results[at].error);
    });

  for (const release of releases.filter((name) => name !== NEXT))
    it(`those of ${release} are what they were when it was released: all of them, and not one recorded anew`, async () => {
      const folder = `${HISTORIES}${release}/`;
      const kept = (await readdir(folder)).filter((file) => file.endsWith('.binpb')).sort();
      const sums = kept.map(async (file) => `${sha256(await readFile(`${folder}${file}`))}  ${file}\n`);
      assert.equal((await Promise.all(sums)).join(''), await readFile(`${folder}SHA256SUMS`, 'utf8'));
    });

  it('and one that the code would not have made is told apart', async () => {
    const history = await saved(files[0] ?? '');
    const call = history.events.find(({ activityTaskScheduledEventAttributes: scheduled }) => scheduled);
    assert.ok(call?.activityTaskScheduledEventAttributes);
    call.activityTaskScheduledEventAttributes.activityType = { name: 'other' };
    await assert.rejects(Worker.runReplayHistory(options, history, idOf(history)), /nondeterminism/i);
  });
});

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
