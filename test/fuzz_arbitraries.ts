// What the fuzzing tests are fed with. All of it is JSON text, for that is how everything comes in: text can say what no
// value can (a member twice, 1e400), and nests deeper than a program could write or print it.
import fc from 'fast-check';

/** JSON text, printed shortened where a property fails. */
export class Json {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /** What the text stands for; `__proto__` is a member like any other. */
  get value(): unknown {
    return JSON.parse(this.text);
  }

  [fc.toStringMethod](): string {
    return this.text.length > 2000 ? `${this.text.slice(0, 2000)}… (${this.text.length} characters)` : this.text;
  }
}

const json = (value: unknown): string => JSON.stringify(value);

/** `[[[…]]]`, so many of them. */
export function nested(depth: number): string {
  return '['.repeat(depth) + ']'.repeat(depth);
}

function listOf(count: number, item: (at: number) => string): string {
  return `[${Array.from({ length: count }, (_, at) => item(at)).join()}]`;
}

/** Texts that are right nowhere, or only just: surrogates in halves, NUL, marks that turn the reading direction. */
export const STRANGE_TEXTS: readonly string[] = [
  '',
  ' ',
  '\0',
  'a\0b',
  '\ud800',
  '张\udc00三',
  '\u202e三张\u202c',
  '\u200f\ufeff',
  'two\nlines\r\n',
  '\u2028\u2029\u0085',
  '\u001b[31mred',
  '😀'.repeat(51),
  '𠮷',
  '\u0301\u0301',
  '12535',
  'null',
  '[object Object]',
  '$where',
  'sealed:v1:k:AAAA',
  'plain:v1:{}',
  '<script>',
  'A'.repeat(33),
];

/** Times that are none, or the last that are. */
export const STRANGE_TIMES: readonly string[] = [
  '2025-02-30T00:00:00+08:00',
  '2024-02-29T00:00:00+08:00',
  '2025-13-01T00:00:00Z',
  '2025-01-01T00:00:00+25:00',
  '2025-01-01T00:00:00+24:00',
  '2025-01-01T00:00:00-23:59',
  '2025-01-01T00:00:00+08:60',
  '2016-12-31T23:59:60Z',
  '2025-01-01T24:00:00Z',
  '2025-01-01T00:00:00',
  '2025-01-01',
  '2025-01-01T00:00:00.999999999Z',
  '2025-01-01t00:00:00z',
  '0000-01-01T00:00:00+14:00',
  '0001-01-01T00:00:00Z',
  '1899-12-31T23:59:59+08:00',
  '9999-12-31T23:59:59+08:00',
  '9999-12-31T23:59:59Z',
  '+010000-01-01T00:00:00Z',
  '-000001-01-01T00:00:00Z',
];

/** Values of other types than any field has, and those that other code stumbles over. */
export const STRANGE_VALUES: readonly string[] = [
  ...[
    'null',
    'true',
    'false',
    '0',
    '-0',
    '-1',
    '0.5',
    '12535',
    '9007199254740992',
    '1.8e308',
    '1e400',
    '-1e400',
    '5e-324',
  ],
  ...['{}', '[]', '[null]', '[[]]', '[{}]', '[""]', '["王五",1]', '[1,1]', '[-1]', '[1e400]'],
  ...['{"toString":null}', '[{"toString":1,"valueOf":1}]', '{"__proto__":{"polluted":1}}', '[{"__proto__":[]}]'],
  ...['{"constructor":{"prototype":{"polluted":1}}}', '{"length":5}', '{"$ne":null}', '{"toJSON":1}', '{"then":1}'],
  ...[nested(20), nested(40), listOf(20, () => 'true')],
];

/** Values that only size makes strange. */
export const HUGE_VALUES: readonly string[] = [
  nested(10_000),
  `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`,
  listOf(100_000, () => '"x"'),
  listOf(100_000, String),
  `{${Array.from({ length: 20_000 }, (_, at) => `"key${at}":${at}`).join()}}`,
  json('x'.repeat(500_000)),
  json('险'.repeat(100_000)),
  '9'.repeat(100_000),
];

/** Names of members that objects have already, or that stand for something elsewhere. */
export const STRANGE_NAMES: readonly string[] = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'valueOf',
  'hasOwnProperty',
  'toJSON',
  'then',
  'length',
  '',
  ' ',
  '\0',
  '\ud800',
  'a.b',
  '$set',
  '%00',
  '0',
  '-1',
  'a_field_of_tomorrow',
  'two\nlines\u202e',
  'k'.repeat(10_000),
];

const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.string({ unit: 'grapheme', maxLength: 60 }));
const time = fc
  .date({ noInvalidDate: true })
  .chain((at) => fc.constantFrom('Z', '+08:00', '-11:30').map((offset) => at.toISOString().replace(/Z$/, offset)));

/** JSON of any kind. */
const anyText: fc.Arbitrary<string> = fc.oneof(
  { arbitrary: fc.constantFrom(...STRANGE_VALUES), weight: 4 },
  { arbitrary: fc.constantFrom(...HUGE_VALUES), weight: 1 },
  { arbitrary: fc.constantFrom(...STRANGE_TEXTS).map(json), weight: 3 },
  { arbitrary: fc.constantFrom(...STRANGE_TIMES).map(json), weight: 2 },
  { arbitrary: text.map(json), weight: 2 },
  { arbitrary: time.map(json), weight: 1 },
  { arbitrary: fc.double().map(json), weight: 1 },
  { arbitrary: fc.integer({ min: -100, max: 100_000 }).map(json), weight: 1 },
  { arbitrary: fc.json({ maxDepth: 4 }), weight: 2 },
);
export const anyJson: fc.Arbitrary<Json> = anyText.map((it) => new Json(it));

/** What is done to one member: its text may be replaced, changed, given twice, or taken away. */
type Fault = (text: string | undefined) => string[];

const fault: fc.Arbitrary<Fault> = fc.oneof(
  { arbitrary: fc.constant<Fault>(() => []), weight: 1 },
  { arbitrary: fc.constant<Fault>((given = 'null') => [`[${given}]`]), weight: 1 },
  {
    arbitrary: anyText.map(
      (put): Fault =>
        () => [put],
    ),
    weight: 6,
  },
  {
    arbitrary: anyText.map(
      (put): Fault =>
        (given = '1') => [given, put],
    ),
    weight: 1,
  },
  {
    arbitrary: fc.constantFrom(...STRANGE_TEXTS, '😀').map(
      (spoil): Fault =>
        (given = '""') => [json(`${given.replace(/^"|"$/g, '')}${spoil}`)],
    ),
    weight: 2,
  },
);

type Members = readonly (readonly [name: string, text: string])[];

const written = (members: Members): string => `{${members.map(([name, it]) => `${json(name)}:${it}`).join()}}`;

function spoilt(members: Members, name: string, it: Fault): Members {
  const given = members.find(([other]) => other === name)?.[1];
  const put = it(given).map((changed) => [name, changed] as const);
  return [...members.filter(([other]) => other !== name), ...put];
}

/** `valid` with one to three faults in members of its own or new ones; in those of its member `inside`, where one is named. */
export function mutated(valid: object, inside?: string): fc.Arbitrary<Json> {
  const whole = Object.entries(valid).filter(([, value]) => value !== undefined);
  const part = Object.entries(inside === undefined ? valid : ((valid as Record<string, object>)[inside] ?? {}));
  const members = part.filter(([, value]) => value !== undefined).map(([name, value]) => [name, json(value)] as const);
  const name = fc.oneof(
    { arbitrary: fc.constantFrom(...members.map(([own]) => own), 'a_field_of_tomorrow'), weight: 6 },
    { arbitrary: fc.constantFrom(...STRANGE_NAMES), weight: 2 },
    { arbitrary: text, weight: 1 },
  );
  return fc.array(fc.tuple(name, fault), { minLength: 1, maxLength: 3 }).map((faults) => {
    const changed = written(faults.reduce<Members>((left, [of, it]) => spoilt(left, of, it), members));
    if (inside === undefined) return new Json(changed);
    return new Json(written(whole.map(([own, value]) => [own, own === inside ? changed : json(value)])));
  });
}

/** Bytes that were JSON: cut, doubled, of another encoding, with bytes changed; or never were. */
export function brokenBytes(valid: unknown): fc.Arbitrary<Buffer> {
  const bytes = Buffer.from(json(valid));
  const at = fc.nat({ max: bytes.length - 1 });
  return fc.oneof(
    at.map((end) => bytes.subarray(0, end)),
    fc.tuple(at, fc.uint8Array({ minLength: 1, maxLength: 4 })).map(([from, put]) => {
      const changed = Buffer.from(bytes);
      changed.set(put.subarray(0, bytes.length - from), from);
      return changed;
    }),
    fc.uint8Array({ maxLength: 300 }).map((any) => Buffer.from(any)),
    fc.constantFrom(
      Buffer.concat([bytes, bytes]),
      Buffer.from('['.repeat(100_000)),
      Buffer.from(bytes.toString(), 'utf16le'),
      Buffer.from(`\ufeff${bytes}`),
    ),
  );
}

/** One line that may be shown and stored: no control character, no line separator, not without end. */
export function isOneLine(message: string, longest = 4000): boolean {
  return message.length > 0 && message.length <= longest && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(message);
}

const PROTOTYPES = [Object.prototype, Array.prototype, String.prototype, Function.prototype];
const members = (): string => PROTOTYPES.map((one) => Reflect.ownKeys(one).map(String).join()).join('\n');
const before = members();

/** Whether what all objects share is as it was when the test began. */
export function isUnpolluted(): boolean {
  return members() === before && !('polluted' in {});
}
