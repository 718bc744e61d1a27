import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { digestOf } from '../client/digest.ts';
import { withoutValues } from '../command/import/fault.ts';
import { parsedRecord, policyFieldsSchema, type RecordInput } from '../policy/record.ts';
import { wireTime } from '../policy/time.ts';
import { MCHID, recordOf, SEED } from './fixtures.ts';
import { csvOf, Files, jsonLinesOf } from './import_fixture.ts';

const files = new Files();
after(() => files.remove());

const NUMBERS = ['A1', 'A2', 'A3', 'A4'] as const;
const fleet = (...changes: Partial<RecordInput['policy']>[]): RecordInput[] =>
  NUMBERS.map((out_insurance_no, at) => recordOf({ out_insurance_no, ...changes[at] }, { adopt: 'report' }));

/** A text that the contract takes, with what CSV has a meaning for in it. */
const visible = fc
  .oneof(
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }),
    fc.string({
      unit: fc.constantFrom('"', ',', '\n', '\r', ';', '|', '；', '[', ' ', '\ufeff', '险', 'a'),
      minLength: 1,
    }),
  )
  .filter((text) => policyFieldsSchema.shape.address.safeParse(text).success);
const TEXTS = ['car_number', 'pet_name', 'address', 'coverage_detail', 'policy_code'] as const;
const policy = fc.record(
  {
    ...Object.fromEntries(TEXTS.map((field) => [field, visible])),
    insured_name_list: fc.array(visible, { maxLength: 11 }),
    support_renewal: fc.boolean(),
    free_insurance: fc.boolean(),
    plan_id: fc.oneof(fc.maxSafeNat(), fc.bigInt({ min: 0n, max: 10n ** 24n }).map(String)),
    policy_periods: fc.array(fc.nat(), { maxLength: 5 }),
    first_period_amount: fc.maxSafeNat(),
  },
  { requiredKeys: [] },
);
const duration = fc.integer({ min: 1, max: 50 }).map((days) => `${days}d`);
const settings = fc.record(
  {
    adopt: fc.constantFrom('push' as const, 'remote' as const, 'report' as const),
    upload: fc.record({ appid: visible, openid: visible }),
    renewal: fc.record({ opens_before: duration }, { requiredKeys: [] }),
    verification: fc.record({ every: duration, on_drift: fc.constantFrom('heal' as const, 'report' as const) }),
    retry_alert_after: duration,
    reinstatement_within: duration,
    observe: fc.boolean(),
  },
  { requiredKeys: [] },
);
const record = fc.tuple(policy, settings).map(([changes, settings]) => recordOf(changes, settings));

describe('a record', () => {
  it('that is written as CSV and read again is the same, whatever its texts are', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 4 }), async (records) => {
        const read = await files.given('records.csv', csvOf(records));
        const digests = read.map((given) => 'record' in given && digestOf(parsedRecord(given.record)));
        const same = records.map(({ adopt = 'report' as const, ...rest }) =>
          digestOf(parsedRecord({ ...rest, adopt })),
        );
        assert.deepEqual(digests, same);
      }),
      { numRuns: 200 },
    );
  });

  it('is the same from lines of JSON, whatever the file is called', async () => {
    const records = fleet();
    const lines = `\ufeff\n${jsonLinesOf(records.map((one) => ({ $schema: 'record.schema.json', ...one })))}\r\n\n`;
    for (const name of ['records.jsonl', 'records', 'records.txt'])
      assert.deepEqual(
        await files.given(name, lines),
        records.map((record, at) => ({ line: at + 2, record })),
      );
    assert.equal((await files.given('records', csvOf(records))).length, records.length);
  });

  it('may say in a column of CSV that it is observed', async () => {
    const [head, row] = csvOf([recordOf({ out_insurance_no: 'A1' })]).split('\r\n');
    const cells: [string, boolean | undefined][] = [
      ['true', true],
      ['FALSE', false],
      ['', undefined],
    ];
    for (const [cell, observe] of cells) {
      const [read] = await files.given('observe.csv', `${head},observe\n${row},${cell}\n`);
      assert.equal(read && 'record' in read && read.record.observe, observe, cell);
    }
  });

  it('is only reported on where it says nothing of adopt, and of the merchant who is meant where it names none', async () => {
    const { mchid: _mchid, ...nobody } = recordOf();
    const read = await files.given(
      'records.jsonl',
      jsonLinesOf([nobody, { ...recordOf(), adopt: 'push' }]),
      '1900000009',
    );
    assert.deepEqual(
      read.map((one) => 'record' in one && [one.record.mchid, one.record.adopt]),
      [
        ['1900000009', 'report'],
        [MCHID, 'push'],
      ],
    );
    assert.deepEqual(
      (await files.checked('records.jsonl', jsonLinesOf([nobody, { ...nobody, mchid: null }]))).map(
        ({ faults }) => faults[0]?.message,
      ),
      ['mchid: expected text, found nothing', 'mchid: expected text, found nothing'],
    );
  });
});

describe('cells of CSV', () => {
  const read = async (header: string, cells: string) => {
    const [one] = await files.given('cells.csv', `out_insurance_no,${header}\nA1,${cells}\n`);
    assert.ok(one && 'record' in one);
    const { out_insurance_no: _number, ...policy } = one.record.policy;
    return { ...policy, ...(one.record.verification && { verification: one.record.verification }) };
  };

  it('mean what the field takes, and a setting has a dotted name', async () => {
    assert.deepEqual(await read('insured_name_list', '张三; 李四；王五|赵六;'), {
      insured_name_list: ['张三', '李四', '王五', '赵六'],
    });
    assert.deepEqual(await read('insured_name_list', '"[""a;b""]"'), { insured_name_list: ['a;b'] });
    assert.deepEqual(await read('policy_periods,support_renewal', '1;2,TRUE'), {
      policy_periods: [1, 2],
      support_renewal: true,
    });
    assert.deepEqual(await read('plan_id,policy_code', '12535,12535'), { plan_id: 12535, policy_code: '12535' });
    assert.deepEqual(await read('plan_id', '00712345678901234567'), { plan_id: '00712345678901234567' });
    assert.deepEqual(await read(' verification.every ,address', ' 7d , '), { verification: { every: '7d' } });
  });
});

describe('the example of docs/operating.md', () => {
  it('is good, each line of it', async () => {
    const page = await readFile(new URL('../docs/operating.md', import.meta.url), 'utf8');
    const [, example = ''] = /```csv\n([\s\S]*?)```/.exec(page) ?? [];
    assert.deepEqual(await files.checked('example.csv', example), [
      { line: 2, mchid: MCHID, out_insurance_no: 'A20260101000001', faults: [] },
    ]);
  });
});

describe('a bad line', () => {
  const faults = async (name: string, content: string) =>
    (await files.checked(name, content)).flatMap(({ line, faults }) => faults.map(({ rule }) => `${line}: ${rule}`));

  it('is named by its number and the rule that it breaks, and no other is bad for it', async () => {
    const records = fleet({}, { plan_id: -1 }, {}, { policy_type: 'POLICY_TYPE_CAR', car_number: undefined });
    assert.deepEqual(await faults('bad.csv', csvOf(records)), ['3: too-short', '5: car-number']);
    const lines = jsonLinesOf(records).split('\n');
    assert.deepEqual(await faults('bad.jsonl', ['{"mchid"', lines[0], '', '[1]', lines[3]].join('\n')), [
      '1: json',
      '4: type',
      '5: car-number',
    ]);
  });

  it('is the second of a policy; the same number of another merchant is another policy', async () => {
    const [one, two] = fleet();
    assert.ok(one && two);
    const lines = jsonLinesOf([one, { ...one, mchid: '1900000002' }, two, { ...one, adopt: 'push' }]);
    assert.deepEqual(await faults('twice.jsonl', lines), ['4: duplicate']);
  });

  it('has a stray quote, or a cell too many; rows that go over lines count by their first, and what follows is read', async () => {
    const [header = '', ...rows] = csvOf(fleet({ address: 'two\nlines' })).split(/\r\n/);
    const file = [header, rows[0], rows[1]?.replace('"A2"', '"A"2'), `${rows[2]},1`, '', rows[3]].join('\r\n');
    assert.deepEqual(await faults('stray.csv', file), ['4: csv', '5: csv']);
    assert.deepEqual(await faults('open.csv', [header, `"${rows[0]}`, rows[1], rows[2]].join('\n')), [
      '2: csv',
      '3: csv',
    ]);
  });

  it('leaves nothing in the report but the number of its policy: no value, though it stands in a wrong column', async () => {
    const MARK = 'geheim7';
    const values = [MARK, [MARK], { a: MARK }, `${MARK}T00:00`, `, found text${MARK}`];
    const field = fc.constantFrom(...Object.keys(policyFieldsSchema.shape), 'mchid', 'adopt', 'retry_alert_after');
    await fc.assert(
      fc.asyncProperty(field, fc.constantFrom(...values), async (field, value) => {
        const one = recordOf();
        const spoilt =
          Object.hasOwn(one, field) || !Object.hasOwn(policyFieldsSchema.shape, field)
            ? { ...one, [field]: value }
            : { ...one, policy: { ...one.policy, [field]: value } };
        for (const { out_insurance_no, ...told } of await files.checked('mark.jsonl', JSON.stringify(spoilt)))
          assert.ok(!JSON.stringify(told).includes(MARK), JSON.stringify(told));
      }),
    );
    const late = recordOf({ expired_time: wireTime(Date.parse('2001-01-01T00:00:00Z')) });
    assert.deepEqual((await files.checked('late.jsonl', JSON.stringify(late)))[0]?.faults, [
      { rule: 'expired-after-effective', message: 'policy.expired_time: expected a time after effective_time' },
    ]);
    assert.equal(withoutValues('policy: expected an object, found a list'), 'policy: expected an object, found a list');
  });
});

describe('a file as a whole is refused in one line, with nothing of what it says', () => {
  const [, row = ''] = csvOf(fleet()).split(/\r\n/);
  const cases: [string, string | Buffer, RegExp][] = [
    ['that is not UTF-8', Buffer.from([0x0a, 0xd5, 0xc5, 0xc8, 0xfd]), /line 2: expected text in UTF-8/],
    ['without a header', row, /line 1: expected the names of columns, found another/],
    [
      'with a column nearly right',
      'out_insurance_no,insured_names_list\n',
      /no "insured_names_list", the nearest is insured_name_list$/,
    ],
    ['with a column of another path', 'policy.address,out_insurance_no', /the nearest is address$/],
    ['with a column twice', 'out_insurance_no,address,address', /expected each column once, found address twice$/],
    ['without the number', 'address', /expected a column out_insurance_no, found none$/],
    ['with fields that nobody knows', 'out_insurance_no,extra_fields', /needs JSON lines$/],
    [
      'that has no line ends',
      'x'.repeat(1024 * 1024 + 1),
      /line 1: expected a record a line, found more than 1048576 bytes/,
    ],
  ];
  for (const [what, content, message] of cases)
    it(what, async () => {
      await assert.rejects(files.given('whole.csv', content), (error: Error) => {
        assert.match(error.message, message);
        assert.ok(!error.message.includes(SEED.address) && !error.message.includes('\n'));
        return true;
      });
    });
});
