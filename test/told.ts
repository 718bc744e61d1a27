import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { BSON, MongoClient } from 'mongodb';

/**
 * Writes into `told/` of the folder what the servers hold, as they tell it: a database may compress what it writes, and
 * then no search finds it there.
 *
 * @param names of databases and namespaces; all by default
 */
export async function told(
  directory: string,
  { temporal, mongo }: { temporal: { address: string }; mongo: { uri: string } },
  names?: readonly string[],
): Promise<void> {
  const into = join(directory, 'told');
  await mkdir(into);
  const mongoClient = await MongoClient.connect(mongo.uri);
  try {
    const { databases } = await mongoClient.db().admin().listDatabases();
    for (const { name } of databases.filter(({ name }) => names?.includes(name) ?? true))
      for (const collection of await mongoClient.db(name).collections()) {
        const documents = BSON.EJSON.stringify(await collection.find().toArray());
        await writeFile(join(into, `${name}.${collection.collectionName}.json`), documents);
      }
  } finally {
    await mongoClient.close();
  }
  const connection = await Connection.connect({ address: temporal.address });
  try {
    const { namespaces } = await connection.workflowService.listNamespaces({});
    for (const { namespaceInfo } of namespaces ?? []) {
      const namespace = namespaceInfo?.name ?? '';
      if (names && !names.includes(namespace)) continue;
      const client = new Client({ connection, namespace });
      for await (const { workflowId, runId } of client.workflow.list()) {
        const handle = client.workflow.getHandle(workflowId, runId);
        const { raw } = await handle.describe();
        const file = join(into, `${namespace}.${runId}.json`);
        await writeFile(file, JSON.stringify({ described: raw, history: await handle.fetchHistory() }));
      }
    }
  } finally {
    await connection.close();
  }
}
