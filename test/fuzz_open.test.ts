import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { makeNamespace, type Namespace } from './client_namespace.ts';
import { CommandLine } from './command_process.ts';
import { recordOf, SEED } from './fixtures.ts';
import { nested } from './fuzz_arbitraries.ts';

let temporal: Namespace;
const line = new CommandLine();
before(async () => {
  temporal = await makeNamespace();
});
after(async () => {
  line.end();
  await temporal?.stop();
});

const RECORD = JSON.stringify(recordOf());
const NO_JSON = /standard input: expected JSON/;

const INPUTS: readonly (readonly [string, string, RegExp])[] = [
  ['broken JSON with a person in it', RECORD.slice(0, -5), NO_JSON],
  ['a list that never ends', '['.repeat(200_000), NO_JSON],
  ['lists within lists', nested(50_000), /expected an object, found a list/],
  ['lists within lists in a field', RECORD.replace('{', `{"a":${nested(50_000)},`), /nests at most 32 deep/],
  ['a member that is a prototype', `{"__proto__":{"polluted":1},${RECORD.slice(1)}`, /__proto__/],
  ['two million characters', RECORD.replace(SEED.address, 'x'.repeat(2_000_000)), /at most 16384 characters/],
  ['bytes that are no text', '\xff\xfe{\0}\0', NO_JSON],
];

describe('open: what is no record is one line on standard error, without a stack and without a person', {
  concurrency: 2,
}, () => {
  for (const [what, input, says] of INPUTS)
    it(what, async () => {
      const { code, stdout, stderr } = await line.run(['open', '-'], temporal.env, input);
      assert.equal(code, 1, stderr);
      assert.equal(stdout, '');
      assert.match(stderr, /^policy-sync: [^\n]{1,500}\n$/);
      assert.match(stderr, says);
      assert.doesNotMatch(stderr, /\bat .*:\d+:\d+|张三|晨晖路/);
    });
});
