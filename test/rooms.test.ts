import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What each room may import of the others: the table of docs/design.md. A name with a slash is one file. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  policy: [],
  tracing: [],
  wechatpay: ['policy', 'tracing'],
  codec: ['policy'],
  storage: ['policy', 'codec'],
  workflows: ['policy', 'activities/types', 'workflows/reconciler'],
  'workflows/reconciler': ['policy', 'activities/types', 'workflows/messages.ts'],
  activities: ['policy', 'wechatpay', 'storage', 'activities/types'],
  'activities/types': ['policy'],
  worker: [
    'policy',
    'wechatpay',
    'codec',
    'storage',
    'workflows',
    'activities',
    'activities/types',
    'client/fleet.ts',
    'tracing',
  ],
  client: ['policy', 'codec', 'workflows/messages.ts', 'tracing'],
  command: [
    'policy',
    'wechatpay',
    'codec',
    'storage',
    'workflows',
    'activities',
    'worker',
    'client',
    'gateway',
    'sandbox',
    'embedded',
    'tracing',
  ],
  gateway: ['policy', 'client', 'wechatpay', 'storage', 'workflows/plan.ts', 'tracing'],
  sandbox: ['policy', 'wechatpay'],
  embedded: [],
};

/** Packages that a room of pure rules may use. */
const PACKAGES: Record<string, readonly string[]> = {
  policy: ['zod'],
  workflows: [
    '@temporalio/workflow',
    '@temporalio/common',
    // Which markers a replay has (known_patches.ts).
    '@temporalio/workflow/lib/global-attributes.js',
  ],
  'workflows/reconciler': [],
};

function roomOf(file: string): string | undefined {
  const rooms = Object.keys(MAY_IMPORT).sort((a, b) => b.length - a.length);
  return rooms.find((room) => file.startsWith(`${room}/`));
}

async function sources(room: string): Promise<string[]> {
  const files = await readdir(join(root, room), { recursive: true });
  return files.map((file) => join(room, file)).filter((file) => /\.m?[jt]s$/.test(file) && roomOf(file) === room);
}

async function importsOf(file: string): Promise<string[]> {
  const text = await readFile(join(root, file), 'utf8');
  const found = text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([^']+)'/g);
  return [...found].map(([, name]) => name ?? '');
}

function isAllowed(room: string, file: string, name: string): boolean {
  if (!name.startsWith('.')) return PACKAGES[room]?.includes(name) ?? true;
  const target = relative(root, join(root, dirname(file), name));
  const other = roomOf(target);
  if (other === room) return true;
  return MAY_IMPORT[room]?.some((allowed) => allowed === target || allowed === other) ?? false;
}

describe('rooms', () => {
  for (const room of Object.keys(MAY_IMPORT))
    it(`${room} imports what its row of the table allows, and nothing else`, async () => {
      const files = await sources(room);
      assert.ok(files.length > 0, `no source in ${room}`);
      const refused: string[] = [];
      for (const file of files)
        for (const name of await importsOf(file)) if (!isAllowed(room, file, name)) refused.push(`${file}: ${name}`);
      assert.deepEqual(refused, []);
    });

  it('have no file that imports itself by way of others, not even their types', async () => {
    const imported = new Map<string, string[]>();
    for (const room of Object.keys(MAY_IMPORT))
      for (const file of await sources(room)) {
        const names = (await importsOf(file)).filter((name) => name.startsWith('.'));
        imported.set(
          file,
          names.map((name) => join(dirname(file), name)),
        );
      }
    /** Files from which no circle is reached. */
    const clear = new Set<string>();
    const circleFrom = (file: string, path: readonly string[]): readonly string[] | undefined => {
      if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
      if (clear.has(file)) return undefined;
      for (const next of imported.get(file) ?? []) {
        const circle = circleFrom(next, [...path, file]);
        if (circle) return circle;
      }
      clear.add(file);
      return undefined;
    };
    const circles = [...imported.keys()].map((file) => circleFrom(file, [])).filter((circle) => circle !== undefined);
    assert.deepEqual([...new Set(circles.map((circle) => circle.join(' → ')))], []);
  });
});
