#!/usr/bin/env node
// The `policy-sync` command: in a checkout from its sources, TypeScript run as it is by tsx; else as it was compiled.
import { existsSync } from 'node:fs';

if (existsSync(new URL('../command/main.ts', import.meta.url))) {
  const [cjs, esm] = await Promise.all([import('tsx/cjs/api'), import('tsx/esm/api')]);
  cjs.register();
  esm.register();
  await import('../command/main.ts');
} else {
  await import('../dist/command/main.js');
}
