import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import { wireTime } from '../policy/time.ts';
import { FORMAT } from './types/inputs.ts';

const NEWER_WORKER_MS = 10_000;

/**
 * Nothing to worry about: the server tries again after `wait` ms. BENIGN, so that it is neither logged nor counted as
 * an error. `message` holds nothing personal: people read it as the last failure of a pending call.
 */
export function later(type: string, message: string, wait: number): ApplicationFailure {
  return benign(type, `${type}: ${message}`, wait);
}

/**
 * A verification that found nothing new: looked at again after `wait` ms. Temporal shows it as the failure of an attempt, so
 * that of a policy in step reads as health: "OK: verified at …, next at …". It is not sealed (`codec/failure_converter.ts`,
 * which knows its shape): it holds words of ours and times.
 * @param sync how the policy stands
 * @param recorded whether MongoDB knows
 */
export function quiet(
  what: 'confirmed' | 'verified',
  { sync, at, recorded }: { sync: string; at: number; recorded: boolean },
  wait: number,
): ApplicationFailure {
  const standing = `${sync === 'SYNCED' ? 'OK' : sync}${recorded ? '' : ', not recorded'}`;
  return benign(what, `${standing}: verified at ${wireTime(at)}, next at ${wireTime(Date.now() + wait)}`, wait);
}

function benign(type: string, message: string, wait: number): ApplicationFailure {
  const failure = ApplicationFailure.create({
    type,
    message,
    nextRetryDelay: Math.max(1, Math.round(wait)),
    category: ApplicationFailureCategory.BENIGN,
  });
  // Where it was made tells people in the UI nothing.
  failure.stack = '';
  return failure;
}

/** An input of a newer format waits for a worker that knows it. */
export function checkFormat(format: number): void {
  if (format <= FORMAT) return;
  throw later('format', `this worker knows format ${FORMAT}, the input has ${format}`, NEWER_WORKER_MS);
}
