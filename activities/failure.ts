import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import { FORMAT } from './inputs.ts';

const NEWER_WORKER_MS = 10_000;

/**
 * Nothing to worry about: the server tries again after `wait` ms. BENIGN, so that it is neither logged nor counted as
 * an error. `message` holds nothing personal: people read it as the last failure of a pending call.
 */
export function later(type: string, message: string, wait: number): ApplicationFailure {
  return ApplicationFailure.create({
    type,
    message: `${type}: ${message}`,
    nextRetryDelay: Math.max(1, Math.round(wait)),
    category: ApplicationFailureCategory.BENIGN,
  });
}

/** An input of a newer format waits for a worker that knows it. */
export function checkFormat(format: number): void {
  if (format <= FORMAT) return;
  throw later('format', `this worker knows format ${FORMAT}, the input has ${format}`, NEWER_WORKER_MS);
}
