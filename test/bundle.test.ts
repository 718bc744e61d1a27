import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BUNDLE_KINDS, buildWorkflows } from '../worker/bundle.ts';
import { keptBundle } from '../worker/bundle_cache.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

describe('the bundle of the workflows', () => {
  for (const [sealed, allowPlain] of [
    [false, false],
    [true, false],
    [true, true],
  ] as const)
    it(`names no folder of this machine (sealed: ${sealed}, in the clear too: ${allowPlain})`, async () => {
      const { bundle } = await buildWorkflows(sealed, allowPlain);
      assert.ok('code' in bundle);
      const [code = '', map = ''] = bundle.code.split(/^\/\/# sourceMappingURL=.*base64,/m);
      const modules = [...code.matchAll(/^\/\*\*\*\/ "([^"]+)"/gm)].map(([, name]) => name ?? '');
      assert.ok(modules.includes('./workflows/policy_lifecycle.ts'), 'the workflow is a module of it');
      assert.deepEqual(
        modules.filter((name) => !/^[.?]/.test(name) || name.startsWith('..')),
        [],
      );
      assert.ok(!code.includes(root), 'the code has no path of this machine');
      assert.ok(!Buffer.from(map, 'base64').toString().includes(root), 'nor has the source map');
    });

  it('has another version for each way to take payloads', async () => {
    const versions = [await buildWorkflows(false), await buildWorkflows(true), await buildWorkflows(true, true)];
    assert.equal(new Set(versions.map(({ buildId }) => buildId)).size, BUNDLE_KINDS.length);
  });
});

describe('the cache of bundles', () => {
  const usual = process.env.XDG_CACHE_HOME;
  let folder: string;
  let checkout: string;
  let made = 0;
  const make = async (): Promise<string> => `bundle ${++made}`;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'policy-sync-bundle-'));
    process.env.XDG_CACHE_HOME = join(folder, 'cache');
    checkout = join(folder, 'checkout');
    for (const part of ['workflows', 'policy', 'codec', 'activities/types', 'worker/bundle.ts'])
      await cp(join(root, part), join(checkout, part), { recursive: true });
    await mkdir(join(checkout, 'node_modules'));
    await writeFile(join(checkout, 'node_modules', '.package-lock.json'), '{}');
  });
  after(async () => {
    if (usual === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = usual;
    await rm(folder, { recursive: true });
  });

  it('makes a bundle once, and another for each kind', async () => {
    assert.equal(await keptBundle(checkout, 'plain', make), 'bundle 1');
    assert.equal(await keptBundle(checkout, 'plain', make), 'bundle 1');
    assert.equal(await keptBundle(checkout, 'sealed', make), 'bundle 2');
  });

  for (const part of [
    'workflows/reconciler/position.ts',
    'policy/life.ts',
    'codec/payload_converter.ts',
    'activities/types/inputs.ts',
    'worker/bundle.ts',
    'node_modules/.package-lock.json',
  ])
    it(`makes another when ${part} has changed`, async () => {
      const old = await keptBundle(checkout, 'plain', make);
      await writeFile(join(checkout, part), '// changed');
      assert.notEqual(await keptBundle(checkout, 'plain', make), old);
    });

  it('keeps nothing of a bundle that could not be made', async () => {
    await writeFile(join(checkout, 'workflows', 'audit.ts'), '// broken');
    const kept = await readdir(join(folder, 'cache', 'wechatpay-policy-sync', 'workflows'));
    await assert.rejects(
      keptBundle(checkout, 'plain', () => Promise.reject(new Error('no bundle'))),
      /no bundle/,
    );
    assert.deepEqual(await readdir(join(folder, 'cache', 'wechatpay-policy-sync', 'workflows')), kept);
  });
});
