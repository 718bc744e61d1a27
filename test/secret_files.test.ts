import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { makeKey } from '../codec/keys.ts';
import { takeSecretFiles } from '../command/secret_files.ts';
import { policySync } from './command_process.ts';

const folder = mkdtempSync(join(tmpdir(), 'policy-sync-secret-files-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

describe('a secret in a file', () => {
  const key = makeKey('k1');

  it('is as good as one in the environment, without the line end that editors leave', () => {
    const env: NodeJS.ProcessEnv = { MONGODB_URI_FILE: file('uri', 'mongodb://127.0.0.1/x\n'), POLICY_SYNC_KEYS: key };
    takeSecretFiles(env);
    assert.deepEqual(env, { MONGODB_URI: 'mongodb://127.0.0.1/x', POLICY_SYNC_KEYS: key });
  });

  it('that is missing or empty, or stands beside the setting, is told in one line without the secret', async () => {
    for (const [env, fault] of [
      [
        { POLICY_SYNC_KEYS_FILE: join(folder, 'none') },
        /^POLICY_SYNC_KEYS_FILE: expected .*, found ENOENT at \S+none$/,
      ],
      [{ POLICY_SYNC_KEYS_FILE: file('empty', '\n') }, /^POLICY_SYNC_KEYS_FILE: expected .*, found an empty one$/],
      [
        { POLICY_SYNC_KEYS_FILE: file('key', key), POLICY_SYNC_KEYS: key },
        /^POLICY_SYNC_KEYS: expected this or POLICY_SYNC_KEYS_FILE, found both$/,
      ],
    ] as const)
      assert.throws(() => takeSecretFiles({ ...env }), { message: fault });
  });

  it('is read by the command', async () => {
    const env = { POLICY_SYNC_KEYS_FILE: join(folder, 'none') };
    const { code, stderr } = await policySync(['codec-server'], env);
    assert.deepEqual([code, stderr.split(': ').slice(0, 2)], [2, ['policy-sync', 'POLICY_SYNC_KEYS_FILE']]);
  });
});
