import { type WorkflowInterceptors, workflowInfo } from '@temporalio/workflow';
import { getActivator } from '@temporalio/workflow/lib/global-attributes.js';
import { listen } from './handlers.ts';
import { WORKFLOW_TYPE } from './messages.ts';
import { Parts } from './parts.ts';

/** By the SDK's object of each run: no run is kept by it, and none finds another's. */
const listening = new WeakMap<object, Parts>();

/**
 * Found by the SDK under this name, and called before it hands over the first messages. Handlers that the workflow registers itself come
 * too late for messages of its first task: the SDK keeps those back by kind, updates and signals apart, and their order is lost. A
 * surrender that an amendment with a later version came before would be superseded.
 */
export const interceptors = (): WorkflowInterceptors => {
  if (workflowInfo().workflowType === WORKFLOW_TYPE) {
    const parts = new Parts();
    listen(parts);
    listening.set(getActivator(), parts);
  }
  return {};
};

/** What the handlers of this run act on. */
export function partsOfRun(): Parts {
  const parts = listening.get(getActivator());
  if (!parts) throw new Error('the bundle lacks workflows/listening.ts among its interceptors');
  return parts;
}
