import { CancellationScope, condition } from '@temporalio/workflow';

/**
 * Runs a call until it ends, or until `interrupted` holds; then it is cancelled, and its real end awaited all the same.
 * Settles as the call really ended.
 */
export async function interruptible<T>(run: () => Promise<T>, interrupted: () => boolean): Promise<T> {
  const scope = new CancellationScope({ cancellable: true });
  let over = false;
  const call = scope.run(run).finally(() => {
    over = true;
  });
  // The rejection is the caller's, but only once it awaits the call below.
  call.catch(() => {});
  await condition(() => over || interrupted());
  if (!over) scope.cancel();
  return await call;
}
