import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { PolicyRefused } from '../client/errors.ts';
import { type CommandName, type Envelope, obey } from '../policy/commands.ts';
import { heldPolicy, openedLife } from '../policy/life.ts';
import { type PolicyFields, recordSchema } from '../policy/record.ts';
import { wireTime } from '../policy/time.ts';
import { RuleViolation } from '../policy/violation.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import type { Answer } from '../workflows/messages.ts';
import { type FaultWorld, type Life, type Opening, startFaultWorld } from './faults_fixture.ts';
import { DAY } from './fixtures.ts';

// Any few messages, as fast-check makes them up, end as the rules alone say (docs/faults.md).
let world: FaultWorld;
before(async () => {
  world = await startFaultWorld();
});
after(() => world?.close());

const CODE = 'C1';

async function rested(opening: Opening = {}): Promise<Life> {
  const life = await world.opened(opening);
  await world.rests(life.number);
  return life;
}

describe('any few messages, with duplicates, old versions and faults', () => {
  interface Sent {
    command: CommandName;
    message: Envelope & Record<string, unknown>;
  }
  interface Script {
    sent: Sent[];
    faults: FaultRule['do'][];
  }

  const inDays = (days: number): string => wireTime(Date.now() + days * DAY);
  const FIELDS = ['address', 'car_number', 'pet_name'];
  const field = fc.tuple(fc.constantFrom(...FIELDS), fc.constantFrom('A', 'B', 'C'));
  const command: fc.Arbitrary<[CommandName, object]> = fc.oneof(
    { weight: 3, arbitrary: field.map(([name, value]) => ['amend', { [name]: value }] as [CommandName, object]) },
    { weight: 2, arbitrary: fc.constantFrom<[CommandName, object]>(['approve', { policy_code: CODE }]) },
    fc.constantFrom<[CommandName, object]>(
      ['cancel', {}],
      ['cancel', { cause: 'LAPSE' }],
      ['cancel', { at: inDays(50) }],
      ['withdraw', {}],
      ['reinstate', { reason: 'paid' }],
      ['renew', { expired_time: inDays(500) }],
      ['renew', { as: 'NEXT1' }],
    ),
  );
  // Few ids and versions, so that both come again, and late.
  const envelope = fc.record(
    {
      event_id: fc.constantFrom('e1', 'e2', 'e3', 'e4', 'e5', 'e6', 'e7', 'e8'),
      version: fc.integer({ min: 1, max: 9 }),
    },
    { requiredKeys: ['event_id'] },
  );
  const message = fc.tuple(command, envelope).map(([[name, fields], marks]) => {
    return { command: name, message: { ...fields, ...marks } } as Sent;
  });
  const fault = fc.constantFrom<FaultRule['do']>(
    { drop: 'before' },
    { drop: 'after' },
    { status: 500, code: 'SYSTEM_ERROR' },
    { status: 502, body: '<html>', effect: true },
    { status: 429, code: 'FREQUENCY_LIMITED', retry_after: 1 },
    { delay_ms: 300 },
    { forge: 'signature' },
  );
  const script = fc.record({
    sent: fc.array(message, { minLength: 4, maxLength: 9 }),
    faults: fc.array(fault, { maxLength: 3 }),
  });

  /** Whatever a message was answered: an answer, or the rule that refused it. */
  type Answered = Answer | string;

  /** The same messages, one after the other, by the rules of policy/ alone. */
  function model(record: Life['record'], sent: readonly Sent[]): { answers: Answered[]; held: PolicyFields } {
    let life = openedLife(recordSchema.parse(record), Date.now());
    let revision = 1;
    let version = 0;
    const known = new Map<string, Answer>();
    const answers = sent.map(({ command: name, message: given }): Answered => {
      const { event_id = '', version: own } = given;
      const first = known.get(event_id);
      if (first) return first;
      const answered = (outcome: Answer['outcome']): Answer => {
        known.set(event_id, { revision, outcome });
        return { revision, outcome };
      };
      if (own !== undefined && own <= version) return answered('superseded');
      try {
        const next = obey(life, name, given, Date.now());
        version = own ?? version;
        if (next === life) return answered('unchanged');
        life = next;
        revision++;
        return answered('accepted');
      } catch (error) {
        if (!(error instanceof RuleViolation)) throw error;
        return error.rule;
      }
    });
    return { answers, held: heldPolicy(life) };
  }

  async function send({ policy }: Life, { command: name, message: given }: Sent): Promise<Answered> {
    try {
      return await world.client[name](policy, given as never);
    } catch (error) {
      if (error instanceof PolicyRefused) return error.rule;
      throw error;
    }
  }

  async function agrees({ sent, faults }: Script): Promise<void> {
    const life = await rested();
    await world.fault(life.number, ...faults.map((action) => ({ do: action })));
    const answers: Answered[] = [];
    for (const one of sent) answers.push(await send(life, one));
    const expected = model(life.record, sent);
    assert.deepEqual(answers, expected.answers);
    await world.rests(life.number);
    await world.assertHeld(life.number, expected.held);
    await world.assertSound(life.number);
  }

  it('end as the rules alone say, answered alike', { timeout: 120_000 }, async () => {
    const scripts = fc.array(script, { minLength: 15, maxLength: 15 });
    const together = fc.asyncProperty(scripts, async (all) => void (await Promise.all(all.map(agrees))));
    // One run has fifteen policies; to make it smaller would take a minute each.
    await fc.assert(together, { numRuns: 1, endOnFailure: true });
  });
});
