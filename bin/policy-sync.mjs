#!/usr/bin/env node
// The `policy-sync` command: TypeScript is run as it is, by tsx.
import { register as registerRequire } from 'tsx/cjs/api';
import { register as registerImport } from 'tsx/esm/api';

registerRequire();
registerImport();
await import('../command/main.ts');
