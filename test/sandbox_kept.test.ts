import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { startSandbox } from '../sandbox/server.ts';
import { REGULAR, startBench } from './sandbox_calls.ts';

const scratch = mkdtempSync(join(tmpdir(), 'policy-sync-kept-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

describe('a sandbox with a file for its policies', () => {
  test('holds after a restart what it held: what was put, updated, deleted', async () => {
    const policies = join(scratch, 'policies.json');
    const first = await startBench({ policies });
    await first.put(REGULAR);
    await first.control('PUT', '/policies/Gone1', { policy_state: 'POLICY_STATE_ISSUING' });
    await first.control('DELETE', '/policies/Gone1');
    await first.patch('P1', { address: 'here' });
    await first.close();
    const again = await startBench({ policies });
    assert.deepEqual((await again.control('GET', '/policies')).json, [{ ...REGULAR, address: 'here' }]);
    await again.close();
  });

  test('lets nobody but its owner read the file, whatever a killed one left, and leaves nothing beside it', async () => {
    const folder = mkdtempSync(join(scratch, 'f-'));
    writeFileSync(join(folder, 'policies.json.part'), '[', { mode: 0o644 });
    const bench = await startBench({ policies: join(folder, 'policies.json') });
    await bench.put(REGULAR);
    await bench.close();
    assert.deepEqual(readdirSync(folder), ['policies.json']);
    assert.equal(statSync(join(folder, 'policies.json')).mode & 0o777, 0o600);
  });

  for (const content of ['{"a":1}', '[{"out_insu'])
    test(`refuses ${content} in one line, and leaves it as it is`, async () => {
      const policies = join(scratch, 'other.json');
      writeFileSync(policies, content);
      await assert.rejects(startSandbox({ keys: join(scratch, 'keys'), policies }), {
        message: `${policies}: expected the policies of a sandbox, found something else: move it away`,
      });
      assert.equal(statSync(policies).size, content.length);
    });
});
