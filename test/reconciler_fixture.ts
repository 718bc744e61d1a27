import assert from 'node:assert/strict';
import { type CommandName, obey } from '../policy/commands.ts';
import { openedLife } from '../policy/life.ts';
import { type PolicyFields, parsedRecord } from '../policy/record.ts';
import { APPROVED, isTransition, type PolicyState } from '../policy/state.ts';
import { takeAnswer, takeRefusal, takeUnknown } from '../workflows/reconciler/answers.ts';
import { change } from '../workflows/reconciler/desired.ts';
import { Position } from '../workflows/reconciler/position.ts';
import { newStanding, URGENCY } from '../workflows/reconciler/standing.ts';
import { recordOf } from './fixtures.ts';

export const NOW = Date.parse('2026-01-01T00:00:00Z');

/** How a call between two commands ends. `landed`: it took effect, but nobody was told; `late`: it does later. */
export type Ending = 'confirmed' | 'refused' | 'landed' | 'lost' | 'late';

/** WeChat Pay as the official table has it: an illegal transition, or the state already held, fails the model. */
export class Remote {
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

export function opened(settings: Record<string, unknown> = {}, changes: Record<string, unknown> = {}): Position {
  const record = parsedRecord(recordOf(changes, settings, { now: NOW }));
  return new Position(openedLife(record, NOW), newStanding(NOW));
}

export function command(position: Position, name: CommandName, input: Record<string, unknown>, now = NOW): void {
  const life = obey(position.life, name, input, now, (field) => position.mayHold(field));
  if (life !== position.life) change(position, life, URGENCY.user, now);
}

export function get(position: Position, policy: PolicyFields, now = NOW): void {
  takeAnswer(position, { policy, unreadable: [] }, undefined, now);
}

/** Makes the call that is next, and lets it end so; `during` happens while it runs. */
export function call(position: Position, remote: Remote, ending: Ending, now: number, during?: () => void): string {
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

export const SYNCED_IN_CALLS = 12;

/** Lets every call succeed until nothing is left to send. */
export function bring(position: Position, remote: Remote, now: number): void {
  for (let calls = 0; calls < SYNCED_IN_CALLS; calls++) {
    if (call(position, remote, 'confirmed', now) === 'verify') return;
  }
  assert.fail(`not synced after ${SYNCED_IN_CALLS} calls`);
}

export function synced(settings: Record<string, unknown> = {}): Position {
  const position = opened(settings, { policy_state: APPROVED });
  get(position, position.held);
  assert.equal(position.sync, 'SYNCED');
  return position;
}
