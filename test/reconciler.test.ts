import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { todoOf } from '../policy/blocks.ts';
import { type CommandName, obey } from '../policy/commands.ts';
import { differences } from '../policy/difference.ts';
import { LIFETIME } from '../policy/fields.ts';
import { dueTimes, openedLife, settleDue } from '../policy/life.ts';
import { type PolicyFields, parsedRecord } from '../policy/record.ts';
import { APPROVED, DECLINED, INACTIVE, ISSUING, isTransition, type PolicyState } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { RuleViolation } from '../policy/violation.ts';
import { accept } from '../workflows/reconciler/accept.ts';
import { takeAnswer, takeRefusal, takeUnknown } from '../workflows/reconciler/answers.ts';
import { behind, change, resume } from '../workflows/reconciler/desired.ts';
import { Position } from '../workflows/reconciler/position.ts';
import { settle } from '../workflows/reconciler/settled.ts';
import { newStanding, URGENCY } from '../workflows/reconciler/standing.ts';
import { DAY, recordOf, SEED } from './fixtures.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const QUARTER = 15 * 60_000;

/** How a call between two commands ends. `landed`: it took effect, but nobody was told; `late`: it does later. */
type Ending = 'confirmed' | 'refused' | 'landed' | 'lost' | 'late';

/** WeChat Pay as the official table has it: an illegal transition, or the state already held, fails the model. */
class Remote {
  policy: PolicyFields;
  late: PolicyFields[] = [];
  readonly illegal: string[] = [];

  constructor(policy: PolicyFields) {
    this.policy = policy;
  }

  /** A late attempt's fields land between our GET and our PATCH; its state only where a GET can see it. */
  landFields(): void {
    for (const { policy_state: _later, ...fields } of this.late) this.take(fields);
  }

  take(fields: PolicyFields): void {
    const from = this.policy.policy_state as PolicyState;
    const to = fields.policy_state;
    if (to !== undefined && !isTransition(from, to)) this.illegal.push(`${from} to ${to}`);
    else this.policy = { ...this.policy, ...fields };
  }
}

function opened(settings: Record<string, unknown> = {}, changes: Record<string, unknown> = {}): Position {
  const record = parsedRecord(recordOf(changes, settings, { now: NOW }));
  return new Position(openedLife(record, NOW), newStanding(NOW));
}

function command(position: Position, name: CommandName, input: Record<string, unknown>, now = NOW): void {
  const life = obey(position.life, name, input, now, (field) => position.mayHold(field));
  if (life !== position.life) change(position, life, URGENCY.user, now);
}

function get(position: Position, policy: PolicyFields, now = NOW): void {
  takeAnswer(position, { policy, unreadable: [] }, undefined, now);
}

/** Makes the call that is next, and lets it end so; `during` happens while it runs. */
function call(position: Position, remote: Remote, ending: Ending, now: number, during?: () => void): string {
  const action = position.next();
  if (action.call === 'query') {
    for (const fields of remote.late.splice(0)) remote.take(fields);
    get(position, remote.policy, now);
  } else if (action.call === 'push') {
    const { fields } = action;
    during?.();
    remote.landFields();
    if (ending === 'refused') takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'no' }, fields, now);
    else if (ending === 'confirmed') {
      remote.take(fields);
      takeAnswer(position, { policy: remote.policy, unreadable: [] }, fields, now);
    } else {
      if (ending === 'landed') remote.take(fields);
      if (ending === 'late') remote.late.push(fields);
      takeUnknown(position, fields, now);
    }
  }
  return action.call;
}

/** A command with inputs that fit; where the state refuses it, nothing happens. */
function tried(position: Position, name: CommandName, days: number, now: number): void {
  try {
    command(position, name, inputFor(name, days, now), now);
  } catch (error) {
    assert.ok(error instanceof RuleViolation, String(error));
  }
}

const SYNCED_IN_CALLS = 12;

/** Lets every call succeed until nothing is left to send. */
function bring(position: Position, remote: Remote, now: number): void {
  for (let calls = 0; calls < SYNCED_IN_CALLS; calls++) {
    if (call(position, remote, 'confirmed', now) === 'verify') return;
  }
  assert.fail(`not synced after ${SYNCED_IN_CALLS} calls`);
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

  it('rounds of unknown outcome back off to an hour, and a new change tries at once', () => {
    const position = opened();
    get(position, position.held);
    command(position, 'amend', { address: 'B' });
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

describe('a refusal', () => {
  function refused(): Position {
    const position = opened({}, { policy_state: APPROVED });
    get(position, position.held);
    command(position, 'amend', { address: 'bad', pet_name: 'new' });
    takeRefusal(
      position,
      { status: 400, code: 'PARAM_ERROR', message: 'no', request_id: 'R1' },
      { address: 'bad', pet_name: 'new' },
      NOW,
    );
    return position;
  }

  it('blocks with code and Request-ID, and the same values are never sent again', () => {
    const position = refused();
    assert.equal(position.sync, 'BLOCKED');
    assert.equal(position.standing.block?.code, 'PARAM_ERROR');
    assert.equal(position.standing.block?.request_id, 'R1');
    assert.equal(position.next().call, 'verify');
  });

  it('does not keep a surrender from leaving', () => {
    const position = refused();
    command(position, 'cancel', {});
    const action = position.next();
    assert.ok(action.call === 'push');
    assert.equal(action.fields.policy_state, INACTIVE);
    assert.equal('address' in action.fields, false);
  });

  it('is over once a refused field is amended, or a person resumes', () => {
    const position = refused();
    command(position, 'amend', { address: 'good' });
    assert.deepEqual(position.next(), { call: 'push', fields: { address: 'good', pet_name: 'new' } });
    const resumed = refused();
    assert.equal(resume(resumed, NOW), true);
    assert.deepEqual(resumed.next(), { call: 'push', fields: { address: 'bad', pet_name: 'new' } });
  });

  it('after an unknown outcome is asked about first: the attempt may have landed, and the rest still goes', () => {
    const position = opened();
    const before = { ...position.held };
    get(position, before);
    command(position, 'approve', { policy_code: 'C1' });
    takeUnknown(position, { policy_state: APPROVED, policy_code: 'C1' }, NOW);
    get(position, before);
    command(position, 'amend', { address: 'B' });
    const sent = { policy_state: APPROVED, policy_code: 'C1', address: 'B' } as const;
    takeRefusal(position, { status: 400, code: 'INVALID_REQUEST', message: 'no' }, sent, NOW);
    assert.equal(position.next().call, 'query');
    get(position, { ...before, policy_state: APPROVED, policy_code: 'C1' });
    assert.deepEqual(position.next(), { call: 'push', fields: { address: 'B' } });
    assert.equal(position.standing.block, null);
  });

  it('of a state for want of a policy_code is over once that is amended', () => {
    const position = opened();
    get(position, { ...position.held });
    command(position, 'cancel', {});
    const action = position.next();
    assert.ok(action.call === 'push');
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'policy_code' }, action.fields, NOW);
    command(position, 'amend', { policy_code: 'C2' });
    const fields = { policy_state: INACTIVE, policy_code: 'C2' };
    assert.deepEqual(position.next(), { call: 'push', fields });
  });

  it('of a verification blocks until WeChat Pay answers one again, and is no reason to rest', () => {
    const position = opened();
    get(position, position.held);
    assert.equal(position.verificationRefused, false);
    takeRefusal(position, { status: 403, code: 'RULE_LIMIT', message: 'no' }, undefined, NOW);
    assert.equal(position.sync, 'BLOCKED');
    assert.equal(position.next().call, 'verify');
    assert.equal(position.verificationRefused, true);
    get(position, position.held);
    assert.equal(position.sync, 'SYNCED');
    command(position, 'amend', { address: 'B' });
    takeUnknown(position, { address: 'B' }, NOW);
    assert.equal(position.next().call, 'query');
  });

  it('of an approval and a bad address at once lets the surrender leave by itself, and then tries the address once', () => {
    const position = opened();
    get(position, position.held);
    command(position, 'amend', { address: 'bad' });
    command(position, 'approve', { policy_code: 'C1' });
    const both = position.next();
    assert.ok(both.call === 'push');
    assert.deepEqual(Object.keys(both.fields).sort(), ['address', 'policy_code', 'policy_state']);
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'no' }, both.fields, NOW);
    assert.equal(position.next().call, 'verify', 'neither is sent again as it is');
    command(position, 'cancel', {});
    const fields: PolicyFields = { policy_state: INACTIVE, policy_code: 'C1' };
    assert.deepEqual(position.next(), { call: 'push', fields });
    takeAnswer(position, { policy: { ...position.held, address: SEED.address }, unreadable: [] }, fields, NOW);
    assert.deepEqual(position.next(), { call: 'push', fields: { address: 'bad' } });
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'no' }, { address: 'bad' }, NOW);
    assert.equal(position.sync, 'BLOCKED');
    assert.equal(position.next().call, 'verify');
  });

  it('of a verification of what is blocked already is expected from then on, and hides nothing of the block', () => {
    const position = refused();
    const { block } = position.standing;
    const gone = refused();
    takeRefusal(gone, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    for (const one of [position, gone]) {
      takeRefusal(one, { status: 403, code: 'RULE_LIMIT', message: 'no' }, undefined, NOW);
      assert.equal(one.next().call, 'verify');
      assert.equal(one.verificationRefused, true, 'or each verification would bring it, and the next follow at once');
      assert.deepEqual(one.standing.block, block);
    }
    get(position, { ...position.held, address: SEED.address, pet_name: SEED.pet_name });
    assert.deepEqual([position.verificationRefused, position.standing.block], [false, block]);
    takeRefusal(gone, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    assert.equal(gone.verificationRefused, false);
  });

  it('of the GET itself leaves nothing to do before a person acts', () => {
    const position = opened();
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'no' }, undefined, NOW);
    assert.equal(position.sync, 'BLOCKED');
    assert.equal(position.next().call, 'rest');
    resume(position, NOW);
    assert.equal(position.next().call, 'query');
  });
});

describe('an attempt that may still land', () => {
  const MINUTE = 60_000;

  /** Approved with unknown outcome, which a GET did not show; then surrendered, and the surrender confirmed. */
  function surrendered(): Position {
    const position = opened();
    const issuing = { ...position.held };
    get(position, issuing);
    command(position, 'approve', { policy_code: 'C1' });
    takeUnknown(position, { policy_state: APPROVED, policy_code: 'C1' }, NOW);
    command(position, 'cancel', {});
    get(position, issuing);
    const { fields } = position.next() as { fields: PolicyFields };
    takeAnswer(position, { policy: position.held, unreadable: [] }, fields, NOW);
    assert.equal(position.next().call, 'verify');
    return position;
  }

  it('is ours when it lands after what was sent since, and the newest state is sent again', () => {
    const position = surrendered();
    assert.equal(position.landsBy, NOW + 15 * MINUTE);
    get(position, { ...position.held, policy_state: APPROVED }, NOW + 14 * MINUTE);
    assert.deepEqual(position.standing.discrepancies, []);
    const { policy_code } = position.held;
    assert.deepEqual(position.next(), { call: 'push', fields: { policy_state: INACTIVE, policy_code } });
  });

  it('is ours when the first answer after its time shows it, and a stranger does it from then on', () => {
    const late = surrendered();
    get(late, { ...late.held, policy_state: APPROVED }, NOW + 20 * MINUTE);
    assert.equal(late.next().call, 'push');
    const settled = surrendered();
    get(settled, settled.held, NOW + 15 * MINUTE);
    assert.equal(settled.landsBy, undefined);
    get(settled, { ...settled.held, policy_state: APPROVED }, NOW + 20 * MINUTE);
    assert.equal(settled.sync, 'DIVERGED');
  });

  it('of a field is ours too, though the amendments after it were confirmed', () => {
    const position = opened({ verification: { on_drift: 'report' } });
    get(position, position.held);
    command(position, 'amend', { address: 'B' });
    takeUnknown(position, { address: 'B' }, NOW);
    get(position, { ...position.held, address: SEED.address });
    for (const address of ['C', 'D']) {
      command(position, 'amend', { address });
      takeAnswer(position, { policy: position.held, unreadable: [] }, { address }, NOW);
    }
    assert.equal(position.next().call, 'verify', 'nothing is carried again');
    get(position, { ...position.held, address: 'B' }, NOW + MINUTE);
    assert.deepEqual(position.next(), { call: 'push', fields: { address: 'D' } });
  });
});

describe("a run that Temporal's reset brought back", () => {
  it('makes no call beside the attempt of the run before, which ends within 20 s, whatever comes meanwhile', () => {
    const position = opened({}, { policy_state: APPROVED });
    get(position, position.held);
    behind(position, 7, NOW);
    const waits = { call: 'query', not_before: NOW + 20_000 };
    assert.deepEqual(position.next(), waits);
    command(position, 'amend', { address: 'meanwhile' });
    assert.deepEqual(position.next(), waits);
    get(position, position.held, NOW + 20_000);
    takeUnknown(position, { address: 'later' }, NOW + 30_000);
    command(position, 'amend', { address: 'later still' }, NOW + 30_000);
    assert.deepEqual(position.next(), { call: 'query', not_before: 0 });
  });
});

describe('a field that was not ours', () => {
  it('and that WeChat Pay has as true is asked about, and sent, when a person says false', () => {
    const position = opened();
    const theirs = { ...position.held, free_insurance: true, first_period_amount: 100 };
    get(position, theirs);
    command(position, 'amend', { free_insurance: false, first_period_amount: 0 });
    assert.deepEqual([position.next().call, position.sync], ['query', 'PENDING']);
    get(position, theirs);
    const fields = { free_insurance: false, first_period_amount: 0 };
    assert.deepEqual(position.next(), { call: 'push', fields });
  });

  it('and that WeChat Pay has not either costs a GET and no PATCH when a person says false', () => {
    for (const adopt of ['push', 'remote', 'report']) {
      const position = opened({ adopt });
      get(position, { ...position.held });
      command(position, 'amend', { free_insurance: false });
      get(position, { ...position.held, free_insurance: undefined } as PolicyFields);
      assert.deepEqual([position.next().call, position.sync], ['verify', 'SYNCED']);
    }
  });

  it('and that was empty there is expected to be so: a verification finds what appears', () => {
    const position = opened({}, { free_insurance: false });
    const { free_insurance: _left, pet_name: _lost, ...there } = position.held;
    get(position, there as PolicyFields);
    takeAnswer(position, { policy: there as PolicyFields, unreadable: [] }, { pet_name: SEED.pet_name }, NOW);
    const action = position.next();
    assert.ok(action.call === 'verify');
    const { free_insurance, pet_name, address } = action.expected as Record<string, unknown>;
    assert.deepEqual([free_insurance, pet_name, address], [null, null, SEED.address]);
  });
});

describe('a window that others gave WeChat Pay', () => {
  const theirs = { start_renewal_time: wireTime(NOW - 10 * DAY), end_renewal_time: wireTime(NOW + 10 * DAY) };
  const ours = { start_renewal_time: wireTime(NOW + 305 * DAY), end_renewal_time: wireTime(NOW + 395 * DAY) };

  it('gives way to ours when the policy is opened, and closes with a surrender', () => {
    const position = opened({}, { policy_state: APPROVED });
    get(position, { ...position.held, ...theirs });
    assert.deepEqual(position.next(), { call: 'push', fields: { support_renewal: true, ...ours } });
    command(position, 'cancel', {});
    const { fields } = position.next() as { fields: PolicyFields };
    assert.deepEqual([fields.policy_state, fields.support_renewal], [INACTIVE, false]);
  });

  it('is reported where the record says so, at the opening and later', () => {
    const settings = { adopt: 'report', verification: { on_drift: 'report' } };
    const first = opened(settings, { policy_state: APPROVED });
    const later = opened(settings, { policy_state: APPROVED });
    get(later, later.held);
    for (const position of [first, later]) {
      get(position, { ...position.held, ...theirs });
      assert.deepEqual(position.diverged, ['start_renewal_time', 'end_renewal_time']);
      assert.equal(position.next().call, 'verify');
    }
  });

  it('and that breaks our rules is left as it is by accept', () => {
    const position = opened();
    const start_renewal_time = wireTime(NOW + 200 * DAY);
    get(position, { ...position.held, ...ours, start_renewal_time, policy_state: APPROVED });
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(accept(position, NOW), true);
    assert.deepEqual([position.held.policy_state, position.sync], [APPROVED, 'SYNCED']);
    assert.equal(position.next().call, 'verify');
    command(position, 'cancel', {});
    const { fields } = position.next() as { fields: PolicyFields };
    assert.deepEqual([fields.policy_state, fields.support_renewal], [INACTIVE, false], 'until it closes');
  });

  for (const [what, changes] of [
    ['a policy that is surrendered already', {}],
    ['one with cover for life', { coverage_term_type: LIFETIME }],
  ] as const)
    it(`closes at once in ${what}, and the life can end`, () => {
      const position = opened({}, { policy_state: APPROVED, policy_code: 'C1', support_renewal: true });
      const remote = new Remote({ ...position.held });
      get(position, remote.policy);
      command(position, 'cancel', {});
      bring(position, remote, NOW);
      if (Object.keys(changes).length > 0) command(position, 'amend', changes);
      bring(position, remote, NOW);
      remote.policy = {
        ...remote.policy,
        start_renewal_time: wireTime(NOW + 300 * DAY),
        end_renewal_time: wireTime(NOW + 400 * DAY),
      };
      get(position, remote.policy);
      bring(position, remote, NOW);
      assert.deepEqual([position.sync, remote.policy.support_renewal], ['SYNCED', false]);
      const due = dueTimes(position.life).map(({ what }) => what);
      assert.deepEqual(due, ['end']);
    });
});

describe('names that no key opens', () => {
  /** WeChat Pay holds names that nobody can open. */
  function sealed(settings: Record<string, unknown> = {}): { position: Position; there: PolicyFields } {
    const position = opened(settings, { policy_state: APPROVED });
    const { insured_name_list: _sealed, ...there } = position.held;
    get(position, position.held);
    blind(position, there);
    return { position, there };
  }

  function blind(position: Position, policy: PolicyFields, sent?: PolicyFields): void {
    takeAnswer(position, { policy, unreadable: ['insured_name_list'] }, sent, NOW);
  }

  it('are replaced by what a command changed: unreadable is never taken for what we want', () => {
    const { position, there } = sealed();
    const names = { insured_name_list: ['李四'] };
    command(position, 'amend', names);
    assert.deepEqual(position.next(), { call: 'push', fields: names });
    takeUnknown(position, names, NOW);
    blind(position, there);
    assert.deepEqual(position.next(), { call: 'push', fields: names }, 'a GET that nobody can read tells nothing');
    blind(position, there, names);
    assert.equal(position.sync, 'SYNCED');
    assert.equal(position.next().call, 'verify');
  });

  it('amended before the answer that nobody can open are sent, too', () => {
    const position = opened();
    const { insured_name_list: _sealed, ...there } = position.held;
    command(position, 'amend', { insured_name_list: ['李四'] });
    blind(position, there);
    assert.deepEqual(position.next(), { call: 'push', fields: { insured_name_list: ['李四'] } });
  });

  it('and turn out to be other than ours are drift, unless a command changed ours meanwhile', () => {
    const { position } = sealed({ verification: { on_drift: 'report' } });
    get(position, { ...position.held, insured_name_list: ['王五'] });
    assert.deepEqual(position.diverged, ['insured_name_list']);
    const { position: amended } = sealed({ verification: { on_drift: 'report' } });
    command(amended, 'amend', { insured_name_list: ['李四'] });
    get(amended, { ...amended.held, insured_name_list: [...SEED.insured_name_list] });
    assert.deepEqual(amended.next(), { call: 'push', fields: { insured_name_list: ['李四'] } });
  });

  it('are replaced by resume, though ours have not changed', () => {
    const { position, there } = sealed();
    assert.equal(position.sync, 'SYNCED');
    assert.equal(resume(position, NOW), true);
    const names = { insured_name_list: [...SEED.insured_name_list] };
    assert.deepEqual(position.next(), { call: 'push', fields: names });
    blind(position, there, names);
    assert.deepEqual(
      [position.next().call, position.sync],
      ['verify', 'SYNCED'],
      'once, though nobody reads them still',
    );
  });

  it('in the first answer are judged by adopt once a key does', () => {
    const expected = {
      push: ['push', SEED.insured_name_list],
      remote: ['verify', ['王五']],
      report: ['verify', SEED.insured_name_list],
    };
    for (const adopt of ['push', 'remote', 'report'] as const) {
      const position = opened({ adopt }, { policy_state: APPROVED });
      const { insured_name_list: _sealed, ...there } = position.held;
      blind(position, there);
      blind(position, there);
      get(position, { ...there, insured_name_list: ['王五'] });
      assert.deepEqual([position.next().call, position.held.insured_name_list], expected[adopt]);
      assert.deepEqual(position.diverged, adopt === 'report' ? ['insured_name_list'] : []);
    }
  });

  it('and that WeChat Pay refuses to replace are left as they are by accept', () => {
    const { position } = sealed();
    const names = { insured_name_list: ['李四'] };
    command(position, 'amend', names);
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'no' }, names, NOW);
    assert.equal(accept(position, NOW), true);
    assert.equal(position.sync, 'SYNCED');
    assert.equal(position.next().call, 'verify');
  });
});

describe('accept', () => {
  function synced(changes: Record<string, unknown> = {}): Position {
    const position = opened({ extra_fields: ['pet_color'] }, { policy_state: APPROVED, ...changes });
    get(position, position.held);
    return position;
  }

  it('gives up a field that WeChat Pay never takes, and the policy is SYNCED', () => {
    const position = synced();
    const there = { ...position.held };
    command(position, 'amend', { pet_color: 'brown', address: 'B' });
    takeAnswer(
      position,
      { policy: { ...there, address: 'B' }, unreadable: [] },
      { pet_color: 'brown', address: 'B' },
      NOW,
    );
    assert.equal(position.standing.block?.code, 'NOT_TAKEN');
    assert.equal(accept(position, NOW), true);
    assert.ok(!('pet_color' in position.held));
    assert.equal(position.sync, 'SYNCED');
    assert.equal(position.standing.block, null);
  });

  it('leaves different what WeChat Pay never takes and the record cannot do without', () => {
    const position = synced({ policy_type: 'POLICY_TYPE_PET', address: undefined });
    const { pet_name, ...there } = { ...position.held };
    get(position, there as PolicyFields);
    const sent = { pet_name, address: 'B' };
    command(position, 'amend', { address: 'B' });
    assert.deepEqual(position.next(), { call: 'push', fields: sent });
    takeAnswer(position, { policy: there as PolicyFields, unreadable: [] }, sent, NOW);
    assert.equal(position.standing.block?.code, 'NOT_TAKEN');
    assert.equal(accept(position, NOW), true);
    assert.deepEqual([position.held.pet_name, position.held.address], [pet_name, undefined]);
    const rests = (): void => {
      assert.deepEqual([position.sync, position.next().call, position.diverged], ['SYNCED', 'verify', []]);
      assert.equal(position.standing.synced_revision, position.standing.revision);
    };
    rests();
    assert.equal(accept(position, NOW), false);
    assert.equal(resume(position, NOW), false);
    get(position, there as PolicyFields);
    rests();
    get(position, { ...there, pet_name: 'theirs' } as PolicyFields);
    assert.deepEqual(position.diverged, ['pet_name'], 'what a stranger makes of it is told');
    command(position, 'amend', { pet_name: 'new' });
    assert.deepEqual(position.next(), { call: 'push', fields: { pet_name: 'new' } });
  });

  it('keeps an amendment of what a stranger had changed, and was being healed', () => {
    const position = synced();
    get(position, { ...position.held, address: 'a stranger' });
    assert.equal(position.next().call, 'push');
    command(position, 'amend', { address: 'B' });
    accept(position, NOW);
    assert.deepEqual(position.next(), { call: 'push', fields: { address: 'B' } });
  });

  it('gives up what was refused, and keeps a change that is on its way', () => {
    const position = synced();
    command(position, 'amend', { address: 'bad' });
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'no' }, { address: 'bad' }, NOW);
    command(position, 'cancel', {});
    assert.equal(accept(position, NOW), true);
    const { policy_code } = position.held;
    assert.deepEqual(position.next(), { call: 'push', fields: { policy_state: INACTIVE, policy_code } });
  });

  it('a field that WeChat Pay never takes is taken back by an amendment with null, too', () => {
    const position = synced();
    const there = { ...position.held };
    command(position, 'amend', { pet_color: 'brown' });
    position.sending = { pet_color: 'brown' };
    assert.equal(position.mayHold('pet_color'), true, 'as long as it is on its way');
    position.sending = undefined;
    takeAnswer(position, { policy: there, unreadable: [] }, { pet_color: 'brown' }, NOW);
    const taken = obey(position.life, 'amend', { pet_color: null }, NOW, (field) => position.mayHold(field));
    change(position, taken, URGENCY.user, NOW);
    assert.equal(position.sync, 'SYNCED');
    assert.equal(position.mayHold('address'), true);
  });

  it('leaves no window to send where WeChat Pay has lost its times', () => {
    const late = NOW + 310 * DAY;
    const position = synced();
    change(position, settleDue(position.life, late).life, URGENCY.due, late);
    takeAnswer(position, { policy: position.held, unreadable: [] }, { support_renewal: true }, late);
    const { start_renewal_time: _start, end_renewal_time: _end, ...rest } = position.held;
    get(position, rest, late);
    assert.equal(accept(position, late), true);
    assert.equal(position.next().call, 'verify');
    assert.deepEqual(settleDue(position.life, late).applied, []);
  });

  it('leaves nothing to send, whatever differed, now or by a time already past', () => {
    const time = fc.integer({ min: -400, max: 500 }).map((days) => wireTime(NOW + days * DAY));
    const absent = fc.constant(undefined);
    const drift = fc.record(
      {
        policy_state: fc.constantFrom(ISSUING, APPROVED, INACTIVE, DECLINED),
        support_renewal: fc.oneof(fc.boolean(), absent),
        start_renewal_time: fc.oneof(time, absent),
        end_renewal_time: fc.oneof(time, absent),
        expired_time: time,
        effective_time: time,
        coverage_term_type: fc.constantFrom('COVERAGE_TERM_TYPE_LIFETIME', 'COVERAGE_TERM_TYPE_FIXED_DATE'),
        policy_code: fc.constantFrom('C1', 'C2'),
        address: fc.constantFrom('X', undefined),
      },
      { requiredKeys: [] },
    );
    const before = fc.record({
      day: fc.integer({ min: 0, max: 420 }),
      given: fc.boolean(),
      support_renewal: fc.boolean(),
      command: fc.constantFrom(undefined, ['renew', { as: 'NEXT1' }] as const, ['cancel', {}] as const),
      attempted: fc.boolean(),
    });
    fc.assert(
      fc.property(before, drift, ({ day, given, support_renewal, command: first, attempted }, theirs) => {
        const now = NOW + day * DAY;
        const times = { start_renewal_time: wireTime(NOW + 320 * DAY), end_renewal_time: wireTime(NOW + 380 * DAY) };
        const position = synced({ support_renewal, ...(given && times) });
        if (first) tryCommand(position, first);
        const due = settleDue(position.life, now);
        if (due.applied.length > 0) change(position, due.life, URGENCY.due, now);
        takeAnswer(position, { policy: position.held, unreadable: [] }, { ...position.held }, now);
        if (attempted) takeUnknown(position, { address: 'once' }, now);
        get(position, { ...position.held, ...theirs } as PolicyFields, now);
        try {
          accept(position, now);
        } catch (error) {
          assert.ok(error instanceof RuleViolation, String(error));
          return;
        }
        assert.equal(position.next().call, 'verify');
        assert.equal(position.sync, 'SYNCED');
        const later = settleDue(position.life, now);
        assert.deepEqual(
          later.applied.filter(({ what }) => !what.startsWith('issuing-')),
          [],
        );
      }),
      { numRuns: 500 },
    );
  });

  function tryCommand(position: Position, [name, input]: readonly [CommandName, Record<string, unknown>]): void {
    command(position, name, input);
  }
});

describe('the first answer', () => {
  const theirs = (position: Position, changes: PolicyFields): PolicyFields => ({ ...position.held, ...changes });

  it('adopt push sends our fields, and our state where it follows', () => {
    const position = opened({}, { policy_state: APPROVED });
    get(position, theirs(position, { policy_state: ISSUING, address: 'other' }));
    const action = position.next();
    assert.ok(action.call === 'push');
    assert.deepEqual(Object.keys(action.fields).sort(), ['address', 'policy_code', 'policy_state']);
  });

  it('adopt push never undoes INACTIVE: DIVERGED, and nothing is sent', () => {
    const position = opened({}, { policy_state: APPROVED });
    get(position, theirs(position, { policy_state: INACTIVE, address: 'other' }));
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(position.next().call, 'verify');
  });

  it("adopt remote makes WeChat Pay's record ours", () => {
    const position = opened({ adopt: 'remote' });
    get(position, theirs(position, { policy_state: APPROVED, policy_code: 'C', address: 'other' }));
    assert.equal(position.sync, 'SYNCED');
    assert.equal(position.held.address, 'other');
    assert.equal(position.held.policy_state, APPROVED);
  });

  for (const adopt of ['push', 'remote', 'report'] as const)
    it(`adopt ${adopt} has no say in what was changed before it came: a surrender leaves all the same`, () => {
      const position = opened({ adopt }, { policy_state: APPROVED });
      const there = { ...position.held, address: 'other' };
      command(position, 'cancel', {});
      command(position, 'amend', { coverage_detail: 'more' });
      get(position, there);
      const action = position.next();
      assert.ok(action.call === 'push', action.call);
      const { policy_state, coverage_detail, address } = action.fields;
      assert.deepEqual([policy_state, coverage_detail], [INACTIVE, 'more']);
      assert.equal(address, adopt === 'push' ? SEED.address : undefined);
      assert.equal(position.held.address, adopt === 'remote' ? 'other' : SEED.address);
      const expected = adopt === 'report' ? ['address'] : [];
      assert.deepEqual(position.diverged, expected);
    });

  it('of a state from which ours cannot be reached is reported, though ours was changed before it came', () => {
    const position = opened({}, { policy_state: APPROVED });
    command(position, 'cancel', {});
    get(position, { ...position.held, policy_state: DECLINED });
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(position.next().call, 'verify');
    assert.deepEqual(
      position.standing.discrepancies.map(({ field, became }) => [field, became]),
      [['policy_state', 'reported']],
    );
  });

  it('adopt report sends nothing, and accept or resume decides', () => {
    const position = opened({ adopt: 'report' });
    get(position, theirs(position, { address: 'other' }));
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(position.next().call, 'verify');
    resume(position, NOW);
    assert.deepEqual(Object.keys((position.next() as { fields: object }).fields), ['address']);
  });

  it('a change to a policy that WeChat Pay does not know asks again, and is blocked again: it is not PENDING for ever', () => {
    const position = opened();
    const unknown = { status: 404, code: 'NOT_FOUND', message: 'no' };
    takeRefusal(position, unknown, undefined, NOW);
    assert.equal(position.standing.block?.code, 'UNKNOWN_POLICY');
    command(position, 'approve', { policy_code: 'C1' });
    assert.equal(position.next().call, 'query');
    takeRefusal(position, unknown, undefined, NOW);
    assert.equal(position.sync, 'BLOCKED');
  });

  it('an upload that was refused goes on with what is amended of it, until WeChat Pay has the policy', () => {
    const position = opened({ upload: { appid: 'wx1', openid: 'o1' } }, { insurance_company_code: 'A' });
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const upload = position.next();
    assert.ok(upload.call === 'upload');
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'openid' }, upload.fields, NOW);
    assert.equal(position.sync, 'BLOCKED');
    command(position, 'amend', { openid: 'o2', insurance_company_code: 'B', address: 'C' });
    assert.equal(position.next().call, 'query', 'it may have become known meanwhile');
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const { call, fields } = position.next() as typeof upload;
    assert.equal(call, 'upload');
    const { openid, insurance_company_code, address } = fields;
    assert.deepEqual([openid, insurance_company_code, address], ['o2', 'B', 'C']);
    takeAnswer(position, { policy: position.held, unreadable: [] }, fields, NOW);
    for (const late of [{ openid: 'o3' }, { insurance_company_code: 'C' }])
      assert.throws(() => command(position, 'amend', late), { rule: 'not-amendable' });
  });

  it('upload data can be given to a policy that waits to become known: it is asked for once more, then uploaded', () => {
    const position = opened();
    const unknown = { status: 404, code: 'NOT_FOUND', message: 'no' };
    takeRefusal(position, unknown, undefined, NOW);
    assert.equal(position.sync, 'BLOCKED');
    command(position, 'amend', { upload: { appid: 'wx1', openid: 'o1' }, insurance_company_code: 'IC1' });
    assert.equal(position.next().call, 'query');
    takeRefusal(position, unknown, undefined, NOW);
    const upload = position.next();
    assert.ok(upload.call === 'upload');
    const { appid, openid, insurance_company_code } = upload.fields;
    assert.deepEqual([appid, openid, insurance_company_code], ['wx1', 'o1', 'IC1']);
    takeAnswer(position, { policy: position.held, unreadable: [] }, upload.fields, NOW);
    assert.equal(position.sync, 'SYNCED');
    assert.throws(() => command(position, 'amend', { upload: { openid: 'o2' } }), { rule: 'not-amendable' });
  });

  it('upload data of a policy that WeChat Pay has, or had, is refused: it would never be sent', () => {
    const position = opened();
    get(position, position.held);
    const amend = (): void => command(position, 'amend', { upload: { appid: 'wx1', openid: 'o1' } });
    assert.throws(amend, { rule: 'not-amendable' });
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    assert.equal(position.sync, 'DIVERGED');
    assert.throws(amend, { rule: 'not-amendable' });
  });

  it('upload data is not amended while an upload is under way, or of unknown outcome: what it carried may be there', () => {
    const position = opened({ upload: { appid: 'wx1', openid: 'o1' } });
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const upload = position.next();
    assert.ok(upload.call === 'upload');
    const amend = (): void => command(position, 'amend', { upload: { openid: 'o2' } });
    position.sending = upload.fields;
    assert.throws(amend, { rule: 'unknown-outcome' });
    position.sending = undefined;
    takeUnknown(position, upload.fields, NOW);
    assert.throws(amend, { rule: 'unknown-outcome' });
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW + 10 * 60_000);
    assert.throws(amend, { rule: 'unknown-outcome' }, 'it may land still');
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW + 16 * 60_000);
    amend();
    assert.equal(position.life.record.upload?.openid, 'o2');
  });

  it('what was amended while an upload ran has not been refused with it, and goes up in the next', () => {
    const position = opened({ upload: { appid: 'wx1', openid: 'o1' } }, { address: 'refused' });
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const first = position.next();
    assert.ok(first.call === 'upload');
    position.sending = first.fields;
    command(position, 'amend', { address: 'better' });
    position.sending = undefined;
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'address' }, first.fields, NOW);
    const next = position.next();
    assert.equal(next.call === 'upload' && next.fields.address, 'better');
  });

  it('how soon a policy that waits to become known is asked for next goes by when it was found so, or a person had it asked', () => {
    const position = opened();
    const unknown = { status: 404, code: 'NOT_FOUND', message: 'no' };
    takeRefusal(position, unknown, undefined, NOW);
    assert.equal(position.knownSince, NOW);
    takeRefusal(position, unknown, undefined, NOW + DAY);
    assert.equal(position.knownSince, NOW, 'a verification that finds it so still begins nothing anew');
    resume(position, NOW + 2 * DAY);
    takeRefusal(position, unknown, undefined, NOW + 2 * DAY);
    assert.equal(position.knownSince, NOW + 2 * DAY);
    get(position, position.held, NOW + 3 * DAY);
    assert.equal(position.knownSince, NOW + 3 * DAY);
  });

  it('what to do about a block is said once, by its code, and not in its message', () => {
    const bare = opened();
    takeRefusal(bare, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const lacking = opened({}, { policy_state: APPROVED, policy_code: 'C1' });
    get(lacking, lacking.held);
    command(lacking, 'amend', { address: 'B' });
    takeAnswer(lacking, { policy: { ...lacking.held, address: 'A' }, unreadable: [] }, { address: 'B' }, NOW);
    for (const { standing } of [bare, lacking]) {
      assert.doesNotMatch(standing.block?.message ?? '', /amend|resume|accept\b/);
      assert.match(todoOf(standing.block?.code ?? ''), /amend/);
    }
  });

  for (const [what, end] of [
    [
      'known',
      (position: Position, sent: PolicyFields) => takeAnswer(position, { policy: sent, unreadable: [] }, sent, NOW),
    ],
    [
      'unknown',
      (position: Position, sent: PolicyFields) => {
        takeUnknown(position, sent, NOW);
        get(position, sent);
      },
    ],
  ] as const)
    it(`what came while an upload ran is sent after it, its outcome ${what}: what the upload made there is ours`, () => {
      const position = opened({ upload: { appid: 'wx1', openid: 'o1' } });
      command(position, 'cancel', {});
      takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
      const upload = position.next();
      assert.ok(upload.call === 'upload');
      command(position, 'reinstate', { reason: 'paid' });
      command(position, 'amend', { address: 'B' });
      end(position, upload.fields);
      const { policy_code } = position.held;
      const fields = { address: 'B', policy_state: APPROVED, policy_code };
      assert.deepEqual(position.next(), { call: 'push', fields });
    });

  it('an upload of unknown outcome is over after its time: what it carried can be taken back', () => {
    const position = opened({ upload: { appid: 'wx1', openid: 'o1' } });
    const missing = (now: number): void =>
      takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, now);
    missing(NOW);
    const action = position.next();
    assert.ok(action.call === 'upload');
    takeUnknown(position, action.fields, NOW);
    missing(NOW + 1);
    assert.deepEqual([position.landsBy, position.mayHold('address')], [NOW + QUARTER, true]);
    missing(NOW + QUARTER);
    assert.deepEqual([position.landsBy, position.mayHold('address')], [undefined, false]);
  });

  it('404 uploads where there is upload data, else blocks', () => {
    const missing = { status: 404, code: 'NOT_FOUND', message: 'no' };
    const bare = opened();
    takeRefusal(bare, missing, undefined, NOW);
    assert.equal(bare.standing.block?.code, 'UNKNOWN_POLICY');
    const uploading = opened({ upload: { appid: 'wx1', openid: 'o1' } });
    takeRefusal(uploading, missing, undefined, NOW);
    const action = uploading.next();
    assert.ok(action.call === 'upload');
    assert.equal(action.fields.openid, 'o1');
  });
});

describe('verification', () => {
  function synced(settings: Record<string, unknown> = {}): Position {
    const position = opened(settings, { policy_state: APPROVED });
    get(position, position.held);
    assert.equal(position.sync, 'SYNCED');
    return position;
  }

  it('a field that drifts is recorded and healed by a PATCH', () => {
    const position = synced();
    const ours = position.held.address;
    get(position, { ...position.held, address: 'tampered' });
    assert.deepEqual(position.next(), { call: 'push', fields: { address: ours } });
    takeAnswer(position, { policy: position.held, unreadable: [] }, { address: ours }, NOW);
    assert.deepEqual(
      position.standing.discrepancies.map(({ kind, became }) => [kind, became]),
      [['drift', 'healed']],
    );
    assert.equal(position.sync, 'SYNCED');
  });

  it('on_drift report leaves it, DIVERGED, until it is accepted', () => {
    const position = synced({ verification: { on_drift: 'report' } });
    get(position, { ...position.held, address: 'tampered' });
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(position.next().call, 'verify');
    assert.equal(accept(position, NOW), true);
    assert.equal(position.held.address, 'tampered');
    assert.equal(position.sync, 'SYNCED');
  });

  it('accept leaves a change of ours that is on its way: a surrender is not taken back', () => {
    const position = synced({ verification: { on_drift: 'report' } });
    const theirs = { ...position.held, address: 'tampered' };
    get(position, theirs);
    command(position, 'cancel', {});
    assert.equal(accept(position, NOW), true);
    assert.equal(position.held.address, 'tampered');
    const { policy_code } = position.held;
    assert.deepEqual(position.next(), { call: 'push', fields: { policy_state: INACTIVE, policy_code } });
  });

  it('accept is refused while nobody knows what WeChat Pay holds: its state may be another by now', () => {
    const position = synced();
    command(position, 'cancel', {});
    const action = position.next();
    assert.ok(action.call === 'push');
    takeUnknown(position, action.fields, NOW);
    assert.throws(() => accept(position, NOW), { rule: 'unknown-outcome' });
    assert.equal(position.held.policy_state, INACTIVE);
  });

  it('accept takes back the closing of a window that WeChat Pay has open', () => {
    const position = synced({ verification: { on_drift: 'report' } });
    command(position, 'renew', { as: 'NEXT1' });
    takeAnswer(position, { policy: position.held, unreadable: [] }, { support_renewal: false }, NOW);
    get(position, { ...position.held, support_renewal: true });
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(accept(position, NOW), true);
    assert.equal(position.held.support_renewal, true);
    assert.equal(position.sync, 'SYNCED');
  });

  for (const [what, take] of [
    ['accept', (position: Position) => accept(position, NOW)],
    ['adopt remote', () => true],
  ] as const)
    it(`${what} keeps names that no key opens`, () => {
      const position = opened(what === 'accept' ? { verification: { on_drift: 'report' } } : { adopt: 'remote' });
      const { insured_name_list: _sealed, ...policy } = position.held;
      if (what === 'accept') get(position, { ...position.held });
      takeAnswer(
        position,
        { policy: { ...policy, address: 'theirs' }, unreadable: ['insured_name_list'] },
        undefined,
        NOW,
      );
      assert.equal(take(position), true);
      assert.equal(position.held.address, 'theirs');
      assert.deepEqual(position.held.insured_name_list, opened().held.insured_name_list);
    });

  it('a state of WeChat Pay that nobody knows, or none, is DIVERGED: nothing follows from it, nothing fails', () => {
    for (const state of ['POLICY_STATE_SUSPENDED', 'constructor', 7, undefined]) {
      const theirs = { ...synced().held, policy_state: state } as unknown as PolicyFields;
      for (const settings of [{}, { verification: { on_state_drift: 'heal' } }]) {
        const first = opened(settings, { policy_state: APPROVED });
        const later = synced(settings);
        for (const position of [first, later]) {
          get(position, theirs);
          resume(position, NOW);
          assert.equal(position.sync, 'DIVERGED', String(state));
          assert.equal(position.next().call, 'verify');
          assert.throws(() => accept(position, NOW), RuleViolation);
        }
      }
    }
  });

  it('a state that we reach by ourselves after it was reported is no difference any more', () => {
    const position = synced();
    get(position, { ...position.held, policy_state: INACTIVE });
    assert.equal(position.sync, 'DIVERGED');
    command(position, 'cancel', {});
    assert.equal(position.sync, 'SYNCED');
  });

  it('a field that is new in ours, and that WeChat Pay has held otherwise all the time, is sent and is no drift', () => {
    const position = opened({ verification: { on_drift: 'report' } }, { address: undefined });
    const theirs = { ...position.held, address: 'old' };
    get(position, theirs);
    command(position, 'amend', { address: 'new' });
    takeUnknown(position, { address: 'new' }, NOW);
    get(position, theirs);
    assert.deepEqual(position.next(), { call: 'push', fields: { address: 'new' } });
    assert.deepEqual(position.standing.discrepancies, []);
  });

  it('what the first answer of a life restored from a record that may lag shows otherwise is reported, not undone', () => {
    const position = synced();
    Object.assign(position.standing, { must_query: true, lagging: true });
    get(position, { ...position.held, address: 'a later change of ours' });
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(position.next().call, 'verify');
    get(position, { ...position.held, address: 'a later change of ours', pet_name: 'tampered' });
    assert.equal((position.next() as { fields: PolicyFields }).fields.pet_name, position.held.pet_name);
  });

  it('a state that drifts is reported and never undone silently, unless the record says heal', () => {
    const position = synced();
    get(position, { ...position.held, policy_state: INACTIVE });
    assert.equal(position.sync, 'DIVERGED');
    command(position, 'amend', { address: 'B' });
    assert.equal(position.next().call, 'verify', 'nothing is sent');
    const healing = synced({ verification: { on_state_drift: 'heal' } });
    get(healing, { ...healing.held, policy_state: INACTIVE });
    assert.equal((healing.next() as { fields: PolicyFields }).fields.policy_state, APPROVED);
  });

  it('what was reported stays so, whatever WeChat Pay makes of it, until a person decides', () => {
    const imported = opened({ adopt: 'report' }, { policy_state: APPROVED });
    const lagging = synced();
    Object.assign(lagging.standing, { must_query: true, lagging: true });
    for (const position of [imported, lagging])
      for (const address of ['theirs', 'another of theirs']) {
        get(position, { ...position.held, address });
        assert.deepEqual([position.next().call, position.diverged], ['verify', ['address']]);
      }
  });

  it('DECLINED at WeChat Pay is never left by us', () => {
    const position = synced({ verification: { on_state_drift: 'heal' } });
    get(position, { ...position.held, policy_state: DECLINED });
    resume(position, NOW);
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(position.next().call, 'verify');
  });

  it('a policy once confirmed and now unknown is DIVERGED, and never uploaded again', () => {
    const position = synced({ upload: { appid: 'wx1', openid: 'o1' } });
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    assert.equal(position.sync, 'DIVERGED');
    assert.deepEqual(position.next(), { call: 'verify', expected: {}, expect_absent: true });
    assert.throws(() => accept(position, NOW), { rule: 'nothing-to-accept' });
  });

  it('a policy that WeChat Pay has not, and that is over with us, is accepted as over, and rests until either changes', () => {
    const missing = { status: 404, code: 'NOT_FOUND', message: 'no' };
    const gone = synced({ upload: { appid: 'wx1', openid: 'o1' } });
    const never = opened({}, { policy_state: APPROVED });
    const refused = opened({ upload: { appid: 'wx1', openid: 'o1' } }, { policy_state: APPROVED });
    for (const position of [gone, never, refused]) takeRefusal(position, missing, undefined, NOW);
    const upload = refused.next();
    assert.ok(upload.call === 'upload');
    takeRefusal(refused, { status: 400, code: 'PARAM_ERROR', message: 'openid' }, upload.fields, NOW);
    for (const position of [gone, never, refused]) {
      assert.throws(() => accept(position, NOW), { rule: 'nothing-to-accept' });
      command(position, 'cancel', {});
      // A change is a reason to look again, and to try an upload that was refused.
      for (let next = position.next(); next.call !== 'verify'; next = position.next()) {
        if (next.call !== 'upload') takeRefusal(position, missing, undefined, NOW);
        else takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'openid' }, next.fields, NOW);
      }
      assert.equal(accept(position, NOW), true);
      assert.equal(accept(position, NOW), false);
      for (const at of [NOW, NOW + 30 * DAY]) {
        assert.deepEqual([position.sync, position.next().call, position.diverged], ['SYNCED', 'verify', []]);
        assert.equal(position.standing.synced_revision, position.standing.revision);
        takeRefusal(position, missing, undefined, at);
      }
      assert.equal(position.standing.got_at, NOW + 30 * DAY);
      assert.deepEqual([position.landsBy, position.standing.block], [undefined, null]);
      command(position, 'reinstate', { reason: 'paid' });
      assert.notEqual(position.sync, 'SYNCED');
    }
    command(gone, 'cancel', {});
    accept(gone, NOW);
    get(gone, { ...gone.held, policy_state: APPROVED });
    assert.notEqual(gone.sync, 'SYNCED', 'it is back');
  });

  it('a policy once uploaded and now unknown is never uploaded again, though the answers of before are lost', () => {
    const position = synced({ upload: { appid: 'wx1', openid: 'o1' } });
    Object.assign(position.standing, { confirmed: null, must_query: true });
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    assert.deepEqual([position.sync, position.next().call], ['DIVERGED', 'verify']);
  });

  it('a value still lacking after a PATCH that carried it is NOT_TAKEN, and blocked', () => {
    const position = synced();
    const before = { ...position.held };
    command(position, 'amend', { address: 'B' });
    takeAnswer(position, { policy: before, unreadable: [] }, { address: 'B' }, NOW);
    assert.equal(position.standing.block?.code, 'NOT_TAKEN');
    assert.equal(position.next().call, 'verify');
  });

  it('names that no key opens are no drift', () => {
    const position = synced();
    const { insured_name_list: _sealed, ...policy } = position.held;
    takeAnswer(position, { policy, unreadable: ['insured_name_list'] }, undefined, NOW);
    assert.equal(position.sync, 'SYNCED');
  });

  function drift(position: Position, field: string, value: unknown, now: number): void {
    get(position, { ...position.held, [field]: value }, now);
    const action = position.next();
    if (action.call === 'push') takeAnswer(position, { policy: position.held, unreadable: [] }, action.fields, now);
  }

  it('a field that drifts for the third time in 7 days is CONTESTED: reported, marked, not pushed again', () => {
    const position = synced();
    for (const day of [0, 3]) {
      drift(position, 'address', `theirs ${day}`, NOW + day * DAY);
      assert.equal(position.sync, 'SYNCED', 'healed');
    }
    drift(position, 'address', 'theirs', NOW + 6.9 * DAY);
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(position.next().call, 'verify');
    assert.deepEqual(position.life.attention, ['contested:address']);
    assert.equal(position.standing.discrepancies.at(-1)?.became, 'contested');
    drift(position, 'address', 'another', NOW + 7 * DAY);
    assert.equal(position.next().call, 'verify', 'another value of theirs is not pushed over either');
  });

  it('drifts a week apart, or of several fields, are healed each time', () => {
    const position = synced();
    for (const week of [0, 1, 2, 3]) drift(position, 'address', 'theirs', NOW + week * 7 * DAY);
    drift(position, 'car_number', 'theirs', NOW + 21 * DAY);
    drift(position, 'coverage_detail', 'theirs', NOW + 21 * DAY);
    assert.equal(position.sync, 'SYNCED');
    assert.deepEqual(position.life.attention, []);
  });

  for (const [what, act, address] of [
    ['resume pushes ours', (position: Position) => resume(position, NOW), 'ours'],
    ['accept takes theirs', (position: Position) => accept(position, NOW), 'theirs'],
    [
      'an amendment pushes the new value',
      (position: Position) => command(position, 'amend', { address: 'new' }),
      'new',
    ],
  ] as const)
    it(`of a contested field ${what}, and its drifts count anew`, () => {
      const position = synced();
      command(position, 'amend', { address: 'ours' });
      takeAnswer(position, { policy: position.held, unreadable: [] }, { address: 'ours' }, NOW);
      for (const _ of [1, 2, 3]) drift(position, 'address', 'theirs', NOW);
      act(position);
      assert.deepEqual(position.life.attention, []);
      const action = position.next();
      if (action.call === 'push') takeAnswer(position, { policy: position.held, unreadable: [] }, action.fields, NOW);
      assert.equal(position.held.address, address);
      assert.equal(position.sync, 'SYNCED');
      drift(position, 'address', 'once more', NOW);
      assert.equal(position.sync, 'SYNCED', 'healed');
    });

  it('of large values, again and again, while MongoDB is away: the oldest lose their values, none is lost', () => {
    const position = synced({ verification: { on_drift: 'report' } });
    for (let day = 0; day < 50; day++)
      get(position, { ...position.held, coverage_detail: String(day % 10).repeat(15_000) }, NOW + day * DAY);
    const { discrepancies } = position.standing;
    assert.equal(discrepancies.length, 50);
    assert.ok(JSON.stringify(discrepancies).length < 200_000);
    assert.equal(discrepancies.at(-1)?.theirs, '9'.repeat(15_000));
    assert.deepEqual([discrepancies[0]?.ours, discrepancies[0]?.theirs], [null, undefined]);
  });

  it('fields that no key opens are marked and noted once, until one opens them again', () => {
    const position = synced();
    const { insured_name_list: _sealed, ...policy } = position.held;
    for (const _ of [1, 2]) takeAnswer(position, { policy, unreadable: ['insured_name_list'] }, undefined, NOW);
    assert.deepEqual(position.life.attention, ['unreadable:insured_name_list']);
    assert.deepEqual(
      position.standing.discrepancies.map(({ kind, field }) => [kind, field]),
      [['unreadable', 'insured_name_list']],
    );
    get(position, position.held);
    assert.deepEqual(position.life.attention, []);
  });
});
