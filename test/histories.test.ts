import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import proto from '@temporalio/proto';
import { Worker } from '@temporalio/worker';
import { dataConverter } from '../codec/data_converter.ts';
import { parseKeys } from '../codec/keys.ts';
import { buildWorkflows } from '../worker/bundle.ts';
import { HISTORIES, HISTORY_KEYS } from './kept_histories.ts';
import { quiet } from './world.ts';

quiet();

// Policies live for years: workflow code may change only so that every history of former code still replays.
// New ones are saved by SAVE_HISTORIES=1 npm test lives engine.
describe('a saved history replays on the workflow code of today', async () => {
  const { bundle: workflowBundle } = await buildWorkflows(true);
  const converter = dataConverter(parseKeys(HISTORY_KEYS), { allowPlain: false });
  const options = { workflowBundle, dataConverter: converter };
  const { History } = proto.temporal.api.history.v1;
  const saved = async (file: string) => History.decode(await readFile(`${HISTORIES}${file}`));
  const replay = (history: Awaited<ReturnType<typeof saved>>): Promise<void> =>
    Worker.runReplayHistory(
      options,
      history,
      history.events[0]?.workflowExecutionStartedEventAttributes?.workflowId ?? '',
    );

  const files = (await readdir(HISTORIES)).filter((file) => file.endsWith('.binpb')).sort();
  assert.ok(files.length >= 20, `${files.length} histories`);
  for (const file of files)
    it(file.replace('.binpb', '').replaceAll('-', ' '), async () => {
      await replay(await saved(file));
    });

  it('and one that the code would not have made is told apart', async () => {
    const history = await saved(files[0] ?? '');
    const claim = history.events.find(({ activityTaskScheduledEventAttributes: scheduled }) => scheduled);
    assert.ok(claim?.activityTaskScheduledEventAttributes);
    claim.activityTaskScheduledEventAttributes.activityType = { name: 'other' };
    await assert.rejects(replay(history), /nondeterminism/i);
  });
});
