import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Inbox } from '../workflows/inbox.ts';

const accepted = (revision: number) => ({ revision, outcome: 'accepted' }) as const;

describe('messages', () => {
  it('that end after a newer one do not make it forgotten: versions never go back', () => {
    const inbox = new Inbox();
    inbox.remember({ version: 9, event_id: 'a' }, accepted(2));
    inbox.remember({ version: 8, event_id: 'b' }, { revision: 2, outcome: 'unchanged' });
    assert.deepEqual(inbox.answerTo({ version: 9 }, 2), { revision: 2, outcome: 'superseded' });
    assert.equal(inbox.answerTo({ version: 10 }, 2), undefined);
  });

  it('without an id or a version, or with null for them, are new each time, and no version is taken of them', () => {
    const inbox = new Inbox();
    for (const bare of [{}, { event_id: null, version: null }] as object[]) {
      inbox.remember(bare, accepted(2));
      assert.equal(inbox.answerTo(bare, 3), undefined);
    }
    assert.deepEqual(inbox.received, { events: [], version: null });
  });

  it('are known again by their id, the last 200 of them', () => {
    const inbox = new Inbox();
    for (let n = 0; n <= 200; n++) inbox.remember({ event_id: `e${n}` }, accepted(n));
    assert.deepEqual(inbox.answerTo({ event_id: 'e1' }, 300), accepted(1));
    assert.equal(inbox.answerTo({ event_id: 'e0' }, 300), undefined);
    assert.deepEqual(new Inbox(inbox.received).answerTo({ event_id: 'e200' }, 300), accepted(200));
  });
});
