import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { amendmentOf } from '../command/amendment.ts';
import { jsonOf, textOf } from '../command/input.ts';
import { sourcesIn } from '../command/open.ts';
import { utf8In } from '../policy/encoding.ts';
import { recordOf } from './fixtures.ts';

const folder = mkdtempSync(join(tmpdir(), 'input-'));
after(() => rmSync(folder, { recursive: true }));

/** 张三 as a program on Windows in China may write it. */
const GB18030 = Buffer.from([0xd5, 0xc5, 0xc8, 0xfd]);

function put(name: string, ...parts: (string | Buffer)[]): string {
  const file = join(folder, name);
  writeFileSync(file, Buffer.concat(parts.map((part) => Buffer.from(part as string))));
  return file;
}

describe('a file that is given', () => {
  it('is refused in one line that names file and line where it is not UTF-8', async () => {
    const file = put('gb18030.json', '{\n  "insured_name_list": ["', GB18030, '"]\n}');
    const refusal = `${file}, line 2: expected text in UTF-8, found other bytes: save it as UTF-8`;
    await assert.rejects(textOf(file), { message: refusal });
    await assert.rejects(amendmentOf([], file), { message: refusal });
    await assert.rejects(textOf(put('utf16.json', Buffer.from('\ufeff{"a": "张三"}', 'utf16le'))), /line 1: .*UTF-8/);
  });

  it('may begin with a byte order mark', async () => {
    assert.deepEqual(jsonOf('it', await textOf(put('bom.json', '\ufeff{"a": "张三"}'))), { a: '张三' });
  });

  it('is read as it was written, whatever text it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        assert.deepEqual(utf8In(Buffer.from(`x${text}`)), { text: `x${text}` });
      }),
    );
  });
});

describe('a file that is no JSON', () => {
  it('is refused with what it is instead, and the line, and nothing of what it says', () => {
    const whole = JSON.stringify(recordOf(), null, 2);
    for (const [content, message] of [
      ['', 'it: expected JSON, found nothing'],
      [' \n\n', 'it: expected JSON, found nothing'],
      [whole.slice(0, -10), 'it: expected JSON, found its beginning only: it ends too soon'],
      [whole.slice(0, whole.indexOf('"policy') + 4), 'it: expected JSON, found its beginning only: it ends too soon'],
      ['mchid=1', 'it: expected JSON, found something else'],
      ['{\n  "a": 1,\n  "b": 张三\n}\n', 'it, line 3: expected JSON, found something else'],
      ['{\n  "a": "张\n三"\n}', 'it, line 2: expected JSON, found something else'],
      ['{\n  "a": 1,\n}', 'it, line 3: expected JSON, found something else'],
      [`${whole}\n}`, `it, line ${whole.split('\n').length + 1}: expected JSON, found something else`],
    ] as const)
      assert.throws(() => jsonOf('it', content), { message }, content);
  });
});

describe('a file of records, one a line', () => {
  const line = JSON.stringify(recordOf());

  it('has its broken lines named by their number, and the others read', () => {
    const sources = sourcesIn('all.jsonl', `${line}\n{"mchid": "19000\n\n${line}\nnothing\n`);
    assert.deepEqual(
      sources.map(({ where }) => where),
      [1, 2, 4, 5].map((at) => `all.jsonl, line ${at}`),
    );
    assert.throws(() => jsonOf(sources[1]?.where ?? '', sources[1]?.content ?? ''), {
      message: 'all.jsonl, line 2: expected JSON, found its beginning only: it ends too soon',
    });
  });

  it('is told from one record that is laid out over lines, a broken one too', () => {
    const laidOut = JSON.stringify(recordOf(), null, 2);
    for (const content of [laidOut, laidOut.slice(0, -3), `${line}\n`])
      assert.deepEqual(
        sourcesIn('one.json', content).map(({ where }) => where),
        ['one.json'],
      );
  });
});
