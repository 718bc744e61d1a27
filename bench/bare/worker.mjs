// The least worker of the SDK's: no converters, no versions, activities that do nothing. Its bundle is made before.
import { NativeConnection, Worker } from '@temporalio/worker';

const { address, namespace, codePath, workflowQueue, callQueue, rate } = JSON.parse(process.argv[2] ?? '{}');

const connection = await NativeConnection.connect({ address });
const common = { connection, namespace, shutdownGraceTime: '5s' };
const workflows = await Worker.create({
  ...common,
  taskQueue: workflowQueue,
  workflowBundle: { codePath },
  activities: { record: async () => {} },
});
const calls = await Worker.create({
  ...common,
  taskQueue: callQueue,
  // When it began, which is when a call of ours would have arrived.
  activities: { call: async () => Date.now() },
  maxTaskQueueActivitiesPerSecond: rate,
});
const running = [workflows.run(), calls.run()];
console.error('worker is running');
await Promise.all(running);
await connection.close();
