import { readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';

export interface Closure {
  /** Compiled files below the folder, with their types and source maps. */
  files: string[];
  /** npm packages that they import. */
  packages: string[];
}

/** All that the modules `entries` of `folder` load, and what their types refer to. */
export async function closureOf(folder: string, entries: readonly string[]): Promise<Closure> {
  const files = new Set<string>();
  const packages = new Set<string>();
  const waiting = entries.flatMap((entry) => [`${entry}.js`, `${entry}.d.ts`]);
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (files.has(file)) continue;
    files.add(file);
    for (const name of importsIn(await readFile(join(folder, file), 'utf8'))) {
      if (name.startsWith('node:')) continue;
      if (!name.startsWith('.')) packages.add(packageOf(name));
      else {
        const module = posix.join(posix.dirname(file), name).replace(/\.[jt]s$/, '');
        // What is imported for its types alone is still a module that somebody may load by its types.
        waiting.push(`${module}.d.ts`, ...(file.endsWith('.js') ? [`${module}.js`] : []));
      }
    }
    if (file.endsWith('.js')) files.add(`${file}.map`);
  }
  return { files: [...files].sort(), packages: [...packages].sort() };
}

function importsIn(text: string): string[] {
  const found = text.matchAll(/^(?:import|export)\s[^;]*?\bfrom '([^']+)'|\bimport\(["']([^"']+)["']\)/gm);
  return [...found].map(([, fixed, dynamic]) => fixed ?? dynamic ?? '');
}

/** `@temporalio/common` of `@temporalio/common/lib/…`. */
function packageOf(name: string): string {
  return name.split('/', name.startsWith('@') ? 2 : 1).join('/');
}
