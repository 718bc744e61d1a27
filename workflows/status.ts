import { shortState } from '../policy/state.ts';
import { nextAction } from './call.ts';
import { nextDue } from './due.ts';
import type { Status } from './messages.ts';
import type { Parts } from './parts.ts';
import { showAttributes, showDetails } from './presentation.ts';
import { tellNews } from './telling.ts';

/** The answer to the query `status`. */
export function statusOf(parts: Parts): Status {
  const { position, run, calls } = parts;
  const { life, standing, sync, diverged } = position;
  const { policy, mchid } = life.record;
  return {
    mchid,
    out_insurance_no: policy.out_insurance_no,
    state: shortState(policy.policy_state),
    sync: run.stopping ? 'STOPPED' : sync,
    revision: standing.revision,
    synced_revision: standing.synced_revision,
    next: nextOf(parts),
    block: standing.block,
    unverified: standing.unverified ?? null,
    diverged: position.isMissed ? ['out_insurance_no'] : diverged,
    attention: life.attention,
    cancellation: life.cancellation
      ? { cause: life.cancellation.cause, at: new Date(life.cancellation.at).toISOString() }
      : null,
    window: life.window,
    on_hold_since: life.hold ? new Date(life.hold.since).toISOString() : null,
    call: calls.current,
    under_way: !['verify', 'rest'].includes(nextAction(parts).call),
  };
}

/** What comes next of itself, as people are told; nothing where the life is over. */
function nextOf({ run, position }: Parts): Status['next'] {
  if (run.ending || run.stopping) return null;
  const { what, at } = nextDue(position);
  return { what: what as NonNullable<Status['next']>['what'], at: new Date(at).toISOString() };
}

/** Shows how things stand: in the search attributes, in the UI, and where they have turned, in the worker's log and by events. */
export function show(parts: Parts): void {
  const status = statusOf(parts);
  showAttributes(parts.position.life, status.mchid, status.sync);
  showDetails(status);
  parts.transitions.look(status, parts.calls.last);
  tellNews(parts);
}
