import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { EVENT_TYPES, eventsBetween, NOTHING_TOLD, type Stance } from '../policy/events.ts';
import { SYNCS } from '../policy/state.ts';
import { Events } from '../workflows/events.ts';
import { sourceOf } from './named_code.ts';

const stance = (changes: Partial<Stance> = {}): Stance => ({
  state: 'APPROVED',
  sync: 'SYNCED',
  revision: 1,
  synced_revision: 1,
  block: null,
  diverged: [],
  attention: [],
  window: 'planned',
  ...changes,
});

/** Types that a row of stances tells, without their `policy.`, a list for each. */
function toldBy(...stances: Partial<Stance>[]): string[][] {
  let told = NOTHING_TOLD;
  return stances.map((changes) => {
    const between = eventsBetween(told, stance(changes));
    told = between.told;
    return between.events.map(([type]) => type.replace('policy.', ''));
  });
}

describe('what is told when a policy stands otherwise than before', () => {
  const blocked: Partial<Stance> = { sync: 'BLOCKED', block: { code: 'PARAM_ERROR' }, revision: 2 };
  const rows: [rule: string, stances: Partial<Stance>[], told: string[][]][] = [
    ['nothing of a policy that waits for its first answer', [{ sync: 'PENDING', synced_revision: 0 }], [[]]],
    [
      'that each revision is confirmed, once',
      [{}, {}, { revision: 2, sync: 'PENDING' }, { revision: 2, synced_revision: 2 }],
      [['confirmed'], [], [], ['confirmed']],
    ],
    ['that one is confirmed though the next is on its way', [{ revision: 2, sync: 'PENDING' }], [['confirmed']]],
    [
      'that it is blocked, once, and again for another code',
      [{}, blocked, blocked, { ...blocked, block: { code: 'NO_AUTH' } }],
      [['confirmed'], ['blocked'], [], ['blocked']],
    ],
    [
      'that it is in step again, though no revision is another',
      [{}, { ...blocked, revision: 1 }, { sync: 'PENDING' }, {}],
      [['confirmed'], ['blocked'], [], ['confirmed']],
    ],
    [
      'not anew that it is blocked by the same after a try in vain',
      [{}, blocked, { ...blocked, sync: 'PENDING' }, blocked],
      [['confirmed'], ['blocked'], [], []],
    ],
    [
      'once that it is confirmed, where that is known before it is in step',
      [{}, blocked, { sync: 'PENDING', revision: 2, synced_revision: 2 }, { revision: 2, synced_revision: 2 }],
      [['confirmed'], ['blocked'], ['confirmed'], []],
    ],
    [
      'anew that it is blocked, where it is so still after a revision was confirmed',
      [{}, blocked, { ...blocked, synced_revision: 2, revision: 3 }],
      [['confirmed'], ['blocked'], ['confirmed', 'blocked']],
    ],
    [
      'that it diverges, and again in another field',
      [{}, { sync: 'DIVERGED', diverged: ['policy_state'] }, { sync: 'DIVERGED', diverged: ['address'] }],
      [['confirmed'], ['diverged'], ['diverged']],
    ],
    [
      'that a change waits for long',
      [{}, { sync: 'RETRYING', revision: 2 }, { revision: 2, synced_revision: 2 }],
      [['confirmed'], ['retrying'], ['confirmed']],
    ],
    [
      'that the window is open once WeChat Pay holds it',
      [
        {},
        { window: 'open', sync: 'PENDING', revision: 2 },
        { window: 'open', revision: 2, synced_revision: 2 },
        { window: 'closed', revision: 2, synced_revision: 2 },
      ],
      [['confirmed'], [], ['confirmed', 'window_opened'], []],
    ],
    [
      'marks that are new, not those that were',
      [{ attention: ['a'] }, { attention: ['a', 'b'] }, { attention: ['b'] }, { attention: ['a', 'b'] }],
      [['confirmed', 'attention'], ['attention'], [], ['attention']],
    ],
    ['nothing of a policy that a person holds', [{}, { sync: 'HELD' }, {}], [['confirmed'], [], []]],
  ];
  for (const [rule, stances, told] of rows) it(rule, () => assert.deepEqual(toldBy(...stances), told));

  it('names why: the code of a block with its Request-ID, the fields that differ, the new marks', () => {
    const detail = (changes: Partial<Stance>) =>
      eventsBetween(NOTHING_TOLD, stance({ synced_revision: 0, ...changes })).events[0]?.[1];
    assert.deepEqual(detail({ sync: 'BLOCKED', block: { code: 'X', request_id: '08A' } }), {
      code: 'X',
      request_id: '08A',
    });
    assert.deepEqual(detail({ sync: 'DIVERGED', diverged: ['address'] }), { fields: ['address'] });
    assert.deepEqual(detail({ sync: 'PENDING', attention: ['reset'] }), { marks: ['reset'] });
  });

  const stances = fc.array(
    fc.record({
      sync: fc.constantFrom(...SYNCS),
      more: fc.nat(1),
      window: fc.constantFrom('planned', 'open', 'closed'),
      attention: fc.subarray(['a', 'b', 'c']),
      code: fc.constantFrom('X', 'Y'),
      diverged: fc.subarray(['address', 'policy_state'], { minLength: 1 }),
    }),
    { maxLength: 40 },
  );

  it('is enough to know at any time whether WeChat Pay holds what is wanted: whoever follows events never takes a policy that is out of step for one in step', () => {
    fc.assert(
      fc.property(stances, (row) => {
        const events = new Events();
        events.recorded();
        let synced_revision = 0;
        for (const { sync, more, code, ...rest } of row) {
          if (sync !== 'HELD') synced_revision += more;
          events.look('life', stance({ sync, block: { code }, synced_revision, ...rest }));
          const last = events.state.entries.filter(({ type }) => !/window|attention|healed/.test(type)).at(-1);
          if (sync === 'BLOCKED' || sync === 'DIVERGED' || sync === 'RETRYING')
            assert.equal(last?.type, `policy.${sync.toLowerCase()}`);
          if (sync === 'SYNCED' && synced_revision > 0) assert.equal(last?.type, 'policy.confirmed');
        }
        const sequences = events.state.entries.map(({ sequence }) => sequence);
        assert.deepEqual(
          sequences,
          [...new Set(sequences)].sort((one, other) => one - other),
        );
        assert.equal(new Set(events.state.entries.map(({ id }) => id)).size, sequences.length);
      }),
    );
  });

  it('is in the table of docs/events.md, type by type', async () => {
    const page = await sourceOf('docs/events.md');
    for (const [type, says] of Object.entries(EVENT_TYPES)) assert.ok(page.includes(`| \`${type}\` | ${says} |`), type);
  });
});

describe('events that MongoDB is not known to have', () => {
  const noted = (events: Events, times: number): void => {
    for (let n = 1; n <= times; n++)
      events.look('life', stance({ synced_revision: events.state.told.synced_revision + 1 }));
  };

  it('stay, however many calls carry them in vain, until one was written by a worker that knows of them', () => {
    const events = new Events();
    events.recorded();
    noted(events, 2);
    const written = [...events.state.entries];
    noted(events, 1);
    assert.equal(events.state.entries.length, 3);
    events.recorded(written);
    assert.deepEqual(
      events.state.entries.map(({ synced_revision }) => synced_revision),
      [3],
    );
  });

  it('are none before a worker has said that somebody waits for them', () => {
    const events = new Events();
    noted(events, 2);
    assert.deepEqual(events.state.entries, []);
    events.recorded();
    noted(events, 1);
    assert.equal(events.state.entries.length, 1);
  });

  it('are handed from run to run, and are numbered on from there', () => {
    const before = new Events();
    before.recorded();
    noted(before, 1);
    const after = new Events(JSON.parse(JSON.stringify(before.state)));
    noted(after, 1);
    const [first, second] = after.state.entries;
    assert.ok(first && second && second.sequence > first.sequence);
  });

  it('are 200 at most', () => {
    const events = new Events();
    events.recorded();
    noted(events, 250);
    assert.equal(events.state.entries.length, 200);
    assert.equal(events.state.entries.at(-1)?.synced_revision, 250);
  });

  it('have an id without a full stop, which parts what is signed', () => {
    const events = new Events();
    events.recorded();
    events.look('019abc-7', stance());
    assert.match(events.state.entries[0]?.id ?? '', /^[\w-]+$/);
  });
});
