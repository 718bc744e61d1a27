// npm run test:unit: the tests of rules that need no server, in this one process; with arguments, only the files whose
// names contain one of them. `npm test` runs these files too.
import './assert_ok.mjs';

const FILES = [
  'bench',
  'client_arguments',
  'client_digest',
  'codec',
  'codec_vectors',
  'compatibility',
  'design',
  'faults',
  'import_lines',
  'import_work',
  'inbox',
  'journal',
  'policy_commands',
  'policy_differences',
  'policy_record',
  'policy_windows',
  'reconciler_accept',
  'reconciler_drift',
  'reconciler_fields',
  'reconciler_first_answer',
  'reconciler_loop',
  'reconciler_refusals',
  'reconciler_verification',
  'rooms',
  'rules',
  'threats',
  'worker_settings',
];

const wanted = process.argv.slice(2);
const chosen = FILES.filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)));
if (chosen.length === 0) throw new Error(`no unit test is named like ${wanted.join(' or ')}: ${FILES.join(', ')}`);
for (const file of chosen) await import(`./${file}.test.ts`);
