import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type History,
  type KeptDiscrepancy,
  type KeptEntry,
  oursAsOf,
  type Seen,
  theirsAsOf,
} from '../policy/as_of.ts';
import { changes, sameWish } from '../policy/difference.ts';
import type { PolicyFields } from '../policy/record.ts';
import { MCHID } from './fixtures.ts';

const FIELDS = ['address', 'plan_id', 'pet_name', 'policy_code'];
const OPENED = 1_000_000;

type Drift = { does: 'drift'; field: string; value: string; became: 'healed' | 'reported' };
type Step =
  | { does: 'change'; field: string; value: string | undefined; back: number }
  | { does: 'push' }
  | { does: 'send' }
  | { does: 'look' }
  | { does: 'mend' }
  | Drift;

/** A policy's life in small: what is kept of it, beside what was held at every moment. */
class Life {
  now = OPENED;
  revision = 1;
  ours: PolicyFields = { address: 'a', plan_id: 'b' };
  theirs: PolicyFields = {};
  entries: KeptEntry[] = [];
  discrepancies: KeptDiscrepancy[] = [];
  answers: { at: number; revision: number }[] = [];
  seen: { at: number; theirs: PolicyFields }[] = [];
  /** Left different for a person. */
  left = new Set<string>();
  sent: PolicyFields | undefined;

  constructor() {
    this.note('open', {}, OPENED);
  }

  note(command: string, before: PolicyFields, business: number): void {
    const of = { id: `${MCHID}/N/life.${this.entries.length + 1}`, command, revision: this.revision, at: this.now };
    const told = business < this.now ? { business_date: new Date(business).toISOString() } : {};
    this.entries.push({ ...of, ...told, ...changes(before, this.ours), confirmed_at: null });
  }

  see(): void {
    this.answers.push({ at: this.now, revision: this.revision });
    this.seen.push({ at: this.now, theirs: { ...this.theirs } });
    const differs = FIELDS.filter((field) => !this.left.has(field) && this.ours[field] !== this.theirs[field]);
    // What ours has no more cannot be emptied there, and is no difference.
    if (differs.some((field) => this.ours[field] !== undefined)) return;
    for (const entry of this.entries) entry.confirmed_at ??= this.now;
  }

  take(step: Step): void {
    this.now += 1000;
    if (step.does === 'change') {
      const { field, value, back } = step;
      if (this.ours[field] === value) return;
      const before = this.ours;
      this.ours = { ...before };
      if (value === undefined) delete this.ours[field];
      else this.ours[field] = value;
      this.left.delete(field);
      this.revision += 1;
      this.note('amend', before, this.now - back * 1000);
    } else if (step.does === 'push') {
      this.sent = undefined;
      const kept = Object.fromEntries([...this.left].map((field) => [field, this.theirs[field]]));
      this.theirs = { ...this.theirs, ...this.ours, ...kept };
      this.see();
    } else if (step.does === 'send') this.sent = { ...this.ours };
    else if (step.does === 'look') {
      const kept = Object.fromEntries([...this.left].map((field) => [field, this.theirs[field]]));
      if (this.sent) this.theirs = { ...this.theirs, ...this.sent, ...kept };
      this.sent = undefined;
      this.see();
    } else if (step.does === 'mend') {
      for (const field of this.left) this.theirs[field] = this.ours[field];
      this.left.clear();
      if (this.seen.length > 0) this.see();
    } else this.drift(step);
  }

  drift({ field, value, became }: Drift): void {
    const settled = this.entries.every(({ confirmed_at }) => confirmed_at !== null);
    if (!settled || this.sent || this.left.has(field) || this.ours[field] === undefined || this.ours[field] === value)
      return;
    this.theirs[field] = value;
    const of = {
      id: `${this.discrepancies.length}`,
      field,
      ours: this.ours[field],
      theirs: value,
      kind: 'drift' as const,
    };
    const found: KeptDiscrepancy = { ...of, found_at: this.now, became, settled_at: null };
    this.discrepancies.push(found);
    if (became === 'reported') this.left.add(field);
    this.answers.push({ at: this.now, revision: this.revision });
    this.seen.push({ at: this.now, theirs: { ...this.theirs } });
    this.now += 1000;
    found.settled_at = this.now;
    if (became === 'reported') return;
    this.theirs[field] = this.ours[field];
    this.see();
  }

  history(keep: (entry: KeptEntry) => boolean = () => true): History {
    const last = this.seen.at(-1);
    return {
      entries: this.entries.filter(keep),
      discrepancies: this.discrepancies,
      opened_at: OPENED,
      ours: this.ours,
      theirs: last ? { policy: last.theirs, at: last.at, unreadable: [] } : null,
      verified_at: null,
    };
  }

  /** A pure replay: every change whose date has come, in the order in which they were accepted. */
  oursAt(at: number): PolicyFields {
    const held: PolicyFields = {};
    for (const { before, after, at: came, business_date } of this.entries) {
      if (Math.min(came, business_date ? Date.parse(business_date) : came) > at) continue;
      for (const field of Object.keys(before)) delete held[field];
      Object.assign(held, after);
    }
    return held;
  }

  answersUpTo(at: number) {
    return { complete_since: 0, last: this.answers.filter((one) => one.at <= at).at(-1) ?? null };
  }
}

const field = fc.constantFrom(...FIELDS);
const value = fc.constantFrom('u', 'v', 'w');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      does: fc.constant('change' as const),
      field,
      value: fc.option(value, { nil: undefined }),
      back: fc.nat(6),
    }),
  },
  { weight: 4, arbitrary: fc.record({ does: fc.constant('push' as const) }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constantFrom('send' as const, 'look' as const, 'mend' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      does: fc.constant('drift' as const),
      field,
      value,
      became: fc.constantFrom('healed' as const, 'reported' as const),
    }),
  },
);
const lives = fc.array(step, { maxLength: 30 }).map((steps) => {
  const life = new Life();
  for (const one of steps) life.take(one);
  return life;
});
const moment = fc.nat(60).map((n) => OPENED + n * 1000 + 500);

function assertRight(held: { fields: PolicyFields; unknown: string[] }, right: PolicyFields): void {
  for (const name of FIELDS)
    if (!held.unknown.includes(name))
      assert.ok(sameWish(name, held.fields[name], right[name]), `${name}: ${held.fields[name]}, was ${right[name]}`);
}

describe('what we held as of a time', () => {
  it('is what a replay of the commands up to then makes, each from its business date on', () => {
    fc.assert(
      fc.property(lives, moment, (life, at) => {
        const held = oursAsOf(life.history(), at);
        assert.deepEqual(held?.unknown, []);
        assertRight(held ?? { fields: {}, unknown: [] }, life.oursAt(at));
      }),
      { numRuns: 500 },
    );
  });

  it('is right or unknown once old commands are deleted, and known from the oldest that is kept on', () => {
    fc.assert(
      fc.property(lives, moment, moment, (life, cut, at) => {
        // A date before the cut belongs to a time of which not all is kept.
        for (const entry of life.entries) delete entry.business_date;
        const keep = (entry: KeptEntry): boolean => entry.at >= cut || entry.confirmed_at === null;
        const held = oursAsOf(life.history(keep), at);
        assert.ok(held);
        assertRight(held, life.oursAt(at));
        const kept = life.entries.filter(keep).filter(({ confirmed_at }) => confirmed_at !== null);
        const isWhole = life.entries.every(keep) || (kept.length > 0 && at >= Math.min(...kept.map((one) => one.at)));
        const lost = life.entries
          .filter((entry) => !keep(entry))
          .some((entry) => life.entries.some((one) => !one.confirmed_at && one.at < entry.at));
        if (isWhole && !lost) assert.deepEqual(held.unknown, []);
      }),
      { numRuns: 500 },
    );
  });

  it('is right or unknown where a command was lost', () => {
    fc.assert(
      fc.property(lives, fc.nat(20), moment, (life, which, at) => {
        const lost = life.entries[1 + (which % Math.max(1, life.entries.length - 1))];
        const held = oursAsOf(
          life.history((entry) => entry !== lost),
          at,
        );
        assert.ok(held);
        // A change that nobody kept counts for nobody: what is known must be right by the others.
        assertRight(held, life.oursAt(at));
      }),
      { numRuns: 500 },
    );
  });
});

describe('what WeChat Pay was last seen to hold as of a time', () => {
  function assertSeen(seen: Seen | null, life: Life, at: number): void {
    const last = life.seen.filter((one) => one.at <= at).at(-1);
    if (!seen) return;
    assert.ok(last, 'it was never seen');
    assertRight(seen, last.theirs);
  }

  it('is what it showed, or unknown', () => {
    fc.assert(
      fc.property(lives, moment, (life, at) => {
        const seen = theirsAsOf(life.history(), at, life.answersUpTo(at));
        assert.notEqual(seen, 'needs-answers');
        assertSeen(seen as Seen | null, life, at);
      }),
      { numRuns: 1000 },
    );
  });

  it('is what it showed, or unknown, once calls and old commands are deleted', () => {
    fc.assert(
      fc.property(lives, moment, moment, (life, cut, at) => {
        const keep = (entry: KeptEntry): boolean => entry.at >= cut || entry.confirmed_at === null;
        const answers = {
          complete_since: cut,
          last: life.answers.filter((one) => one.at <= at && one.at >= cut).at(-1) ?? null,
        };
        const seen = theirsAsOf(life.history(keep), at, answers);
        assertSeen(seen as Seen | null, life, at);
      }),
      { numRuns: 1000 },
    );
  });

  it('is known whole where nothing was left different and nothing was on its way', () => {
    const life = new Life();
    const steps: Step[] = [
      { does: 'push' },
      { does: 'change', field: 'address', value: 'v', back: 0 },
      { does: 'push' },
      { does: 'drift', field: 'address', value: 'w', became: 'healed' },
      { does: 'change', field: 'address', value: 'u', back: 0 },
      { does: 'push' },
    ];
    for (const one of steps) life.take(one);
    for (let at = OPENED + 1500; at < life.now + 2000; at += 1000) {
      const seen = theirsAsOf(life.history(), at, life.answersUpTo(at)) as Seen;
      assert.deepEqual(seen.unknown, []);
      assert.equal(seen.seen_at, life.seen.filter((one) => one.at <= at).at(-1)?.at);
    }
  });
});
