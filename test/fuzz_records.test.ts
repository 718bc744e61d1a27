import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { digestOf } from '../client/digest.ts';
import { adopted } from '../policy/adoption.ts';
import { COMMAND_SCHEMAS, type CommandName, obey } from '../policy/commands.ts';
import { changes, differences, patchOf } from '../policy/difference.ts';
import { dueTimes, heldPolicy, type Life, openedLife, settleDue } from '../policy/life.ts';
import { parsedRecord, policySchema } from '../policy/record.ts';
import { wireTime } from '../policy/time.ts';
import { parse, RuleViolation } from '../policy/violation.ts';
import { jsonObjectIn } from '../wechatpay/json.ts';
import { DAY, recordOf, SEED } from './fixtures.ts';
import { anyJson, isOneLine, isUnpolluted, mutated } from './fuzz_arbitraries.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const PERSONAL = [SEED.address, SEED.car_number, SEED.pet_name, ...SEED.insured_name_list, SEED.coverage_detail];
/** No shrinking: a counterexample is short already, and printed with its seed. */
const runs = (numRuns: number) => ({ numRuns, endOnFailure: true });

const RECORD = recordOf(
  {},
  { reinstatement_within: '30d', upload: { appid: 'wx1', openid: 'o1' }, extra_fields: ['a_field_of_tomorrow'] },
  { now: NOW },
);
const OPENED = openedLife(parsedRecord(RECORD), NOW);
const APPROVED = obey(OPENED, 'approve', { policy_code: 'C1' }, NOW);
const LIVES: readonly Life[] = [
  OPENED,
  APPROVED,
  obey(APPROVED, 'cancel', { at: wireTime(NOW + DAY) }, NOW),
  obey(APPROVED, 'cancel', {}, NOW),
  obey(OPENED, 'decline', { reason: 'r' }, NOW),
];
const VALID: { [Name in CommandName]: object } = {
  approve: {
    policy_code: 'C1',
    expired_time: wireTime(NOW + 90 * DAY),
    policy_periods: [1],
    event_id: 'e',
    version: 1,
  },
  decline: { reason: 'r', by: 'b' },
  cancel: { cause: 'LAPSE', reason: 'r', at: wireTime(NOW + DAY) },
  withdraw: { event_id: 'e', version: 2, by: 'b' },
  amend: { ...SEED, out_insurance_no: undefined, policy_state: undefined, effective_time: undefined },
  renew: { expired_time: wireTime(NOW + 700 * DAY), policy_code: 'C2', window: { opens_before: '5d' } },
  reinstate: { reason: 'r', expired_time: wireTime(NOW + 90 * DAY) },
  hold: { reason: 'r', by: 'b' },
  unhold: { event_id: 'e' },
  observe: { on: true },
};
const command = fc.constantFrom(...(Object.keys(COMMAND_SCHEMAS) as CommandName[]));
const anyCommand = command.chain((name) =>
  fc
    .oneof({ arbitrary: mutated(VALID[name]), weight: 6 }, { arbitrary: anyJson, weight: 1 })
    .map((input) => [name, input] as const),
);
const anyRecord = fc.oneof(
  { arbitrary: mutated(RECORD), weight: 3 },
  { arbitrary: mutated(RECORD, 'policy'), weight: 5 },
  { arbitrary: mutated(RECORD, 'upload'), weight: 1 },
  { arbitrary: anyJson, weight: 1 },
);

/** zod's own, which a user is never shown: each schema, or policy/expected.ts, says what it expected. */
const ZODS_WORDS = /invalid (input|option|string|key)|too (small|big)|unrecognized|received/i;

/** What it gives, or undefined where it is refused as it should be: typed, a line a rule, nothing personal. */
function typed<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    assert.ok(error instanceof RuleViolation, error instanceof Error ? error.stack : String(error));
    assert.ok(error.violations.length > 0 && error.rule === error.violations[0]?.rule);
    for (const { field, rule, message } of error.violations) {
      assert.match(rule, /^[a-z_-]+$/);
      assert.ok(
        isOneLine(message) && (field === '' || isOneLine(field)),
        JSON.stringify([field, message]).slice(0, 500),
      );
      assert.doesNotMatch(message, ZODS_WORDS);
      for (const value of PERSONAL) assert.ok(!`${field} ${message}`.includes(value), message);
    }
    assert.ok(isOneLine(error.message), error.message.slice(0, 500));
    return undefined;
  } finally {
    assert.ok(isUnpolluted());
  }
}

/** Everything that is asked of a life once it is there can be asked. */
function goesOn(life: Life, now: number): void {
  const again = JSON.parse(JSON.stringify(life)) as Life;
  assert.equal(JSON.stringify(parse(policySchema, again.record.policy)), JSON.stringify(life.record.policy));
  settleDue(again, now + 400 * DAY);
  dueTimes(again);
  patchOf(heldPolicy(again), {});
}

describe('whatever comes in is taken whole or refused in one line', () => {
  it('a record: what is taken stays the same when read again, and lives', () => {
    fc.assert(
      fc.property(anyRecord, ({ value }) => {
        const record = typed(() => parsedRecord(value));
        if (!record) return;
        const again = parsedRecord(JSON.parse(JSON.stringify(record)));
        assert.equal(JSON.stringify(again), JSON.stringify(record));
        assert.equal(digestOf(again), digestOf(record));
        goesOn(openedLife(record, NOW), NOW);
      }),
      runs(500),
    );
  });

  it('a command: what is taken leaves a policy that keeps the rules, a refusal leaves what was', () => {
    fc.assert(
      fc.property(fc.constantFrom(...LIVES), anyCommand, (life, [name, { value }]) => {
        const before = JSON.stringify(life);
        const after = typed(() => obey(life, name, value, NOW));
        assert.equal(JSON.stringify(life), before);
        if (after && after !== life) goesOn(after, NOW);
      }),
      runs(500),
    );
  });

  it('what WeChat Pay holds: compared, patched and made ours, or refused as ours', () => {
    const remote = mutated({ ...SEED, policy_state: 'POLICY_STATE_INACTIVE' });
    fc.assert(
      fc.property(fc.constantFrom(...LIVES), remote, (life, { text }) => {
        const theirs = jsonObjectIn(Buffer.from(text));
        if (!theirs) return;
        const ours = heldPolicy(life);
        const found = differences(ours, theirs);
        assert.deepEqual(differences(ours, ours), []);
        patchOf(ours, theirs);
        changes(ours, theirs);
        JSON.stringify(found);
        const after = typed(() => adopted(life, theirs, Object.keys({ ...ours, ...theirs }), NOW));
        if (after && after !== life) goesOn(after, NOW);
      }),
      runs(400),
    );
  });
});
