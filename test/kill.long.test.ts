import assert from 'node:assert/strict';
import { it } from 'node:test';
import { assertAllLived, start, workersOf } from './story_process.ts';

// What a killed worker leaves behind at each step of a call: test/faults_crashes.long.test.ts.
it("kill -9 of the worker in the middle of npm start's story loses nothing once a worker is back", async () => {
  const story = start();
  // By then all are open, and calls of theirs are under way.
  await story.says(/^healed \(\w+\): /);
  const [first] = workersOf(story);
  assert.ok(first !== undefined);
  process.kill(first, 'SIGKILL');
  await story.says(/^the worker has ended/);
  await story.says(/^(Every|Not every) policy is at WeChat Pay/);
  story.process.kill('SIGINT');
  assert.equal(await story.exit, 0, story.lines.join('\n'));
  assertAllLived(story);
  assert.equal(workersOf(story).length, 2);
});
