import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { todoOf } from '../policy/blocks.ts';
import { type CommandName, obey } from '../policy/commands.ts';
import { differences } from '../policy/difference.ts';
import { openedLife, settleDue } from '../policy/life.ts';
import { type PolicyFields, parsedRecord } from '../policy/record.ts';
import { APPROVED, DECLINED, INACTIVE, ISSUING, isTransition, type PolicyState } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { RuleViolation } from '../policy/violation.ts';
import { newStanding, Reconciler, URGENCY } from '../workflows/reconciler.ts';
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

function opened(settings: Record<string, unknown> = {}, changes: Record<string, unknown> = {}): Reconciler {
  const record = parsedRecord(recordOf(changes, settings, { now: NOW }));
  return new Reconciler(openedLife(record, NOW), newStanding(NOW));
}

function command(reconciler: Reconciler, name: CommandName, input: Record<string, unknown>, now = NOW): void {
  const life = obey(reconciler.life, name, input, now, (field) => reconciler.mayHold(field));
  if (life !== reconciler.life) reconciler.change(life, URGENCY.user, now);
}

function get(reconciler: Reconciler, policy: PolicyFields, now = NOW): void {
  reconciler.confirm({ policy, unreadable: [] }, undefined, now);
}

/** Makes the call that is next, and lets it end so; `during` happens while it runs. */
function call(reconciler: Reconciler, remote: Remote, ending: Ending, now: number, during?: () => void): string {
  const action = reconciler.next();
  if (action.call === 'query') {
    for (const fields of remote.late.splice(0)) remote.take(fields);
    get(reconciler, remote.policy, now);
  } else if (action.call === 'push') {
    const { fields } = action;
    during?.();
    remote.landFields();
    if (ending === 'refused') reconciler.refuse({ status: 400, code: 'PARAM_ERROR', message: 'no' }, fields, now);
    else if (ending === 'confirmed') {
      remote.take(fields);
      reconciler.confirm({ policy: remote.policy, unreadable: [] }, fields, now);
    } else {
      if (ending === 'landed') remote.take(fields);
      if (ending === 'late') remote.late.push(fields);
      reconciler.unknown(fields, now);
    }
  }
  return action.call;
}

/** A command with inputs that fit; where the state refuses it, nothing happens. */
function tried(reconciler: Reconciler, name: CommandName, days: number, now: number): void {
  try {
    command(reconciler, name, inputFor(name, days, now), now);
  } catch (error) {
    assert.ok(error instanceof RuleViolation, String(error));
  }
}

const SYNCED_IN_CALLS = 12;

/** Lets every call succeed until nothing is left to send. */
function bring(reconciler: Reconciler, remote: Remote, now: number): void {
  for (let calls = 0; calls < SYNCED_IN_CALLS; calls++) {
    if (call(reconciler, remote, 'confirmed', now) === 'verify') return;
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
    const reconciler = opened();
    get(reconciler, { ...reconciler.held });
    command(reconciler, 'amend', { address: 'B' });
    reconciler.sending = { address: 'B' };
    command(reconciler, 'amend', { address: SEED.address });
    assert.deepEqual([reconciler.sync, reconciler.standing.synced_revision], ['PENDING', 1]);
    reconciler.sending = undefined;
    reconciler.confirm({ policy: { ...reconciler.held, address: 'B' }, unreadable: [] }, { address: 'B' }, NOW);
    assert.equal(reconciler.standing.synced_revision, 1);
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { address: SEED.address } });
  });

  it('is with WeChat Pay at once where the call was called off before it was made', () => {
    const reconciler = opened();
    get(reconciler, { ...reconciler.held });
    command(reconciler, 'amend', { address: 'B' });
    reconciler.sending = { address: 'B' };
    command(reconciler, 'amend', { address: SEED.address });
    reconciler.sending = undefined;
    reconciler.settle();
    assert.deepEqual([reconciler.sync, reconciler.standing.synced_revision], ['SYNCED', 3]);
  });
});

describe('an answer to a change that proves nothing', () => {
  it('is shown as unverified until one does', () => {
    const told = { code: 'PARAM_ERROR', message: 'an unsigned 400 proves nothing: bad address', request_id: '08A' };
    for (const proves of ['confirm', 'refuse'] as const) {
      const reconciler = opened();
      get(reconciler, { ...reconciler.held });
      command(reconciler, 'amend', { address: 'elsewhere' });
      reconciler.unknown({ address: 'elsewhere' }, NOW, told);
      const shown = { ...told, at: new Date(NOW).toISOString() };
      assert.deepEqual(reconciler.standing.unverified, shown);
      reconciler.confirm({ policy: { ...reconciler.held, address: 'before' }, unreadable: [] }, undefined, NOW);
      assert.deepEqual(reconciler.standing.unverified, shown, 'a GET tells nothing of it');
      if (proves === 'confirm')
        reconciler.confirm({ policy: { ...reconciler.held }, unreadable: [] }, { address: 'elsewhere' }, NOW);
      else reconciler.refuse({ status: 400, code: 'X', message: 'm' }, { address: 'elsewhere' }, NOW);
      assert.equal(reconciler.standing.unverified, undefined);
    }
  });
});

describe('the loop', () => {
  it('any commands, over any fate of the calls between, send legal PATCHes only and end with both sides equal', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const reconciler = opened();
        const remote = new Remote({ ...reconciler.held });
        let now = NOW;
        for (const step of sequence) {
          if ('during' in step)
            call(reconciler, remote, step.call, now, () => tried(reconciler, step.during, step.days, now));
          else if ('call' in step) call(reconciler, remote, step.call, now);
          else {
            now += step.after * DAY;
            const due = settleDue(reconciler.life, now);
            if (due.applied.length > 0) reconciler.change(due.life, URGENCY.due, now);
            tried(reconciler, step.command, step.days, now);
          }
          assert.deepEqual(remote.illegal, []);
        }
        reconciler.resume(now);
        bring(reconciler, remote, now);
        assert.deepEqual(remote.illegal, []);
        assert.deepEqual(differences(reconciler.held, remote.policy), []);
        assert.equal(reconciler.sync, 'SYNCED');
        assert.equal(reconciler.standing.synced_revision, reconciler.standing.revision);
      }),
      { numRuns: 2000 },
    );
  });

  it('begins with a GET', () => {
    assert.equal(opened().next().call, 'query');
  });

  it('sends what differs, and policy_code with the state', () => {
    const reconciler = opened();
    get(reconciler, reconciler.held);
    command(reconciler, 'approve', { policy_code: 'C1' });
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { policy_state: APPROVED, policy_code: 'C1' } });
  });

  it('never sends the state already confirmed', () => {
    const reconciler = opened({}, { policy_state: APPROVED });
    get(reconciler, reconciler.held);
    command(reconciler, 'amend', { address: 'elsewhere' });
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { address: 'elsewhere' } });
  });

  it('after an unknown outcome asks before it sends, and carries again what the attempt carried', () => {
    const reconciler = opened();
    const before = { ...reconciler.held };
    get(reconciler, before);
    command(reconciler, 'amend', { address: 'B' });
    reconciler.unknown({ address: 'B' }, NOW);
    command(reconciler, 'amend', { address: before.address });
    assert.equal(reconciler.next().call, 'query');
    get(reconciler, before);
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { address: before.address } });
  });

  it('takes a value that an unconfirmed attempt of ours may have set for ours, not for drift', () => {
    const reconciler = opened();
    get(reconciler, reconciler.held);
    command(reconciler, 'amend', { address: 'B' });
    reconciler.unknown({ address: 'B' }, NOW);
    command(reconciler, 'amend', { address: 'C' });
    get(reconciler, { ...reconciler.held, address: 'B' });
    assert.deepEqual(reconciler.standing.discrepancies, []);
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { address: 'C' } });
  });

  it('a call superseded while it ran is ours, not drift, and the newer value follows it', () => {
    const reconciler = opened();
    const before = { ...reconciler.held };
    get(reconciler, before);
    command(reconciler, 'approve', { policy_code: 'C1' });
    const sent = { policy_state: APPROVED, policy_code: 'C1' } as const;
    command(reconciler, 'cancel', {});
    reconciler.confirm({ policy: { ...before, ...sent }, unreadable: [] }, sent, NOW);
    assert.deepEqual(reconciler.standing.discrepancies, []);
    assert.equal((reconciler.next() as { fields: PolicyFields }).fields.policy_state, INACTIVE);
  });

  it('a change whose attempts all end unknown is told of once it has waited for so long, though GETs are answered', () => {
    const reconciler = opened({ retry_alert_after: '15m' });
    const theirs = { ...reconciler.held };
    get(reconciler, theirs);
    command(reconciler, 'amend', { address: 'B' });
    for (let minute = 0; minute < 20; minute += 5) {
      const now = NOW + minute * 60_000;
      assert.equal(reconciler.sync, 'PENDING', `minute ${minute}`);
      reconciler.unknown({ address: 'B' }, now);
      get(reconciler, theirs, now);
    }
    assert.equal(reconciler.sync, 'RETRYING');
  });

  it('what an unknown attempt carried, and ours has no more, is forgotten once a later call was confirmed', () => {
    const reconciler = opened({}, { policy_state: APPROVED });
    const before = { ...reconciler.held };
    get(reconciler, before);
    const times = { start_renewal_time: before.expired_time, end_renewal_time: before.expired_time };
    reconciler.unknown({ support_renewal: true, ...times } as PolicyFields, NOW);
    command(reconciler, 'renew', { as: 'NEXT1' });
    get(reconciler, before);
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { support_renewal: false } });
    reconciler.confirm({ policy: reconciler.held, unreadable: [] }, { support_renewal: false }, NOW);
    assert.equal(reconciler.next().call, 'verify');
  });

  it('attempts that carried the same are kept as one, as of the last: many rounds of an outage take no more room', () => {
    const reconciler = opened();
    get(reconciler, reconciler.held);
    for (const at of [1, 2, 3]) reconciler.unknown({ address: 'B' }, NOW + at);
    reconciler.unknown({ address: 'C' }, NOW + 4);
    assert.deepEqual(reconciler.standing.unconfirmed, [
      { fields: { address: 'B' }, at: NOW + 3 },
      { fields: { address: 'C' }, at: NOW + 4 },
    ]);
  });

  it('rounds of unknown outcome back off to an hour, and a new change tries at once', () => {
    const reconciler = opened();
    get(reconciler, reconciler.held);
    command(reconciler, 'amend', { address: 'B' });
    const waits = Array.from({ length: 16 }, () => {
      reconciler.unknown({ address: 'B' }, NOW);
      return reconciler.standing.not_before - NOW;
    });
    assert.deepEqual(waits.slice(0, 4), [0, 1000, 2000, 4000]);
    assert.equal(waits.at(-1), 3600000);
    command(reconciler, 'amend', { address: 'C' });
    assert.deepEqual(reconciler.next(), { call: 'query', not_before: 0 });
  });
});

describe('a refusal', () => {
  function refused(): Reconciler {
    const reconciler = opened({}, { policy_state: APPROVED });
    get(reconciler, reconciler.held);
    command(reconciler, 'amend', { address: 'bad', pet_name: 'new' });
    reconciler.refuse(
      { status: 400, code: 'PARAM_ERROR', message: 'no', request_id: 'R1' },
      { address: 'bad', pet_name: 'new' },
      NOW,
    );
    return reconciler;
  }

  it('blocks with code and Request-ID, and the same values are never sent again', () => {
    const reconciler = refused();
    assert.equal(reconciler.sync, 'BLOCKED');
    assert.equal(reconciler.standing.block?.code, 'PARAM_ERROR');
    assert.equal(reconciler.standing.block?.request_id, 'R1');
    assert.equal(reconciler.next().call, 'verify');
  });

  it('does not keep a surrender from leaving', () => {
    const reconciler = refused();
    command(reconciler, 'cancel', {});
    const action = reconciler.next();
    assert.ok(action.call === 'push');
    assert.equal(action.fields.policy_state, INACTIVE);
    assert.equal('address' in action.fields, false);
  });

  it('is over once a refused field is amended, or a person resumes', () => {
    const reconciler = refused();
    command(reconciler, 'amend', { address: 'good' });
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { address: 'good', pet_name: 'new' } });
    const resumed = refused();
    assert.equal(resumed.resume(NOW), true);
    assert.deepEqual(resumed.next(), { call: 'push', fields: { address: 'bad', pet_name: 'new' } });
  });

  it('after an unknown outcome is asked about first: the attempt may have landed, and the rest still goes', () => {
    const reconciler = opened();
    const before = { ...reconciler.held };
    get(reconciler, before);
    command(reconciler, 'approve', { policy_code: 'C1' });
    reconciler.unknown({ policy_state: APPROVED, policy_code: 'C1' }, NOW);
    get(reconciler, before);
    command(reconciler, 'amend', { address: 'B' });
    const sent = { policy_state: APPROVED, policy_code: 'C1', address: 'B' } as const;
    reconciler.refuse({ status: 400, code: 'INVALID_REQUEST', message: 'no' }, sent, NOW);
    assert.equal(reconciler.next().call, 'query');
    get(reconciler, { ...before, policy_state: APPROVED, policy_code: 'C1' });
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { address: 'B' } });
    assert.equal(reconciler.standing.block, null);
  });

  it('of a state for want of a policy_code is over once that is amended', () => {
    const reconciler = opened();
    get(reconciler, { ...reconciler.held });
    command(reconciler, 'cancel', {});
    const action = reconciler.next();
    assert.ok(action.call === 'push');
    reconciler.refuse({ status: 400, code: 'PARAM_ERROR', message: 'policy_code' }, action.fields, NOW);
    command(reconciler, 'amend', { policy_code: 'C2' });
    const fields = { policy_state: INACTIVE, policy_code: 'C2' };
    assert.deepEqual(reconciler.next(), { call: 'push', fields });
  });

  it('of a verification blocks until WeChat Pay answers one again, and is no reason to rest', () => {
    const reconciler = opened();
    get(reconciler, reconciler.held);
    assert.equal(reconciler.verificationRefused, false);
    reconciler.refuse({ status: 403, code: 'RULE_LIMIT', message: 'no' }, undefined, NOW);
    assert.equal(reconciler.sync, 'BLOCKED');
    assert.equal(reconciler.next().call, 'verify');
    assert.equal(reconciler.verificationRefused, true);
    get(reconciler, reconciler.held);
    assert.equal(reconciler.sync, 'SYNCED');
    command(reconciler, 'amend', { address: 'B' });
    reconciler.unknown({ address: 'B' }, NOW);
    assert.equal(reconciler.next().call, 'query');
  });

  it('of an approval and a bad address at once lets the surrender leave by itself, and then tries the address once', () => {
    const reconciler = opened();
    get(reconciler, reconciler.held);
    command(reconciler, 'amend', { address: 'bad' });
    command(reconciler, 'approve', { policy_code: 'C1' });
    const both = reconciler.next();
    assert.ok(both.call === 'push');
    assert.deepEqual(Object.keys(both.fields).sort(), ['address', 'policy_code', 'policy_state']);
    reconciler.refuse({ status: 400, code: 'PARAM_ERROR', message: 'no' }, both.fields, NOW);
    assert.equal(reconciler.next().call, 'verify', 'neither is sent again as it is');
    command(reconciler, 'cancel', {});
    const fields: PolicyFields = { policy_state: INACTIVE, policy_code: 'C1' };
    assert.deepEqual(reconciler.next(), { call: 'push', fields });
    reconciler.confirm({ policy: { ...reconciler.held, address: SEED.address }, unreadable: [] }, fields, NOW);
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { address: 'bad' } });
    reconciler.refuse({ status: 400, code: 'PARAM_ERROR', message: 'no' }, { address: 'bad' }, NOW);
    assert.equal(reconciler.sync, 'BLOCKED');
    assert.equal(reconciler.next().call, 'verify');
  });

  it('of a verification of what is blocked already is expected from then on, and hides nothing of the block', () => {
    const reconciler = refused();
    const { block } = reconciler.standing;
    const gone = refused();
    gone.refuse({ status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    for (const one of [reconciler, gone]) {
      one.refuse({ status: 403, code: 'RULE_LIMIT', message: 'no' }, undefined, NOW);
      assert.equal(one.next().call, 'verify');
      assert.equal(one.verificationRefused, true, 'or each verification would bring it, and the next follow at once');
      assert.deepEqual(one.standing.block, block);
    }
    get(reconciler, { ...reconciler.held, address: SEED.address, pet_name: SEED.pet_name });
    assert.deepEqual([reconciler.verificationRefused, reconciler.standing.block], [false, block]);
    gone.refuse({ status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    assert.equal(gone.verificationRefused, false);
  });

  it('of the GET itself leaves nothing to do before a person acts', () => {
    const reconciler = opened();
    reconciler.refuse({ status: 400, code: 'PARAM_ERROR', message: 'no' }, undefined, NOW);
    assert.equal(reconciler.sync, 'BLOCKED');
    assert.equal(reconciler.next().call, 'rest');
    reconciler.resume(NOW);
    assert.equal(reconciler.next().call, 'query');
  });
});

describe('an attempt that may still land', () => {
  const MINUTE = 60_000;

  /** Approved with unknown outcome, which a GET did not show; then surrendered, and the surrender confirmed. */
  function surrendered(): Reconciler {
    const reconciler = opened();
    const issuing = { ...reconciler.held };
    get(reconciler, issuing);
    command(reconciler, 'approve', { policy_code: 'C1' });
    reconciler.unknown({ policy_state: APPROVED, policy_code: 'C1' }, NOW);
    command(reconciler, 'cancel', {});
    get(reconciler, issuing);
    const { fields } = reconciler.next() as { fields: PolicyFields };
    reconciler.confirm({ policy: reconciler.held, unreadable: [] }, fields, NOW);
    assert.equal(reconciler.next().call, 'verify');
    return reconciler;
  }

  it('is ours when it lands after what was sent since, and the newest state is sent again', () => {
    const reconciler = surrendered();
    assert.equal(reconciler.landsBy, NOW + 15 * MINUTE);
    get(reconciler, { ...reconciler.held, policy_state: APPROVED }, NOW + 14 * MINUTE);
    assert.deepEqual(reconciler.standing.discrepancies, []);
    const { policy_code } = reconciler.held;
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { policy_state: INACTIVE, policy_code } });
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
    const reconciler = opened({ verification: { on_drift: 'report' } });
    get(reconciler, reconciler.held);
    command(reconciler, 'amend', { address: 'B' });
    reconciler.unknown({ address: 'B' }, NOW);
    get(reconciler, { ...reconciler.held, address: SEED.address });
    for (const address of ['C', 'D']) {
      command(reconciler, 'amend', { address });
      reconciler.confirm({ policy: reconciler.held, unreadable: [] }, { address }, NOW);
    }
    assert.equal(reconciler.next().call, 'verify', 'nothing is carried again');
    get(reconciler, { ...reconciler.held, address: 'B' }, NOW + MINUTE);
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { address: 'D' } });
  });
});

describe("a run that Temporal's reset brought back", () => {
  it('makes no call beside the attempt of the run before, which ends within 20 s, whatever comes meanwhile', () => {
    const reconciler = opened({}, { policy_state: APPROVED });
    get(reconciler, reconciler.held);
    reconciler.behind(7, NOW);
    const waits = { call: 'query', not_before: NOW + 20_000 };
    assert.deepEqual(reconciler.next(), waits);
    command(reconciler, 'amend', { address: 'meanwhile' });
    assert.deepEqual(reconciler.next(), waits);
    get(reconciler, reconciler.held, NOW + 20_000);
    reconciler.unknown({ address: 'later' }, NOW + 30_000);
    command(reconciler, 'amend', { address: 'later still' }, NOW + 30_000);
    assert.deepEqual(reconciler.next(), { call: 'query', not_before: 0 });
  });
});

describe('a field that was not ours', () => {
  it('and that WeChat Pay has as true is asked about, and sent, when a person says false', () => {
    const reconciler = opened();
    const theirs = { ...reconciler.held, free_insurance: true, first_period_amount: 100 };
    get(reconciler, theirs);
    command(reconciler, 'amend', { free_insurance: false, first_period_amount: 0 });
    assert.deepEqual([reconciler.next().call, reconciler.sync], ['query', 'PENDING']);
    get(reconciler, theirs);
    const fields = { free_insurance: false, first_period_amount: 0 };
    assert.deepEqual(reconciler.next(), { call: 'push', fields });
  });

  it('and that WeChat Pay has not either costs a GET and no PATCH when a person says false', () => {
    for (const adopt of ['push', 'remote', 'report']) {
      const reconciler = opened({ adopt });
      get(reconciler, { ...reconciler.held });
      command(reconciler, 'amend', { free_insurance: false });
      get(reconciler, { ...reconciler.held, free_insurance: undefined } as PolicyFields);
      assert.deepEqual([reconciler.next().call, reconciler.sync], ['verify', 'SYNCED']);
    }
  });

  it('and that was empty there is expected to be so: a verification finds what appears', () => {
    const reconciler = opened({}, { free_insurance: false });
    const { free_insurance: _left, pet_name: _lost, ...there } = reconciler.held;
    get(reconciler, there as PolicyFields);
    reconciler.confirm({ policy: there as PolicyFields, unreadable: [] }, { pet_name: SEED.pet_name }, NOW);
    const action = reconciler.next();
    assert.ok(action.call === 'verify');
    const { free_insurance, pet_name, address } = action.expected as Record<string, unknown>;
    assert.deepEqual([free_insurance, pet_name, address], [null, null, SEED.address]);
  });
});

describe('a window that others gave WeChat Pay', () => {
  const theirs = { start_renewal_time: wireTime(NOW - 10 * DAY), end_renewal_time: wireTime(NOW + 10 * DAY) };
  const ours = { start_renewal_time: wireTime(NOW + 305 * DAY), end_renewal_time: wireTime(NOW + 395 * DAY) };

  it('gives way to ours when the policy is opened, and closes with a surrender', () => {
    const reconciler = opened({}, { policy_state: APPROVED });
    get(reconciler, { ...reconciler.held, ...theirs });
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { support_renewal: true, ...ours } });
    command(reconciler, 'cancel', {});
    const { fields } = reconciler.next() as { fields: PolicyFields };
    assert.deepEqual([fields.policy_state, fields.support_renewal], [INACTIVE, false]);
  });

  it('is reported where the record says so, at the opening and later', () => {
    const settings = { adopt: 'report', verification: { on_drift: 'report' } };
    const first = opened(settings, { policy_state: APPROVED });
    const later = opened(settings, { policy_state: APPROVED });
    get(later, later.held);
    for (const reconciler of [first, later]) {
      get(reconciler, { ...reconciler.held, ...theirs });
      assert.deepEqual(reconciler.diverged, ['start_renewal_time', 'end_renewal_time']);
      assert.equal(reconciler.next().call, 'verify');
    }
  });

  it('and that breaks our rules is left as it is by accept', () => {
    const reconciler = opened();
    const start_renewal_time = wireTime(NOW + 200 * DAY);
    get(reconciler, { ...reconciler.held, ...ours, start_renewal_time, policy_state: APPROVED });
    assert.equal(reconciler.sync, 'DIVERGED');
    assert.equal(reconciler.accept(NOW), true);
    assert.deepEqual([reconciler.held.policy_state, reconciler.sync], [APPROVED, 'SYNCED']);
    assert.equal(reconciler.next().call, 'verify');
    command(reconciler, 'cancel', {});
    const { fields } = reconciler.next() as { fields: PolicyFields };
    assert.deepEqual([fields.policy_state, fields.support_renewal], [INACTIVE, false], 'until it closes');
  });
});

describe('names that no key opens', () => {
  /** WeChat Pay holds names that nobody can open. */
  function sealed(settings: Record<string, unknown> = {}): { reconciler: Reconciler; there: PolicyFields } {
    const reconciler = opened(settings, { policy_state: APPROVED });
    const { insured_name_list: _sealed, ...there } = reconciler.held;
    get(reconciler, reconciler.held);
    blind(reconciler, there);
    return { reconciler, there };
  }

  function blind(reconciler: Reconciler, policy: PolicyFields, sent?: PolicyFields): void {
    reconciler.confirm({ policy, unreadable: ['insured_name_list'] }, sent, NOW);
  }

  it('are replaced by what a command changed: unreadable is never taken for what we want', () => {
    const { reconciler, there } = sealed();
    const names = { insured_name_list: ['李四'] };
    command(reconciler, 'amend', names);
    assert.deepEqual(reconciler.next(), { call: 'push', fields: names });
    reconciler.unknown(names, NOW);
    blind(reconciler, there);
    assert.deepEqual(reconciler.next(), { call: 'push', fields: names }, 'a GET that nobody can read tells nothing');
    blind(reconciler, there, names);
    assert.equal(reconciler.sync, 'SYNCED');
    assert.equal(reconciler.next().call, 'verify');
  });

  it('amended before the answer that nobody can open are sent, too', () => {
    const reconciler = opened();
    const { insured_name_list: _sealed, ...there } = reconciler.held;
    command(reconciler, 'amend', { insured_name_list: ['李四'] });
    blind(reconciler, there);
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { insured_name_list: ['李四'] } });
  });

  it('and turn out to be other than ours are drift, unless a command changed ours meanwhile', () => {
    const { reconciler } = sealed({ verification: { on_drift: 'report' } });
    get(reconciler, { ...reconciler.held, insured_name_list: ['王五'] });
    assert.deepEqual(reconciler.diverged, ['insured_name_list']);
    const { reconciler: amended } = sealed({ verification: { on_drift: 'report' } });
    command(amended, 'amend', { insured_name_list: ['李四'] });
    get(amended, { ...amended.held, insured_name_list: [...SEED.insured_name_list] });
    assert.deepEqual(amended.next(), { call: 'push', fields: { insured_name_list: ['李四'] } });
  });

  it('are replaced by resume, though ours have not changed', () => {
    const { reconciler, there } = sealed();
    assert.equal(reconciler.sync, 'SYNCED');
    assert.equal(reconciler.resume(NOW), true);
    const names = { insured_name_list: [...SEED.insured_name_list] };
    assert.deepEqual(reconciler.next(), { call: 'push', fields: names });
    blind(reconciler, there, names);
    assert.deepEqual(
      [reconciler.next().call, reconciler.sync],
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
      const reconciler = opened({ adopt }, { policy_state: APPROVED });
      const { insured_name_list: _sealed, ...there } = reconciler.held;
      blind(reconciler, there);
      blind(reconciler, there);
      get(reconciler, { ...there, insured_name_list: ['王五'] });
      assert.deepEqual([reconciler.next().call, reconciler.held.insured_name_list], expected[adopt]);
      assert.deepEqual(reconciler.diverged, adopt === 'report' ? ['insured_name_list'] : []);
    }
  });

  it('and that WeChat Pay refuses to replace are left as they are by accept', () => {
    const { reconciler } = sealed();
    const names = { insured_name_list: ['李四'] };
    command(reconciler, 'amend', names);
    reconciler.refuse({ status: 400, code: 'PARAM_ERROR', message: 'no' }, names, NOW);
    assert.equal(reconciler.accept(NOW), true);
    assert.equal(reconciler.sync, 'SYNCED');
    assert.equal(reconciler.next().call, 'verify');
  });
});

describe('accept', () => {
  function synced(changes: Record<string, unknown> = {}): Reconciler {
    const reconciler = opened({ extra_fields: ['pet_color'] }, { policy_state: APPROVED, ...changes });
    get(reconciler, reconciler.held);
    return reconciler;
  }

  it('gives up a field that WeChat Pay never takes, and the policy is SYNCED', () => {
    const reconciler = synced();
    const there = { ...reconciler.held };
    command(reconciler, 'amend', { pet_color: 'brown', address: 'B' });
    reconciler.confirm(
      { policy: { ...there, address: 'B' }, unreadable: [] },
      { pet_color: 'brown', address: 'B' },
      NOW,
    );
    assert.equal(reconciler.standing.block?.code, 'NOT_TAKEN');
    assert.equal(reconciler.accept(NOW), true);
    assert.ok(!('pet_color' in reconciler.held));
    assert.equal(reconciler.sync, 'SYNCED');
    assert.equal(reconciler.standing.block, null);
  });

  it('leaves different what WeChat Pay never takes and the record cannot do without', () => {
    const reconciler = synced({ policy_type: 'POLICY_TYPE_PET', address: undefined });
    const { pet_name, ...there } = { ...reconciler.held };
    get(reconciler, there as PolicyFields);
    const sent = { pet_name, address: 'B' };
    command(reconciler, 'amend', { address: 'B' });
    assert.deepEqual(reconciler.next(), { call: 'push', fields: sent });
    reconciler.confirm({ policy: there as PolicyFields, unreadable: [] }, sent, NOW);
    assert.equal(reconciler.standing.block?.code, 'NOT_TAKEN');
    assert.equal(reconciler.accept(NOW), true);
    assert.deepEqual([reconciler.held.pet_name, reconciler.held.address], [pet_name, undefined]);
    const rests = (): void => {
      assert.deepEqual([reconciler.sync, reconciler.next().call, reconciler.diverged], ['SYNCED', 'verify', []]);
      assert.equal(reconciler.standing.synced_revision, reconciler.standing.revision);
    };
    rests();
    assert.equal(reconciler.accept(NOW), false);
    assert.equal(reconciler.resume(NOW), false);
    get(reconciler, there as PolicyFields);
    rests();
    get(reconciler, { ...there, pet_name: 'theirs' } as PolicyFields);
    assert.deepEqual(reconciler.diverged, ['pet_name'], 'what a stranger makes of it is told');
    command(reconciler, 'amend', { pet_name: 'new' });
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { pet_name: 'new' } });
  });

  it('keeps an amendment of what a stranger had changed, and was being healed', () => {
    const reconciler = synced();
    get(reconciler, { ...reconciler.held, address: 'a stranger' });
    assert.equal(reconciler.next().call, 'push');
    command(reconciler, 'amend', { address: 'B' });
    reconciler.accept(NOW);
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { address: 'B' } });
  });

  it('gives up what was refused, and keeps a change that is on its way', () => {
    const reconciler = synced();
    command(reconciler, 'amend', { address: 'bad' });
    reconciler.refuse({ status: 400, code: 'PARAM_ERROR', message: 'no' }, { address: 'bad' }, NOW);
    command(reconciler, 'cancel', {});
    assert.equal(reconciler.accept(NOW), true);
    const { policy_code } = reconciler.held;
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { policy_state: INACTIVE, policy_code } });
  });

  it('a field that WeChat Pay never takes is taken back by an amendment with null, too', () => {
    const reconciler = synced();
    const there = { ...reconciler.held };
    command(reconciler, 'amend', { pet_color: 'brown' });
    reconciler.sending = { pet_color: 'brown' };
    assert.equal(reconciler.mayHold('pet_color'), true, 'as long as it is on its way');
    reconciler.sending = undefined;
    reconciler.confirm({ policy: there, unreadable: [] }, { pet_color: 'brown' }, NOW);
    const taken = obey(reconciler.life, 'amend', { pet_color: null }, NOW, (field) => reconciler.mayHold(field));
    reconciler.change(taken, URGENCY.user, NOW);
    assert.equal(reconciler.sync, 'SYNCED');
    assert.equal(reconciler.mayHold('address'), true);
  });

  it('leaves no window to send where WeChat Pay has lost its times', () => {
    const late = NOW + 310 * DAY;
    const reconciler = synced();
    reconciler.change(settleDue(reconciler.life, late).life, URGENCY.due, late);
    reconciler.confirm({ policy: reconciler.held, unreadable: [] }, { support_renewal: true }, late);
    const { start_renewal_time: _start, end_renewal_time: _end, ...rest } = reconciler.held;
    get(reconciler, rest, late);
    assert.equal(reconciler.accept(late), true);
    assert.equal(reconciler.next().call, 'verify');
    assert.deepEqual(settleDue(reconciler.life, late).applied, []);
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
        const reconciler = synced({ support_renewal, ...(given && times) });
        if (first) tryCommand(reconciler, first);
        const due = settleDue(reconciler.life, now);
        if (due.applied.length > 0) reconciler.change(due.life, URGENCY.due, now);
        reconciler.confirm({ policy: reconciler.held, unreadable: [] }, { ...reconciler.held }, now);
        if (attempted) reconciler.unknown({ address: 'once' }, now);
        get(reconciler, { ...reconciler.held, ...theirs } as PolicyFields, now);
        try {
          reconciler.accept(now);
        } catch (error) {
          assert.ok(error instanceof RuleViolation, String(error));
          return;
        }
        assert.equal(reconciler.next().call, 'verify');
        assert.equal(reconciler.sync, 'SYNCED');
        const later = settleDue(reconciler.life, now);
        assert.deepEqual(
          later.applied.filter(({ what }) => !what.startsWith('issuing-')),
          [],
        );
      }),
      { numRuns: 500 },
    );
  });

  function tryCommand(reconciler: Reconciler, [name, input]: readonly [CommandName, Record<string, unknown>]): void {
    command(reconciler, name, input);
  }
});

describe('the first answer', () => {
  const theirs = (reconciler: Reconciler, changes: PolicyFields): PolicyFields => ({ ...reconciler.held, ...changes });

  it('adopt push sends our fields, and our state where it follows', () => {
    const reconciler = opened({}, { policy_state: APPROVED });
    get(reconciler, theirs(reconciler, { policy_state: ISSUING, address: 'other' }));
    const action = reconciler.next();
    assert.ok(action.call === 'push');
    assert.deepEqual(Object.keys(action.fields).sort(), ['address', 'policy_code', 'policy_state']);
  });

  it('adopt push never undoes INACTIVE: DIVERGED, and nothing is sent', () => {
    const reconciler = opened({}, { policy_state: APPROVED });
    get(reconciler, theirs(reconciler, { policy_state: INACTIVE, address: 'other' }));
    assert.equal(reconciler.sync, 'DIVERGED');
    assert.equal(reconciler.next().call, 'verify');
  });

  it("adopt remote makes WeChat Pay's record ours", () => {
    const reconciler = opened({ adopt: 'remote' });
    get(reconciler, theirs(reconciler, { policy_state: APPROVED, policy_code: 'C', address: 'other' }));
    assert.equal(reconciler.sync, 'SYNCED');
    assert.equal(reconciler.held.address, 'other');
    assert.equal(reconciler.held.policy_state, APPROVED);
  });

  for (const adopt of ['push', 'remote', 'report'] as const)
    it(`adopt ${adopt} has no say in what was changed before it came: a surrender leaves all the same`, () => {
      const reconciler = opened({ adopt }, { policy_state: APPROVED });
      const there = { ...reconciler.held, address: 'other' };
      command(reconciler, 'cancel', {});
      command(reconciler, 'amend', { coverage_detail: 'more' });
      get(reconciler, there);
      const action = reconciler.next();
      assert.ok(action.call === 'push', action.call);
      const { policy_state, coverage_detail, address } = action.fields;
      assert.deepEqual([policy_state, coverage_detail], [INACTIVE, 'more']);
      assert.equal(address, adopt === 'push' ? SEED.address : undefined);
      assert.equal(reconciler.held.address, adopt === 'remote' ? 'other' : SEED.address);
      const expected = adopt === 'report' ? ['address'] : [];
      assert.deepEqual(reconciler.diverged, expected);
    });

  it('of a state from which ours cannot be reached is reported, though ours was changed before it came', () => {
    const reconciler = opened({}, { policy_state: APPROVED });
    command(reconciler, 'cancel', {});
    get(reconciler, { ...reconciler.held, policy_state: DECLINED });
    assert.equal(reconciler.sync, 'DIVERGED');
    assert.equal(reconciler.next().call, 'verify');
    assert.deepEqual(
      reconciler.standing.discrepancies.map(({ field, became }) => [field, became]),
      [['policy_state', 'reported']],
    );
  });

  it('adopt report sends nothing, and accept or resume decides', () => {
    const reconciler = opened({ adopt: 'report' });
    get(reconciler, theirs(reconciler, { address: 'other' }));
    assert.equal(reconciler.sync, 'DIVERGED');
    assert.equal(reconciler.next().call, 'verify');
    reconciler.resume(NOW);
    assert.deepEqual(Object.keys((reconciler.next() as { fields: object }).fields), ['address']);
  });

  it('a change to a policy that WeChat Pay does not know asks again, and is blocked again: it is not PENDING for ever', () => {
    const reconciler = opened();
    const unknown = { status: 404, code: 'NOT_FOUND', message: 'no' };
    reconciler.refuse(unknown, undefined, NOW);
    assert.equal(reconciler.standing.block?.code, 'UNKNOWN_POLICY');
    command(reconciler, 'approve', { policy_code: 'C1' });
    assert.equal(reconciler.next().call, 'query');
    reconciler.refuse(unknown, undefined, NOW);
    assert.equal(reconciler.sync, 'BLOCKED');
  });

  it('an upload that was refused goes on with what is amended of it, until WeChat Pay has the policy', () => {
    const reconciler = opened({ upload: { appid: 'wx1', openid: 'o1' } }, { insurance_company_code: 'A' });
    reconciler.refuse({ status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const upload = reconciler.next();
    assert.ok(upload.call === 'upload');
    reconciler.refuse({ status: 400, code: 'PARAM_ERROR', message: 'openid' }, upload.fields, NOW);
    assert.equal(reconciler.sync, 'BLOCKED');
    command(reconciler, 'amend', { openid: 'o2', insurance_company_code: 'B', address: 'C' });
    assert.equal(reconciler.next().call, 'query', 'it may have become known meanwhile');
    reconciler.refuse({ status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const { call, fields } = reconciler.next() as typeof upload;
    assert.equal(call, 'upload');
    const { openid, insurance_company_code, address } = fields;
    assert.deepEqual([openid, insurance_company_code, address], ['o2', 'B', 'C']);
    reconciler.confirm({ policy: reconciler.held, unreadable: [] }, fields, NOW);
    for (const late of [{ openid: 'o3' }, { insurance_company_code: 'C' }])
      assert.throws(() => command(reconciler, 'amend', late), { rule: 'not-amendable' });
  });

  it('upload data can be given to a policy that waits to become known: it is asked for once more, then uploaded', () => {
    const reconciler = opened();
    const unknown = { status: 404, code: 'NOT_FOUND', message: 'no' };
    reconciler.refuse(unknown, undefined, NOW);
    assert.equal(reconciler.sync, 'BLOCKED');
    command(reconciler, 'amend', { upload: { appid: 'wx1', openid: 'o1' }, insurance_company_code: 'IC1' });
    assert.equal(reconciler.next().call, 'query');
    reconciler.refuse(unknown, undefined, NOW);
    const upload = reconciler.next();
    assert.ok(upload.call === 'upload');
    const { appid, openid, insurance_company_code } = upload.fields;
    assert.deepEqual([appid, openid, insurance_company_code], ['wx1', 'o1', 'IC1']);
    reconciler.confirm({ policy: reconciler.held, unreadable: [] }, upload.fields, NOW);
    assert.equal(reconciler.sync, 'SYNCED');
    assert.throws(() => command(reconciler, 'amend', { upload: { openid: 'o2' } }), { rule: 'not-amendable' });
  });

  it('upload data of a policy that WeChat Pay has, or had, is refused: it would never be sent', () => {
    const reconciler = opened();
    get(reconciler, reconciler.held);
    const amend = (): void => command(reconciler, 'amend', { upload: { appid: 'wx1', openid: 'o1' } });
    assert.throws(amend, { rule: 'not-amendable' });
    reconciler.refuse({ status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    assert.equal(reconciler.sync, 'DIVERGED');
    assert.throws(amend, { rule: 'not-amendable' });
  });

  it('upload data is not amended while an upload is under way, or of unknown outcome: what it carried may be there', () => {
    const reconciler = opened({ upload: { appid: 'wx1', openid: 'o1' } });
    reconciler.refuse({ status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const upload = reconciler.next();
    assert.ok(upload.call === 'upload');
    const amend = (): void => command(reconciler, 'amend', { upload: { openid: 'o2' } });
    reconciler.sending = upload.fields;
    assert.throws(amend, { rule: 'unknown-outcome' });
    reconciler.sending = undefined;
    reconciler.unknown(upload.fields, NOW);
    assert.throws(amend, { rule: 'unknown-outcome' });
    reconciler.refuse({ status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW + 10 * 60_000);
    assert.throws(amend, { rule: 'unknown-outcome' }, 'it may land still');
    reconciler.refuse({ status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW + 16 * 60_000);
    amend();
    assert.equal(reconciler.life.record.upload?.openid, 'o2');
  });

  it('what was amended while an upload ran has not been refused with it, and goes up in the next', () => {
    const reconciler = opened({ upload: { appid: 'wx1', openid: 'o1' } }, { address: 'refused' });
    reconciler.refuse({ status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const first = reconciler.next();
    assert.ok(first.call === 'upload');
    reconciler.sending = first.fields;
    command(reconciler, 'amend', { address: 'better' });
    reconciler.sending = undefined;
    reconciler.refuse({ status: 400, code: 'PARAM_ERROR', message: 'address' }, first.fields, NOW);
    const next = reconciler.next();
    assert.equal(next.call === 'upload' && next.fields.address, 'better');
  });

  it('how soon a policy that waits to become known is asked for next goes by when it was found so, or a person had it asked', () => {
    const reconciler = opened();
    const unknown = { status: 404, code: 'NOT_FOUND', message: 'no' };
    reconciler.refuse(unknown, undefined, NOW);
    assert.equal(reconciler.knownSince, NOW);
    reconciler.refuse(unknown, undefined, NOW + DAY);
    assert.equal(reconciler.knownSince, NOW, 'a verification that finds it so still begins nothing anew');
    reconciler.resume(NOW + 2 * DAY);
    reconciler.refuse(unknown, undefined, NOW + 2 * DAY);
    assert.equal(reconciler.knownSince, NOW + 2 * DAY);
    get(reconciler, reconciler.held, NOW + 3 * DAY);
    assert.equal(reconciler.knownSince, NOW + 3 * DAY);
  });

  it('what to do about a block is said once, by its code, and not in its message', () => {
    const bare = opened();
    bare.refuse({ status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const lacking = opened({}, { policy_state: APPROVED, policy_code: 'C1' });
    get(lacking, lacking.held);
    command(lacking, 'amend', { address: 'B' });
    lacking.confirm({ policy: { ...lacking.held, address: 'A' }, unreadable: [] }, { address: 'B' }, NOW);
    for (const { standing } of [bare, lacking]) {
      assert.doesNotMatch(standing.block?.message ?? '', /amend|resume|accept\b/);
      assert.match(todoOf(standing.block?.code ?? ''), /amend/);
    }
  });

  for (const [what, end] of [
    [
      'known',
      (reconciler: Reconciler, sent: PolicyFields) => reconciler.confirm({ policy: sent, unreadable: [] }, sent, NOW),
    ],
    [
      'unknown',
      (reconciler: Reconciler, sent: PolicyFields) => {
        reconciler.unknown(sent, NOW);
        get(reconciler, sent);
      },
    ],
  ] as const)
    it(`what came while an upload ran is sent after it, its outcome ${what}: what the upload made there is ours`, () => {
      const reconciler = opened({ upload: { appid: 'wx1', openid: 'o1' } });
      command(reconciler, 'cancel', {});
      reconciler.refuse({ status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
      const upload = reconciler.next();
      assert.ok(upload.call === 'upload');
      command(reconciler, 'reinstate', { reason: 'paid' });
      command(reconciler, 'amend', { address: 'B' });
      end(reconciler, upload.fields);
      const { policy_code } = reconciler.held;
      const fields = { address: 'B', policy_state: APPROVED, policy_code };
      assert.deepEqual(reconciler.next(), { call: 'push', fields });
    });

  it('an upload of unknown outcome is over after its time: what it carried can be taken back', () => {
    const reconciler = opened({ upload: { appid: 'wx1', openid: 'o1' } });
    const missing = (now: number): void =>
      reconciler.refuse({ status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, now);
    missing(NOW);
    const action = reconciler.next();
    assert.ok(action.call === 'upload');
    reconciler.unknown(action.fields, NOW);
    missing(NOW + 1);
    assert.deepEqual([reconciler.landsBy, reconciler.mayHold('address')], [NOW + QUARTER, true]);
    missing(NOW + QUARTER);
    assert.deepEqual([reconciler.landsBy, reconciler.mayHold('address')], [undefined, false]);
  });

  it('404 uploads where there is upload data, else blocks', () => {
    const missing = { status: 404, code: 'NOT_FOUND', message: 'no' };
    const bare = opened();
    bare.refuse(missing, undefined, NOW);
    assert.equal(bare.standing.block?.code, 'UNKNOWN_POLICY');
    const uploading = opened({ upload: { appid: 'wx1', openid: 'o1' } });
    uploading.refuse(missing, undefined, NOW);
    const action = uploading.next();
    assert.ok(action.call === 'upload');
    assert.equal(action.fields.openid, 'o1');
  });
});

describe('verification', () => {
  function synced(settings: Record<string, unknown> = {}): Reconciler {
    const reconciler = opened(settings, { policy_state: APPROVED });
    get(reconciler, reconciler.held);
    assert.equal(reconciler.sync, 'SYNCED');
    return reconciler;
  }

  it('a field that drifts is recorded and healed by a PATCH', () => {
    const reconciler = synced();
    const ours = reconciler.held.address;
    get(reconciler, { ...reconciler.held, address: 'tampered' });
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { address: ours } });
    reconciler.confirm({ policy: reconciler.held, unreadable: [] }, { address: ours }, NOW);
    assert.deepEqual(
      reconciler.standing.discrepancies.map(({ kind, became }) => [kind, became]),
      [['drift', 'healed']],
    );
    assert.equal(reconciler.sync, 'SYNCED');
  });

  it('on_drift report leaves it, DIVERGED, until it is accepted', () => {
    const reconciler = synced({ verification: { on_drift: 'report' } });
    get(reconciler, { ...reconciler.held, address: 'tampered' });
    assert.equal(reconciler.sync, 'DIVERGED');
    assert.equal(reconciler.next().call, 'verify');
    assert.equal(reconciler.accept(NOW), true);
    assert.equal(reconciler.held.address, 'tampered');
    assert.equal(reconciler.sync, 'SYNCED');
  });

  it('accept leaves a change of ours that is on its way: a surrender is not taken back', () => {
    const reconciler = synced({ verification: { on_drift: 'report' } });
    const theirs = { ...reconciler.held, address: 'tampered' };
    get(reconciler, theirs);
    command(reconciler, 'cancel', {});
    assert.equal(reconciler.accept(NOW), true);
    assert.equal(reconciler.held.address, 'tampered');
    const { policy_code } = reconciler.held;
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { policy_state: INACTIVE, policy_code } });
  });

  it('accept is refused while nobody knows what WeChat Pay holds: its state may be another by now', () => {
    const reconciler = synced();
    command(reconciler, 'cancel', {});
    const action = reconciler.next();
    assert.ok(action.call === 'push');
    reconciler.unknown(action.fields, NOW);
    assert.throws(() => reconciler.accept(NOW), { rule: 'unknown-outcome' });
    assert.equal(reconciler.held.policy_state, INACTIVE);
  });

  it('accept takes back the closing of a window that WeChat Pay has open', () => {
    const reconciler = synced({ verification: { on_drift: 'report' } });
    command(reconciler, 'renew', { as: 'NEXT1' });
    reconciler.confirm({ policy: reconciler.held, unreadable: [] }, { support_renewal: false }, NOW);
    get(reconciler, { ...reconciler.held, support_renewal: true });
    assert.equal(reconciler.sync, 'DIVERGED');
    assert.equal(reconciler.accept(NOW), true);
    assert.equal(reconciler.held.support_renewal, true);
    assert.equal(reconciler.sync, 'SYNCED');
  });

  for (const [what, take] of [
    ['accept', (reconciler: Reconciler) => reconciler.accept(NOW)],
    ['adopt remote', () => true],
  ] as const)
    it(`${what} keeps names that no key opens`, () => {
      const reconciler = opened(what === 'accept' ? { verification: { on_drift: 'report' } } : { adopt: 'remote' });
      const { insured_name_list: _sealed, ...policy } = reconciler.held;
      if (what === 'accept') get(reconciler, { ...reconciler.held });
      reconciler.confirm(
        { policy: { ...policy, address: 'theirs' }, unreadable: ['insured_name_list'] },
        undefined,
        NOW,
      );
      assert.equal(take(reconciler), true);
      assert.equal(reconciler.held.address, 'theirs');
      assert.deepEqual(reconciler.held.insured_name_list, opened().held.insured_name_list);
    });

  it('a state of WeChat Pay that nobody knows, or none, is DIVERGED: nothing follows from it, nothing fails', () => {
    for (const state of ['POLICY_STATE_SUSPENDED', 'constructor', 7, undefined]) {
      const theirs = { ...synced().held, policy_state: state } as unknown as PolicyFields;
      for (const settings of [{}, { verification: { on_state_drift: 'heal' } }]) {
        const first = opened(settings, { policy_state: APPROVED });
        const later = synced(settings);
        for (const reconciler of [first, later]) {
          get(reconciler, theirs);
          reconciler.resume(NOW);
          assert.equal(reconciler.sync, 'DIVERGED', String(state));
          assert.equal(reconciler.next().call, 'verify');
          assert.throws(() => reconciler.accept(NOW), RuleViolation);
        }
      }
    }
  });

  it('a state that we reach by ourselves after it was reported is no difference any more', () => {
    const reconciler = synced();
    get(reconciler, { ...reconciler.held, policy_state: INACTIVE });
    assert.equal(reconciler.sync, 'DIVERGED');
    command(reconciler, 'cancel', {});
    assert.equal(reconciler.sync, 'SYNCED');
  });

  it('a field that is new in ours, and that WeChat Pay has held otherwise all the time, is sent and is no drift', () => {
    const reconciler = opened({ verification: { on_drift: 'report' } }, { address: undefined });
    const theirs = { ...reconciler.held, address: 'old' };
    get(reconciler, theirs);
    command(reconciler, 'amend', { address: 'new' });
    reconciler.unknown({ address: 'new' }, NOW);
    get(reconciler, theirs);
    assert.deepEqual(reconciler.next(), { call: 'push', fields: { address: 'new' } });
    assert.deepEqual(reconciler.standing.discrepancies, []);
  });

  it('what the first answer of a life restored from a record that may lag shows otherwise is reported, not undone', () => {
    const reconciler = synced();
    Object.assign(reconciler.standing, { must_query: true, lagging: true });
    get(reconciler, { ...reconciler.held, address: 'a later change of ours' });
    assert.equal(reconciler.sync, 'DIVERGED');
    assert.equal(reconciler.next().call, 'verify');
    get(reconciler, { ...reconciler.held, address: 'a later change of ours', pet_name: 'tampered' });
    assert.equal((reconciler.next() as { fields: PolicyFields }).fields.pet_name, reconciler.held.pet_name);
  });

  it('a state that drifts is reported and never undone silently, unless the record says heal', () => {
    const reconciler = synced();
    get(reconciler, { ...reconciler.held, policy_state: INACTIVE });
    assert.equal(reconciler.sync, 'DIVERGED');
    command(reconciler, 'amend', { address: 'B' });
    assert.equal(reconciler.next().call, 'verify', 'nothing is sent');
    const healing = synced({ verification: { on_state_drift: 'heal' } });
    get(healing, { ...healing.held, policy_state: INACTIVE });
    assert.equal((healing.next() as { fields: PolicyFields }).fields.policy_state, APPROVED);
  });

  it('what was reported stays so, whatever WeChat Pay makes of it, until a person decides', () => {
    const imported = opened({ adopt: 'report' }, { policy_state: APPROVED });
    const lagging = synced();
    Object.assign(lagging.standing, { must_query: true, lagging: true });
    for (const reconciler of [imported, lagging])
      for (const address of ['theirs', 'another of theirs']) {
        get(reconciler, { ...reconciler.held, address });
        assert.deepEqual([reconciler.next().call, reconciler.diverged], ['verify', ['address']]);
      }
  });

  it('DECLINED at WeChat Pay is never left by us', () => {
    const reconciler = synced({ verification: { on_state_drift: 'heal' } });
    get(reconciler, { ...reconciler.held, policy_state: DECLINED });
    reconciler.resume(NOW);
    assert.equal(reconciler.sync, 'DIVERGED');
    assert.equal(reconciler.next().call, 'verify');
  });

  it('a policy once confirmed and now unknown is DIVERGED, and never uploaded again', () => {
    const reconciler = synced({ upload: { appid: 'wx1', openid: 'o1' } });
    reconciler.refuse({ status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    assert.equal(reconciler.sync, 'DIVERGED');
    assert.deepEqual(reconciler.next(), { call: 'verify', expected: {}, expect_absent: true });
    assert.throws(() => reconciler.accept(NOW), { rule: 'nothing-to-accept' });
  });

  it('a policy that WeChat Pay has not, and that is over with us, is accepted as over, and rests until either changes', () => {
    const missing = { status: 404, code: 'NOT_FOUND', message: 'no' };
    const gone = synced({ upload: { appid: 'wx1', openid: 'o1' } });
    const never = opened({}, { policy_state: APPROVED });
    const refused = opened({ upload: { appid: 'wx1', openid: 'o1' } }, { policy_state: APPROVED });
    for (const reconciler of [gone, never, refused]) reconciler.refuse(missing, undefined, NOW);
    const upload = refused.next();
    assert.ok(upload.call === 'upload');
    refused.refuse({ status: 400, code: 'PARAM_ERROR', message: 'openid' }, upload.fields, NOW);
    for (const reconciler of [gone, never, refused]) {
      assert.throws(() => reconciler.accept(NOW), { rule: 'nothing-to-accept' });
      command(reconciler, 'cancel', {});
      // A change is a reason to look again, and to try an upload that was refused.
      for (let next = reconciler.next(); next.call !== 'verify'; next = reconciler.next()) {
        if (next.call !== 'upload') reconciler.refuse(missing, undefined, NOW);
        else reconciler.refuse({ status: 400, code: 'PARAM_ERROR', message: 'openid' }, next.fields, NOW);
      }
      assert.equal(reconciler.accept(NOW), true);
      assert.equal(reconciler.accept(NOW), false);
      for (const at of [NOW, NOW + 30 * DAY]) {
        assert.deepEqual([reconciler.sync, reconciler.next().call, reconciler.diverged], ['SYNCED', 'verify', []]);
        assert.equal(reconciler.standing.synced_revision, reconciler.standing.revision);
        reconciler.refuse(missing, undefined, at);
      }
      assert.equal(reconciler.standing.got_at, NOW + 30 * DAY);
      assert.deepEqual([reconciler.landsBy, reconciler.standing.block], [undefined, null]);
      command(reconciler, 'reinstate', { reason: 'paid' });
      assert.notEqual(reconciler.sync, 'SYNCED');
    }
    command(gone, 'cancel', {});
    gone.accept(NOW);
    get(gone, { ...gone.held, policy_state: APPROVED });
    assert.notEqual(gone.sync, 'SYNCED', 'it is back');
  });

  it('a policy once uploaded and now unknown is never uploaded again, though the answers of before are lost', () => {
    const reconciler = synced({ upload: { appid: 'wx1', openid: 'o1' } });
    Object.assign(reconciler.standing, { confirmed: null, must_query: true });
    reconciler.refuse({ status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    assert.deepEqual([reconciler.sync, reconciler.next().call], ['DIVERGED', 'verify']);
  });

  it('a value still lacking after a PATCH that carried it is NOT_TAKEN, and blocked', () => {
    const reconciler = synced();
    const before = { ...reconciler.held };
    command(reconciler, 'amend', { address: 'B' });
    reconciler.confirm({ policy: before, unreadable: [] }, { address: 'B' }, NOW);
    assert.equal(reconciler.standing.block?.code, 'NOT_TAKEN');
    assert.equal(reconciler.next().call, 'verify');
  });

  it('names that no key opens are no drift', () => {
    const reconciler = synced();
    const { insured_name_list: _sealed, ...policy } = reconciler.held;
    reconciler.confirm({ policy, unreadable: ['insured_name_list'] }, undefined, NOW);
    assert.equal(reconciler.sync, 'SYNCED');
  });

  function drift(reconciler: Reconciler, field: string, value: unknown, now: number): void {
    get(reconciler, { ...reconciler.held, [field]: value }, now);
    const action = reconciler.next();
    if (action.call === 'push') reconciler.confirm({ policy: reconciler.held, unreadable: [] }, action.fields, now);
  }

  it('a field that drifts for the third time in 7 days is CONTESTED: reported, marked, not pushed again', () => {
    const reconciler = synced();
    for (const day of [0, 3]) {
      drift(reconciler, 'address', `theirs ${day}`, NOW + day * DAY);
      assert.equal(reconciler.sync, 'SYNCED', 'healed');
    }
    drift(reconciler, 'address', 'theirs', NOW + 6.9 * DAY);
    assert.equal(reconciler.sync, 'DIVERGED');
    assert.equal(reconciler.next().call, 'verify');
    assert.deepEqual(reconciler.life.attention, ['contested:address']);
    assert.equal(reconciler.standing.discrepancies.at(-1)?.became, 'contested');
    drift(reconciler, 'address', 'another', NOW + 7 * DAY);
    assert.equal(reconciler.next().call, 'verify', 'another value of theirs is not pushed over either');
  });

  it('drifts a week apart, or of several fields, are healed each time', () => {
    const reconciler = synced();
    for (const week of [0, 1, 2, 3]) drift(reconciler, 'address', 'theirs', NOW + week * 7 * DAY);
    drift(reconciler, 'car_number', 'theirs', NOW + 21 * DAY);
    drift(reconciler, 'coverage_detail', 'theirs', NOW + 21 * DAY);
    assert.equal(reconciler.sync, 'SYNCED');
    assert.deepEqual(reconciler.life.attention, []);
  });

  for (const [what, act, address] of [
    ['resume pushes ours', (reconciler: Reconciler) => reconciler.resume(NOW), 'ours'],
    ['accept takes theirs', (reconciler: Reconciler) => reconciler.accept(NOW), 'theirs'],
    [
      'an amendment pushes the new value',
      (reconciler: Reconciler) => command(reconciler, 'amend', { address: 'new' }),
      'new',
    ],
  ] as const)
    it(`of a contested field ${what}, and its drifts count anew`, () => {
      const reconciler = synced();
      command(reconciler, 'amend', { address: 'ours' });
      reconciler.confirm({ policy: reconciler.held, unreadable: [] }, { address: 'ours' }, NOW);
      for (const _ of [1, 2, 3]) drift(reconciler, 'address', 'theirs', NOW);
      act(reconciler);
      assert.deepEqual(reconciler.life.attention, []);
      const action = reconciler.next();
      if (action.call === 'push') reconciler.confirm({ policy: reconciler.held, unreadable: [] }, action.fields, NOW);
      assert.equal(reconciler.held.address, address);
      assert.equal(reconciler.sync, 'SYNCED');
      drift(reconciler, 'address', 'once more', NOW);
      assert.equal(reconciler.sync, 'SYNCED', 'healed');
    });

  it('of large values, again and again, while MongoDB is away: the oldest lose their values, none is lost', () => {
    const reconciler = synced({ verification: { on_drift: 'report' } });
    for (let day = 0; day < 50; day++)
      get(reconciler, { ...reconciler.held, coverage_detail: String(day % 10).repeat(15_000) }, NOW + day * DAY);
    const { discrepancies } = reconciler.standing;
    assert.equal(discrepancies.length, 50);
    assert.ok(JSON.stringify(discrepancies).length < 200_000);
    assert.equal(discrepancies.at(-1)?.theirs, '9'.repeat(15_000));
    assert.deepEqual([discrepancies[0]?.ours, discrepancies[0]?.theirs], [null, undefined]);
  });

  it('fields that no key opens are marked and noted once, until one opens them again', () => {
    const reconciler = synced();
    const { insured_name_list: _sealed, ...policy } = reconciler.held;
    for (const _ of [1, 2]) reconciler.confirm({ policy, unreadable: ['insured_name_list'] }, undefined, NOW);
    assert.deepEqual(reconciler.life.attention, ['unreadable:insured_name_list']);
    assert.deepEqual(
      reconciler.standing.discrepancies.map(({ kind, field }) => [kind, field]),
      [['unreadable', 'insured_name_list']],
    );
    get(reconciler, reconciler.held);
    assert.deepEqual(reconciler.life.attention, []);
  });
});
