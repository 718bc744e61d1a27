// Messages of every kind, as random lives send them.
import fc from 'fast-check';
import type { CommandName } from '../policy/commands.ts';
import { wireTime } from '../policy/time.ts';
import { DAY } from './fixtures.ts';

const days = fc.integer({ min: 1, max: 500 });
const CHANGES = ['approve', 'decline', 'cancel', 'withdraw', 'amend', 'renew', 'reinstate'] as const;
/** Messages that change the record. */
export const change = fc.record({ send: fc.constantFrom<CommandName>(...CHANGES), days });
/** The same, and those that say whether anything is sent. */
export const message = fc.record({
  send: fc.constantFrom<CommandName>(...CHANGES, 'hold', 'unhold', 'observe'),
  days,
});

/** What such a message says, by its number. */
export function inputFor(name: CommandName, number: number, now: number): Record<string, unknown> {
  const later = wireTime(now + number * DAY);
  const amendments = [
    { address: `road ${number}` },
    { insured_name_list: [`name ${number}`] },
    { support_renewal: number % 2 === 0 },
    { policy_periods: [number] },
    { pet_color: number % 2 ? 'brown' : null },
    { coverage_term_type: 'COVERAGE_TERM_TYPE_LIFETIME' },
    { expired_time: later },
    { free_insurance: number % 2 === 0 },
  ];
  const inputs: Record<CommandName, Record<string, unknown>> = {
    approve: { policy_code: `C${number}` },
    decline: { reason: 'r' },
    cancel: number % 3 ? {} : { at: later },
    withdraw: {},
    amend: amendments[number % amendments.length] ?? {},
    renew: number % 5 ? { expired_time: later, window: { start_renewal_time: later } } : { as: 'NEXT1' },
    reinstate: { reason: 'r', ...(number % 2 && { expired_time: later }) },
    hold: { reason: 'r' },
    unhold: {},
    observe: { on: number % 2 === 0 },
  };
  return inputs[name];
}
