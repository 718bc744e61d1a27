import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { assertAllLived, isRunning, start, workersOf } from './story_process.ts';

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'policy-sync-story-'));
});
after(() => rm(scratch, { recursive: true, force: true }));

describe('npm start', () => {
  it('-- --once lives every policy through and ends with 0', async () => {
    const story = start('--once');
    assert.equal(await story.exit, 0, story.lines.join('\n'));
    assertAllLived(story);
    await story.says(/^Temporal UI: http:\/\/127\.0\.0\.1:\d+$/);
    for (const pid of workersOf(story)) assert.ok(!isRunning(pid));
  });

  it('stays until Ctrl-C, and then ends all that it started', async () => {
    const keep = join(scratch, 'interrupted');
    const story = start('--keep', keep);
    await story.says(/^worker: process/);
    story.process.kill('SIGINT');
    assert.equal(await story.exit, 130, story.lines.join('\n'));
    for (const pid of workersOf(story)) assert.ok(!isRunning(pid));
  });

  it('says in one line what it does not understand, and ends with 2', async () => {
    const story = start('--twice');
    assert.equal(await story.exit, 2);
    assert.deepEqual(
      story.lines,
      ["error: unknown option '--twice'", '(Did you mean --once?)'].slice(0, story.lines.length),
    );
  });
});
