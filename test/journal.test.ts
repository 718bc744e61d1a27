import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openedLife } from '../policy/life.ts';
import { recordSchema } from '../policy/record.ts';
import { parse } from '../policy/violation.ts';
import { Journal } from '../workflows/journal.ts';
import { recordOf } from './fixtures.ts';

/** What Temporal takes as one input (its default `limit.blobSize.error`), less what else is in it. */
const MOST_BYTES = 1024 * 1024;

function lifeWith(coverage_detail: string) {
  return openedLife(parse(recordSchema, recordOf({ coverage_detail })), 0);
}

describe('what MongoDB has not got of the commands', () => {
  it('fits in one input, however many large amendments wait: the oldest lose their values first, and none is lost', () => {
    const journal = new Journal();
    for (let at = 1; at <= 150; at++) {
      const [before, after] = [lifeWith('旧'.repeat(15_000)), lifeWith('新'.repeat(15_000))];
      journal.note('life', { command: 'amend', message: { event_id: `e${at}` }, before, after, revision: at + 1, at });
    }
    const { commands } = journal.pending;
    assert.ok(Buffer.byteLength(JSON.stringify(commands)) < MOST_BYTES);
    assert.deepEqual(
      commands.map(({ event_id }) => event_id),
      Array.from({ length: 150 }, (_, at) => `e${at + 1}`),
    );
    assert.equal(commands.at(-1)?.after.coverage_detail, '新'.repeat(15_000));
    assert.deepEqual(commands[0]?.after, {});
  });
});
