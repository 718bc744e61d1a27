import { ApplicationFailure, condition, defineUpdate, setHandler } from '@temporalio/workflow';

/** Instead of a policy: one that WeChat Pay never answers, and that is being stopped without ever coming to its end. */
export async function policyLifecycle(): Promise<void> {
  const never = (): Promise<void> => condition(() => false);
  setHandler(defineUpdate<void, [unknown]>('verify'), never);
  setHandler(defineUpdate<void, [unknown]>('resume'), () => {
    throw ApplicationFailure.create({ type: 'stopped', message: 'it is being stopped' });
  });
  await never();
}
