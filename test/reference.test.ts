import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { REFUSED_BY } from '../docs/reference/make/messages.ts';
import { madeFiles } from '../docs/reference/make/pages.ts';
import { COMMAND_SCHEMAS, type CommandName, obey } from '../policy/commands.ts';
import { type Life, openedLife } from '../policy/life.ts';
import { recordSchema } from '../policy/record.ts';
import { wireTime } from '../policy/time.ts';
import { parse, RuleViolation } from '../policy/violation.ts';
import { DAY, recordOf, SEED } from './fixtures.ts';
import { mutated } from './fuzz_arbitraries.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const page = (name: string): Promise<string> => readFile(join(root, 'docs/reference', name), 'utf8');

async function sourcesOf(...rooms: string[]): Promise<string> {
  const texts: string[] = [];
  for (const room of rooms)
    for (const file of await readdir(join(root, room), { recursive: true }))
      if (file.endsWith('.ts')) texts.push(await readFile(join(root, room, file), 'utf8'));
  return texts.join('\n');
}

/** What is found by the pattern's only group, each once. */
function found(text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map(([, one]) => one ?? ''))].sort();
}

describe('the reference', () => {
  it('is as the code is: `npm run reference` changes nothing', async () => {
    for (const [path, text] of await madeFiles())
      assert.equal(await readFile(join(root, path), 'utf8'), text, `${path} is out of date: npm run reference`);
  });

  it('has every setting that the code reads, and no other', async () => {
    const rooms = ['client', 'codec', 'command', 'gateway', 'storage', 'wechatpay', 'worker'];
    const read = found(await sourcesOf(...rooms), /\b((?:POLICY_SYNC|MONGODB|WECHATPAY)_[A-Z_]+)\b/g);
    assert.deepEqual(found(await page('settings.md'), /^\| `((?!TEMPORAL)[A-Z_]+)` \|/gm), read.filter(isSetting));
  });

  it('has every error that a room for others throws, and no other', async () => {
    const rooms = ['client', 'codec', 'command', 'gateway', 'storage', 'wechatpay', 'worker'];
    const thrown = found(await sourcesOf(...rooms), /export class (\w+) extends \w*(?:Error)\b/g);
    const keys = found(await sourcesOf('sandbox'), /export class (\w+Error) extends/g);
    const told = found(await page('errors.md'), /^\| `([A-Z]\w+[a-z])` \|/gm);
    assert.deepEqual(told, [...thrown, ...keys].filter((name) => !INNER.has(name)).sort());
  });

  it('has every path of /_sandbox, and no other', async () => {
    const control = await readFile(join(root, 'sandbox/control.ts'), 'utf8');
    const served = [...control.matchAll(/app\.(get|put|patch|post|delete)(?:<.*>)?\(\s*'([^']+)'/g)].map(
      ([, method = '', path = '']) => `${method.toUpperCase()} /_sandbox${path.replace(/:(\w+)/, '{$1}')}`,
    );
    assert.deepEqual(found(await page('sandbox.md'), /^\| `([A-Z]+ \/_sandbox[^`]*)` \|/gm), served.sort());
  });
});

/** Caught where they are thrown: nobody else meets them. */
const INNER = new Set(['Cut', 'Problem', 'RuleViolation']);

/** Names of constants look alike. */
function isSetting(name: string): boolean {
  // The path of a file with a secret is told of where the secret is.
  if (name.endsWith('_FILE')) return false;
  return !/^(MONGODB|WECHATPAY)_/.test(name) || name === 'MONGODB_URI' || name === 'WECHATPAY_MERCHANTS';
}

describe('the rules that refuse a message', () => {
  const NOW = Date.parse('2026-01-01T00:00:00Z');
  const opened = openedLife(parse(recordSchema, recordOf({}, {}, { now: NOW })), NOW);
  const approved = obey(opened, 'approve', { policy_code: 'C1' }, NOW);
  const lives: readonly Life[] = [
    opened,
    approved,
    obey(approved, 'cancel', {}, NOW),
    obey(opened, 'decline', { reason: 'r' }, NOW),
    openedLife(
      parse(recordSchema, recordOf({ coverage_term_type: 'COVERAGE_TERM_TYPE_LIFETIME' }, {}, { now: NOW })),
      NOW,
    ),
  ];
  const { out_insurance_no: _no, policy_state: _state, ...fields } = SEED;
  const messages: { [Name in CommandName]: object } = {
    approve: { policy_code: 'C1', effective_time: wireTime(NOW), expired_time: wireTime(NOW + 90 * DAY) },
    decline: { reason: 'r' },
    cancel: { at: wireTime(NOW + DAY) },
    withdraw: {},
    amend: { ...fields, policy_type: 'POLICY_TYPE_CAR', start_renewal_time: wireTime(NOW) },
    renew: { expired_time: wireTime(NOW + 700 * DAY), window: { start_renewal_time: wireTime(NOW) } },
    reinstate: { reason: 'r', expired_time: wireTime(NOW + 90 * DAY) },
    hold: { reason: 'r' },
    unhold: {},
    observe: { on: true },
  };
  const names = Object.keys(COMMAND_SCHEMAS) as CommandName[];

  it('are those that its page names, or of the shape of a message', async () => {
    const text = await page('messages.md');
    const shape = found(
      text.slice(text.indexOf('its shape may be wrong'), text.indexOf('A payload may')),
      /`([\w-]+)`/g,
    );
    assert.ok(shape.includes('type'));
    const message = fc.constantFrom(...names).chain((name) =>
      fc
        .oneof(
          fc.constant(messages[name]),
          mutated(messages[name]).map((it) => it.value),
        )
        .map((input) => [name, input] as const),
    );
    fc.assert(
      fc.property(fc.constantFrom(...lives), message, fc.constantFrom(0, 800 * DAY), (life, [name, input], later) => {
        try {
          obey(life, name, input, NOW + later);
        } catch (error) {
          if (!(error instanceof RuleViolation)) throw error;
          const told: readonly string[] = [...REFUSED_BY[name], ...shape];
          assert.ok(told.includes(error.rule), `${name} was refused by ${error.rule}`);
        }
      }),
      { numRuns: 2000, endOnFailure: true },
    );
  });
});
