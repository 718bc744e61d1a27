import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { CommandName } from '../policy/commands.ts';
import { differences } from '../policy/difference.ts';
import { settleDue } from '../policy/life.ts';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { RuleViolation } from '../policy/violation.ts';
import { takeAnswer, takeRefusal, takeUnknown, takeWait } from '../workflows/reconciler/answers.ts';
import { change, resume } from '../workflows/reconciler/desired.ts';
import type { Position } from '../workflows/reconciler/position.ts';
import { settle } from '../workflows/reconciler/settled.ts';
import { URGENCY } from '../workflows/reconciler/standing.ts';
import { DAY, SEED } from './fixtures.ts';
import { bring, call, command, type Ending, get, NOW, opened, Remote, synced } from './reconciler_fixture.ts';

/** A command with inputs that fit; where the state refuses it, nothing happens. */
function tried(position: Position, name: CommandName, days: number, now: number): void {
  try {
    command(position, name, inputFor(name, days, now), now);
  } catch (error) {
    assert.ok(error instanceof RuleViolation, String(error));
  }
}

const steps = fc.array(
  fc.oneof(
    fc.record({
      command: fc.constantFrom<CommandName>('approve', 'decline', 'cancel', 'withdraw', 'amend', 'renew', 'reinstate'),
      days: fc.integer({ min: 1, max: 500 }),
      after: fc.integer({ min: 0, max: 100 }),
    }),
    fc.record({ call: fc.constantFrom<Ending>('confirmed', 'refused', 'landed', 'lost', 'late') }),
    fc.record({
      call: fc.constantFrom<Ending>('confirmed', 'refused', 'landed', 'lost'),
      during: fc.constantFrom<CommandName>('approve', 'cancel', 'amend', 'reinstate'),
      days: fc.integer({ min: 1, max: 500 }),
    }),
  ),
  { maxLength: 20 },
);

function inputFor(name: CommandName, days: number, now: number): Record<string, unknown> {
  const inputs: Record<CommandName, Record<string, unknown>> = {
    approve: { policy_code: `C${days}` },
    decline: { reason: 'r' },
    cancel: days % 2 ? {} : { at: wireTime(now + days * DAY) },
    withdraw: {},
    amend: days % 2 ? { address: `road ${days % 3}` } : { policy_periods: [days % 4] },
    renew: { expired_time: wireTime(now + days * DAY) },
    reinstate: { reason: 'r', expired_time: wireTime(now + days * DAY) },
    hold: { reason: 'r' },
    unhold: {},
    observe: { on: days % 2 === 0 },
  };
  return inputs[name];
}

describe('a change that comes while a call is under way', () => {
  it('is with WeChat Pay only after that call, although what was last confirmed agrees with it', () => {
    const position = opened();
    get(position, { ...position.held });
    command(position, 'amend', { address: 'B' });
    position.sending = { address: 'B' };
    command(position, 'amend', { address: SEED.address });
    assert.deepEqual([position.sync, position.standing.synced_revision], ['PENDING', 1]);
    position.sending = undefined;
    takeAnswer(position, { policy: { ...position.held, address: 'B' }, unreadable: [] }, { address: 'B' }, NOW);
    assert.equal(position.standing.synced_revision, 1);
    assert.deepEqual(position.next(), { call: 'push', fields: { address: SEED.address } });
  });

  it('is with WeChat Pay at once where the call was called off before it was made', () => {
    const position = opened();
    get(position, { ...position.held });
    command(position, 'amend', { address: 'B' });
    position.sending = { address: 'B' };
    command(position, 'amend', { address: SEED.address });
    position.sending = undefined;
    settle(position);
    assert.deepEqual([position.sync, position.standing.synced_revision], ['SYNCED', 3]);
  });
});

describe('an answer to a change that proves nothing', () => {
  it('is shown as unverified until one does', () => {
    const told = { code: 'PARAM_ERROR', message: 'an unsigned 400 proves nothing: bad address', request_id: '08A' };
    for (const proves of ['confirm', 'refuse'] as const) {
      const position = opened();
      get(position, { ...position.held });
      command(position, 'amend', { address: 'elsewhere' });
      takeUnknown(position, { address: 'elsewhere' }, NOW, told);
      const shown = { ...told, at: new Date(NOW).toISOString() };
      assert.deepEqual(position.standing.unverified, shown);
      takeAnswer(position, { policy: { ...position.held, address: 'before' }, unreadable: [] }, undefined, NOW);
      assert.deepEqual(position.standing.unverified, shown, 'a GET tells nothing of it');
      if (proves === 'confirm')
        takeAnswer(position, { policy: { ...position.held }, unreadable: [] }, { address: 'elsewhere' }, NOW);
      else takeRefusal(position, { status: 400, code: 'X', message: 'm' }, { address: 'elsewhere' }, NOW);
      assert.equal(position.standing.unverified, undefined);
    }
  });
});

describe('the loop', () => {
  it('any commands, over any fate of the calls between, send legal PATCHes only and end with both sides equal', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const position = opened();
        const remote = new Remote({ ...position.held });
        let now = NOW;
        for (const step of sequence) {
          if ('during' in step)
            call(position, remote, step.call, now, () => tried(position, step.during, step.days, now));
          else if ('call' in step) call(position, remote, step.call, now);
          else {
            now += step.after * DAY;
            const due = settleDue(position.life, now);
            if (due.applied.length > 0) change(position, due.life, URGENCY.due, now);
            tried(position, step.command, step.days, now);
          }
          assert.deepEqual(remote.illegal, []);
        }
        resume(position, now);
        bring(position, remote, now);
        assert.deepEqual(remote.illegal, []);
        assert.deepEqual(differences(position.held, remote.policy), []);
        assert.equal(position.sync, 'SYNCED');
        assert.equal(position.standing.synced_revision, position.standing.revision);
      }),
      { numRuns: 2000 },
    );
  });

  it('begins with a GET', () => {
    assert.equal(opened().next().call, 'query');
  });

  it('sends what differs, and policy_code with the state', () => {
    const position = opened();
    get(position, position.held);
    command(position, 'approve', { policy_code: 'C1' });
    assert.deepEqual(position.next(), { call: 'push', fields: { policy_state: APPROVED, policy_code: 'C1' } });
  });

  it('never sends the state already confirmed', () => {
    const position = opened({}, { policy_state: APPROVED });
    get(position, position.held);
    command(position, 'amend', { address: 'elsewhere' });
    assert.deepEqual(position.next(), { call: 'push', fields: { address: 'elsewhere' } });
  });

  it('after an unknown outcome asks before it sends, and carries again what the attempt carried', () => {
    const position = opened();
    const before = { ...position.held };
    get(position, before);
    command(position, 'amend', { address: 'B' });
    takeUnknown(position, { address: 'B' }, NOW);
    command(position, 'amend', { address: before.address });
    assert.equal(position.next().call, 'query');
    get(position, before);
    assert.deepEqual(position.next(), { call: 'push', fields: { address: before.address } });
  });

  it('takes a value that an unconfirmed attempt of ours may have set for ours, not for drift', () => {
    const position = opened();
    get(position, position.held);
    command(position, 'amend', { address: 'B' });
    takeUnknown(position, { address: 'B' }, NOW);
    command(position, 'amend', { address: 'C' });
    get(position, { ...position.held, address: 'B' });
    assert.deepEqual(position.standing.discrepancies, []);
    assert.deepEqual(position.next(), { call: 'push', fields: { address: 'C' } });
  });

  it('a call superseded while it ran is ours, not drift, and the newer value follows it', () => {
    const position = opened();
    const before = { ...position.held };
    get(position, before);
    command(position, 'approve', { policy_code: 'C1' });
    const sent = { policy_state: APPROVED, policy_code: 'C1' } as const;
    command(position, 'cancel', {});
    takeAnswer(position, { policy: { ...before, ...sent }, unreadable: [] }, sent, NOW);
    assert.deepEqual(position.standing.discrepancies, []);
    assert.equal((position.next() as { fields: PolicyFields }).fields.policy_state, INACTIVE);
  });

  it('a change whose attempts all end unknown is told of once it has waited for so long, though GETs are answered', () => {
    const position = opened({ retry_alert_after: '15m' });
    const theirs = { ...position.held };
    get(position, theirs);
    command(position, 'amend', { address: 'B' });
    for (let minute = 0; minute < 20; minute += 5) {
      const now = NOW + minute * 60_000;
      assert.equal(position.sync, 'PENDING', `minute ${minute}`);
      takeUnknown(position, { address: 'B' }, now);
      get(position, theirs, now);
    }
    assert.equal(position.sync, 'RETRYING');
  });

  it('what an unknown attempt carried, and ours has no more, is forgotten once a later call was confirmed', () => {
    const position = opened({}, { policy_state: APPROVED });
    const before = { ...position.held };
    get(position, before);
    const times = { start_renewal_time: before.expired_time, end_renewal_time: before.expired_time };
    takeUnknown(position, { support_renewal: true, ...times } as PolicyFields, NOW);
    command(position, 'renew', { as: 'NEXT1' });
    get(position, before);
    assert.deepEqual(position.next(), { call: 'push', fields: { support_renewal: false } });
    takeAnswer(position, { policy: position.held, unreadable: [] }, { support_renewal: false }, NOW);
    assert.equal(position.next().call, 'verify');
  });

  it('attempts that carried the same are kept as one, as of the last: many rounds of an outage take no more room', () => {
    const position = opened();
    get(position, position.held);
    for (const at of [1, 2, 3]) takeUnknown(position, { address: 'B' }, NOW + at);
    takeUnknown(position, { address: 'C' }, NOW + 4);
    assert.deepEqual(position.standing.unconfirmed, [
      { fields: { address: 'B' }, at: NOW + 3 },
      { fields: { address: 'C' }, at: NOW + 4 },
    ]);
  });

  for (const [what, comes] of [
    ['a surrender', (position: Position) => command(position, 'cancel', {}, NOW + 1000)],
    ['resume', (position: Position) => resume(position, NOW + 1000)],
  ] as const)
    it(`${what} that comes while an attempt runs waits neither for its Retry-After nor behind its unknown outcome`, () => {
      const running = (): Position => {
        const position = synced();
        command(position, 'amend', { address: 'B' });
        for (let round = 0; round < 5; round++) takeUnknown(position, { address: 'B' }, NOW);
        position.hurried = false;
        comes(position);
        return position;
      };
      const asked = running();
      takeWait(asked, { wait: 60 * 60_000, early: true }, NOW + 2000);
      const unknown = running();
      takeUnknown(unknown, { address: 'B' }, NOW + 2000);
      for (const position of [asked, unknown]) assert.deepEqual(position.next(), { call: 'query', not_before: 0 });
      asked.hurried = false;
      takeWait(asked, { wait: 60_000, early: true }, NOW + 3000);
      assert.equal(asked.standing.not_before, NOW + 63_000, 'the next attempt is told for itself');
    });

  it('rounds of unknown outcome back off to an hour, and a new change tries at once', () => {
    const position = opened();
    get(position, position.held);
    command(position, 'amend', { address: 'B' });
    position.hurried = false;
    const waits = Array.from({ length: 16 }, () => {
      takeUnknown(position, { address: 'B' }, NOW);
      return position.standing.not_before - NOW;
    });
    assert.deepEqual(waits.slice(0, 4), [0, 1000, 2000, 4000]);
    assert.equal(waits.at(-1), 3600000);
    command(position, 'amend', { address: 'C' });
    assert.deepEqual(position.next(), { call: 'query', not_before: 0 });
  });
});
