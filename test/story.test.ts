import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { withDatabase } from '../command/story/own_database.ts';
import { makeNamespace } from './client_namespace.ts';
import { start, startWith } from './story_process.ts';

// What `npm start` refuses; its stories are told in story.long.test.ts.
describe('npm start', () => {
  it('says in one line what it does not understand, and ends with 2', async () => {
    const story = start('--twice');
    assert.equal(await story.exit, 2);
    assert.deepEqual(
      story.lines,
      ["error: unknown option '--twice'", '(Did you mean --once?)'].slice(0, story.lines.length),
    );
  });

  it('says in one line where it may have neither namespace nor database, what to do, and leaves neither', async (context) => {
    const noTemporal = startWith({ TEMPORAL_ADDRESS: '127.0.0.1:9' }, '--once');
    assert.equal(await noTemporal.exit, 1);
    assert.match(noTemporal.lines.at(-1) ?? '', /^npm start: TEMPORAL_ADDRESS: .*unset TEMPORAL_ADDRESS/);
    const temporal = await makeNamespace();
    context.after(() => temporal.stop());
    const settings = { TEMPORAL_ADDRESS: temporal.address, TEMPORAL_NAMESPACE: temporal.namespace };
    const uri = 'mongodb://demo:secret@127.0.0.1:9/production';
    const noMongo = startWith({ ...settings, MONGODB_URI: uri }, '--once');
    assert.equal(await noMongo.exit, 1);
    assert.match(noMongo.lines.at(-1) ?? '', /^npm start: MONGODB_URI: .*unset MONGODB_URI/);
    assert.ok(!noMongo.lines.join().includes('secret'));
    const [, namespace] = /^Temporal: in a namespace of this demo's own, (\S+)$/m.exec(noMongo.lines.join('\n')) ?? [];
    assert.ok(namespace, noMongo.lines.join('\n'));
    const { namespaces } = await temporal.connection.workflowService.listNamespaces({ pageSize: 1000 });
    assert.ok(!namespaces.some(({ namespaceInfo }) => namespaceInfo?.name === namespace));
  });

  it("finds the user where the user's own database knows it", () => {
    const of = (uri: string): string => withDatabase(uri, 'demo');
    assert.equal(of('mongodb://h1:1,h2:2'), 'mongodb://h1:1,h2:2/demo');
    assert.equal(of('mongodb://h1/?tls=true'), 'mongodb://h1/demo?tls=true');
    assert.equal(of('mongodb://u:p@h1/policies'), 'mongodb://u:p@h1/demo?authSource=policies');
    assert.equal(of('mongodb://u:p@h1/?tls=true'), 'mongodb://u:p@h1/demo?tls=true&authSource=admin');
    assert.equal(of('mongodb://u:p@h1/a?authSource=b'), 'mongodb://u:p@h1/demo?authSource=b');
    assert.equal(of('mongodb+srv://u:p@h1/a'), 'mongodb+srv://u:p@h1/demo');
  });
});
