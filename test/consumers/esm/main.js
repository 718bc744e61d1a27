// Plain JavaScript that opens a policy by the client's own package: what a record breaks is refused before it is sent,
// and a server that is not there is named in one line.
import assert from 'node:assert/strict';
import { existsSync, renameSync } from 'node:fs';
import { createRequire } from 'node:module';

// zod takes a third of the time of the SDK's client to load: the library must come without.
renameSync('node_modules/zod', 'node_modules/zod-away');
const { connectPolicyClient, PolicyRefused, ServerUnreachable, UnknownPolicy } = await import(
  'wechatpay-policy-sync-client'
).finally(() => renameSync('node_modules/zod-away', 'node_modules/zod'));
const { recordSchema } = await import('wechatpay-policy-sync-client/policy');

assert.ok(!existsSync('node_modules/@temporalio/core-bridge'), 'no native worker is installed');
const policies = await connectPolicyClient({ env: { TEMPORAL_ADDRESS: process.env.TEMPORAL_ADDRESS } });
await assert.rejects(policies.openPolicy({ mchid: '1' }), PolicyRefused);
const nobody = { mchid: '1900000001', out_insurance_no: 'NOBODYKNOWSTHIS' };
await assert.rejects(policies.status(nobody), UnknownPolicy);
await policies.close();
await assert.rejects(
  connectPolicyClient({ env: { TEMPORAL_ADDRESS: '127.0.0.1:9' }, connectTimeout: 500 }),
  (error) => {
    assert.ok(error instanceof ServerUnreachable);
    assert.match(error.message, /^[^\n]*127\.0\.0\.1:9[^\n]*$/);
    return true;
  },
);
assert.equal(recordSchema.safeParse({}).success, false);
// CommonJS can require it, too.
assert.equal(typeof createRequire(import.meta.url)('wechatpay-policy-sync-client').connectPolicyClient, 'function');
