import { cancellationSignal, heartbeat } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { checkFormat } from '../activities/failure.ts';
import type { Log } from '../activities/log.ts';
import type { AuditActivities } from '../activities/types/activities.ts';
import { type AuditPlace, audit, OtherNamespace } from './audit.ts';

/** The audit as an activity of the queue `policy-sync`, for the schedule; it says what it found in the log. */
export function auditActivities({ log, ...place }: AuditPlace & { log: Log }): AuditActivities {
  return {
    async audit({ format, fix }) {
      checkFormat(format);
      const signal = cancellationSignal();
      const progress = (so: object): void => {
        signal.throwIfAborted();
        heartbeat(so);
      };
      const { findings, ...result } = await audit(place, {
        fix,
        progress: ({ records, workflows }) => progress({ records, workflows }),
      }).catch((error: unknown) => {
        if (!(error instanceof OtherNamespace)) throw error;
        log.error({}, `audit: ${error.message}`);
        throw ApplicationFailure.nonRetryable(error.message, error.name);
      });
      if (findings.length === 0)
        log.info(result, 'audit: every record has its workflow, and every workflow its record');
      else log.error(result, 'audit: findings are left that ask for a person: policy-sync list --attention');
      return result;
    },
  };
}
