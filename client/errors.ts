import type { Violation } from '../policy/violation.ts';

/**
 * Base of every error of this library. `message` is one line for people, says what to do where there is something to
 * do, and holds no personal value. What the Temporal SDK threw is in `cause`.
 */
export abstract class PolicySyncError extends Error {}

/** A rule forbids it; nothing was changed, and the same again is refused again. */
export class PolicyRefused extends PolicySyncError {
  override readonly name = 'PolicyRefused';
  /** Name of the rule, kebab-case and stable: `illegal-transition`, `exists`, `policy-code`, … */
  readonly rule: string;
  /** Every broken rule, where the record or command was checked before it was sent; else the one of `rule`. */
  readonly violations: readonly Violation[];

  constructor(rule: string, message: string, violations?: readonly Violation[], options?: ErrorOptions) {
    super(message, options);
    this.rule = rule;
    this.violations = violations ?? [{ field: '', rule, message }];
  }
}

/** Temporal knows no policy of that number: never opened, or ended so long ago that only MongoDB remembers. */
export class UnknownPolicy extends PolicySyncError {
  override readonly name = 'UnknownPolicy';
}

/** How a policy's workflow ended. `COMPLETED`: its life was over. `CANCELLED`: it was told to stop syncing. */
export type Ending = 'COMPLETED' | 'CANCELLED' | 'FAILED' | 'TERMINATED' | 'TIMED_OUT';

/** The policy is not lived any more; `reinstate` or `resume` may start it again. */
export class PolicyEnded extends PolicySyncError {
  override readonly name = 'PolicyEnded';
  /** `undefined` where only MongoDB remembers. */
  readonly ending: Ending | undefined;

  constructor(message: string, ending?: Ending, options?: ErrorOptions) {
    super(message, options);
    this.ending = ending;
  }
}

/**
 * Nobody answered in time: no worker runs, or WeChat Pay did not answer a `verify`. What was sent may still take
 * effect; the same message with the same `event_id` is safe to send again.
 */
export class Unavailable extends PolicySyncError {
  override readonly name = 'Unavailable';
}

/** The policy's workflow has just been started, and its first act is still to be done: ask again. */
export class NotBegun extends PolicySyncError {
  override readonly name = 'NotBegun';
}

/** No connection to the Temporal server. */
export class ServerUnreachable extends PolicySyncError {
  override readonly name = 'ServerUnreachable';
}

/** The Temporal server answered, and refuses: no permission, unknown namespace, search attributes not registered. */
export class ServerRefused extends PolicySyncError {
  override readonly name = 'ServerRefused';
}

/** WeChat Pay was not brought up to the revision waited for; the change itself was accepted. */
export class NotSynced extends PolicySyncError {
  override readonly name = 'NotSynced';
  /** `TIMEOUT`: not yet. The others wait for a person: see the message. */
  readonly reason: 'TIMEOUT' | 'BLOCKED' | 'DIVERGED' | 'HELD' | 'OBSERVED' | 'STOPPED';

  constructor(reason: NotSynced['reason'], message: string) {
    super(message);
    this.reason = reason;
  }
}

/** A setting of the environment is missing or wrong; the message names it, what was expected, and what was found. */
export class InvalidSetting extends PolicySyncError {
  override readonly name = 'InvalidSetting';
}
