// npm run reference: makes the tables of docs/reference and the files of schemas/ anew, from schemas, types and commands.
import { writeFile } from 'node:fs/promises';
import { madeFiles } from './pages.ts';

for (const [path, text] of await madeFiles()) await writeFile(new URL(`../../../${path}`, import.meta.url), text);
