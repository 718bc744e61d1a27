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

describe('that WeChat Pay holds a revision', () => {
  const noted = (journal: Journal, revision: number, at: number) =>
    journal.note('life', { command: 'resume', revision, at });
  const told = (journal: Journal): void => journal.recorded(journal.pending);

  it('is told once, and again for what came later and changed nothing', () => {
    const journal = new Journal();
    noted(journal, 5, 1);
    journal.confirmed(5, 2, { request_id: 'R1', still: true });
    assert.deepEqual(journal.pending.confirmation, { revision: 5, at: 2, request_id: 'R1' });
    told(journal);
    journal.confirmed(5, 3, { still: true });
    assert.equal(journal.pending.confirmation, null);
    noted(journal, 5, 4);
    journal.confirmed(5, 5, { still: true });
    assert.deepEqual(journal.pending.confirmation, { revision: 5, at: 5 });
    told(journal);
    journal.confirmed(5, 6, { still: true });
    assert.equal(journal.pending.confirmation, null);
  });

  it('is not told of what came while it may hold otherwise, before it is known to hold it', () => {
    const journal = new Journal();
    journal.confirmed(5, 2, { still: true });
    told(journal);
    noted(journal, 5, 4);
    journal.confirmed(5, 5, { still: false });
    assert.equal(journal.pending.confirmation, null);
    journal.confirmed(5, 6, { still: true });
    assert.deepEqual(journal.pending.confirmation, { revision: 5, at: 6 });
  });

  it('counts as told once MongoDB has it as it was told last', () => {
    const journal = new Journal();
    journal.confirmed(5, 2, { still: true });
    const underWay = journal.pending;
    noted(journal, 5, 4);
    journal.confirmed(5, 5, { still: true });
    journal.recorded(underWay);
    assert.deepEqual(journal.pending.confirmation, { revision: 5, at: 5 });
  });
});
