// Messages of every kind, as random lives send them.
import fc from 'fast-check';
import type { CommandName } from '../policy/commands.ts';
import { CAUSES } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { DAY } from './fixtures.ts';

const days = fc.integer({ min: 1, max: 500 });
const CHANGES = ['approve', 'decline', 'cancel', 'withdraw', 'amend', 'renew', 'reinstate'] as const;
/** A lapse keeps a policy for two years, and a random life on a real server is watched for weeks. */
const ENDS = CAUSES.filter((cause) => cause !== 'LAPSE');
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
    { coverage_term_type: 'COVERAGE_TERM_TYPE_LIFETIME', support_renewal: true },
    { coverage_term_type: 'COVERAGE_TERM_TYPE_FIXED_DATE' },
    { start_renewal_time: wireTime(now + (number - 20) * DAY), end_renewal_time: wireTime(now + (number + 10) * DAY) },
    { start_renewal_time: later },
    { end_renewal_time: later },
    { policy_code: number % 2 ? `D${number}` : null },
  ];
  const inputs: Record<CommandName, Record<string, unknown>> = {
    approve: { policy_code: `C${number}`, ...(number % 4 === 0 && { expired_time: later }) },
    decline: { reason: 'r' },
    cancel: { cause: ENDS[number % ENDS.length], ...(number % 3 === 0 && { at: later }) },
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
