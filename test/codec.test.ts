import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { ApplicationFailure, defaultPayloadConverter, type Payload } from '@temporalio/common';
import fc from 'fast-check';
import { quiet } from '../activities/failure.ts';
import { dataConverter } from '../codec/data_converter.ts';
import { failureConverter } from '../codec/failure_converter.ts';
import { InvalidKeys, type Key, type Keyring, makeKey, parseKeys, UnknownKey } from '../codec/keys.ts';
import { payloadCodec } from '../codec/payload_codec.ts';
import { isUnfit, payloadConverter } from '../codec/payload_converter.ts';
import { open, SealBroken, seal } from '../codec/seal.ts';
import { openFields, openValue, sealFields, sealValue } from '../codec/sealed_fields.ts';
import { isPersonal } from '../policy/fields.ts';

const keys = (...entries: string[]): Keyring => parseKeys(entries.join(',')) as Keyring;
const [one, two] = [makeKey('one'), makeKey('two')];

test('the first key seals, every key is known by its id', () => {
  const keyring = keys(two, ` ${one} `);
  assert.equal(keyring.active.id, 'two');
  assert.deepEqual([...keyring.byId.keys()], ['two', 'one']);
  assert.equal(parseKeys(undefined), undefined);
});

test('a bad POLICY_SYNC_KEYS is one line with setting, expectation and finding, and none of its text', () => {
  const secret = makeKey('x').slice(2);
  const faults: [string, RegExp][] = [
    ['', /an empty value/],
    ['  ', /an empty value/],
    [secret, /no ":" \(entry 1\)/],
    [`${secret}:old`, /an id that does not match .*\(entry 1\)/],
    [`${one},:${secret}`, /an id that does not match .*\(entry 2\)/],
    [`${'x'.repeat(41)}:${secret}`, /an id that does not match/],
    [`${one},`, /no ":" \(entry 2\)/],
    ['a:c2hvcnQ=', /a key of 5 bytes \(entry 1\)/],
    [`a:${secret.slice(0, -1)}`, /a key that is not base64 \(entry 1\)/],
    [`a:${secret}:b`, /a key that is not base64/],
    [`a:${secret},a:${makeKey('y').slice(2)}`, /an id used before \(entry 2\)/],
  ];
  for (const [text, found] of faults) {
    assert.throws(
      () => parseKeys(text),
      (error: Error) => {
        assert.ok(error instanceof InvalidKeys);
        assert.match(error.message, /^POLICY_SYNC_KEYS: expected id:base64-of-32-bytes\[,id:base64…\], found [^\n]+$/);
        assert.match(error.message, found);
        assert.equal(error.message.includes(secret.slice(0, 8)), false);
        return true;
      },
    );
  }
});

test('any text is a keyring or one line, never anything else', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string().map((text) => `${one},${text}`),
      ),
      (text) => {
        try {
          assert.ok(parseKeys(text)?.active.id);
        } catch (error) {
          assert.ok(error instanceof InvalidKeys && !error.message.includes('\n'));
        }
      },
    ),
  );
});

test('a keyring prints without its secrets', () => {
  const secret = one.slice('one:'.length);
  const keyring = keys(one);
  const hex = Buffer.from(secret, 'base64').toString('hex');
  const printed = inspect(keyring, { depth: 9 }) + JSON.stringify([...keyring.byId.values()]);
  assert.ok(!printed.includes(secret) && !printed.includes(hex));
});

test('what is sealed opens, and twice the same never looks the same', () => {
  const { active } = keys(one);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.string(), (bytes, associated) => {
      const sealed = seal(active, bytes, associated);
      assert.deepEqual(Buffer.from(open(active, sealed, associated)), Buffer.from(bytes));
      assert.notDeepEqual(seal(active, bytes, associated), sealed);
    }),
  );
});

test('any bit flipped, any byte cut, another place or another key is refused', () => {
  const { active } = keys(one);
  const sameId: Key = { ...keys(two).active, id: active.id };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.string(), fc.nat(), fc.nat(), (bytes, associated, bit, cut) => {
      const sealed = Buffer.from(seal(active, bytes, associated));
      const flipped = Buffer.from(sealed);
      const at = bit % (sealed.length * 8);
      flipped[at >> 3] = (flipped[at >> 3] ?? 0) ^ (1 << (at & 7));
      for (const broken of [flipped, sealed.subarray(0, cut % sealed.length), Buffer.concat([sealed, Buffer.of(0)])])
        assert.throws(() => open(active, broken, associated), SealBroken);
      assert.throws(() => open(active, sealed, `${associated}x`), SealBroken);
      assert.throws(() => open(sameId, sealed, associated), SealBroken);
    }),
  );
});

const payloads: fc.Arbitrary<Payload> = fc.record({
  metadata: fc.dictionary(fc.string(), fc.uint8Array()),
  data: fc.uint8Array({ maxLength: 1000 }),
});
const text = (payload: Payload | undefined, name: string): string =>
  Buffer.from(payload?.metadata?.[name] ?? '').toString();
const bytesOf = (payload: Payload | undefined) => ({
  metadata: Object.entries(payload?.metadata ?? {})
    .map(([name, value]) => [name, Buffer.from(value ?? []).toString('hex')])
    .sort(),
  data: Buffer.from(payload?.data ?? []).toString('hex'),
});

test('any payload comes back whole, metadata included, after any rotation', async () => {
  const [before, after] = [
    payloadCodec(keys(one), { allowPlain: false }),
    payloadCodec(keys(two, one), { allowPlain: false }),
  ];
  await fc.assert(
    fc.asyncProperty(fc.array(payloads, { maxLength: 4 }), async (given) => {
      const sealed = await before.encode(given);
      for (const payload of sealed) {
        assert.deepEqual(Object.keys(payload.metadata ?? {}).sort(), ['encoding', 'encryption-key-id']);
        assert.equal(text(payload, 'encoding'), 'binary/encrypted');
        assert.equal(text(payload, 'encryption-key-id'), 'one');
      }
      assert.deepEqual((await after.decode(sealed)).map(bytesOf), given.map(bytesOf));
    }),
  );
});

test('a payload sealed with a key that is not there names the key and the setting', async () => {
  const sealed = await payloadCodec(keys(two), { allowPlain: false }).encode([defaultPayloadConverter.toPayload(1)]);
  await assert.rejects(payloadCodec(keys(one), { allowPlain: true }).decode(sealed), (error: Error) => {
    assert.ok(error instanceof UnknownKey);
    assert.match(error.message, /^no key "two" .*POLICY_SYNC_KEYS/);
    return true;
  });
});

test('where keys are set a plain payload arrives as Unfit, an empty one as undefined, a sealed one as itself', async () => {
  const codec = payloadCodec(keys(one), { allowPlain: false });
  const arriving = async (payload: Payload): Promise<unknown> =>
    payloadConverter.fromPayload((await codec.decode([payload]))[0] as Payload);
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.jsonValue(), fc.uint8Array()), async (value) => {
      const payload = defaultPayloadConverter.toPayload(value);
      assert.ok(isUnfit(await arriving(payload)));
      const sealed = (await codec.encode([payload]))[0] as Payload;
      const expected = defaultPayloadConverter.fromPayload(payload);
      assert.deepEqual(await arriving(sealed), expected);
      assert.equal(isUnfit(expected), false);
    }),
  );
  assert.equal(await arriving(defaultPayloadConverter.toPayload(undefined)), undefined);
  const unknown = { metadata: { encoding: Buffer.from('what/ever') }, data: Buffer.from('?') };
  assert.ok(isUnfit(await arriving(unknown)), 'an encoding that nobody knows throws at nobody');
  assert.ok(isUnfit(await arriving({ data: Buffer.from('?') })));
});

test('where plain payloads are allowed they pass as they are', async () => {
  const payload = defaultPayloadConverter.toPayload({ name: 'x' });
  assert.deepEqual(await payloadCodec(keys(one), { allowPlain: true }).decode([payload]), [payload]);
});

test('without keys payloads pass in the clear, what cannot be read arrives as Unfit, what is sealed waits for keys', async () => {
  const { payloadCodecs, failureConverterPath } = dataConverter(undefined, { allowPlain: false });
  assert.equal(failureConverterPath, undefined);
  const payload = defaultPayloadConverter.toPayload({ name: 'x' });
  assert.deepEqual(await payloadCodecs?.[0]?.encode([payload]), [payload]);
  assert.deepEqual(await payloadCodecs?.[0]?.decode([payload]), [payload]);
  const [sealed = {}] = await payloadCodec(keys(one), { allowPlain: false }).encode([payload]);
  await assert.rejects(async () => payloadCodecs?.[0]?.decode([sealed]), UnknownKey);
  assert.deepEqual(payloadConverter.fromPayload(defaultPayloadConverter.toPayload({ name: 'x' })), { name: 'x' });
  const encoded = (encoding: string) => ({ metadata: { encoding: Buffer.from(encoding) }, data: Buffer.from('{') });
  for (const payload of [encoded('json/plain'), encoded('what/ever'), { data: Buffer.from('1') }])
    assert.ok(isUnfit(payloadConverter.fromPayload(payload)));
  assert.throws(() => payloadConverter.fromPayload(encoded('binary/encrypted')), /set POLICY_SYNC_KEYS/);
});

const fields = fc.dictionary(
  fc.oneof(fc.constantFrom('insurance_name', 'car_number', 'plan_id', 'a.b', '$c', '%2e', '__proto__'), fc.string()),
  fc.oneof(fc.jsonValue(), fc.constantFrom('sealed:v1:one:AAAA', 'plain:v1:"x"', 'sealed:v1:', '\0', '\ud800')),
);

test('any fields come back, with keys, with newer keys and without', () => {
  const [before, after] = [keys(one), keys(two, one)];
  fc.assert(
    fc.property(fields, (given) => {
      const expected = { fields: JSON.parse(JSON.stringify(given)), unreadable: [] };
      for (const [sealing, opening] of [
        [before, before],
        [before, after],
        [undefined, undefined],
        [undefined, after],
      ]) {
        const stored = sealFields(sealing, given, 'policies/m/n/policy');
        const opened = openFields(opening, stored, 'policies/m/n/policy');
        assert.deepEqual(JSON.parse(JSON.stringify(opened)), expected);
      }
    }),
  );
});

test('every field not known to be impersonal is sealed, the others stay readable', () => {
  fc.assert(
    fc.property(fields, (given) => {
      for (const [field, value] of Object.entries(given)) {
        const [stored] = Object.values(sealFields(keys(one), { [field]: value }, 'x'));
        const sealed = typeof stored === 'string' && /^sealed:v1:one:[A-Za-z0-9+/]+=*$/.test(stored);
        assert.equal(sealed, isPersonal(field));
      }
    }),
  );
});

test('stored names and clear values are such as both MongoDB and FerretDB take', () => {
  fc.assert(
    fc.property(fields, (given) => {
      for (const [name, value] of Object.entries(sealFields(undefined, given, 'x'))) {
        assert.doesNotMatch(name, /[.$\0]/);
        for (const item of Array.isArray(value) ? value : [value]) {
          assert.ok(item === null || typeof item !== 'object');
          assert.doesNotMatch(String(item), /[\0\ud800-\udfff]/u);
        }
      }
    }),
  );
});

test('a value that no key opens is undefined and listed with its reason, and the others are there', () => {
  const stored = {
    ...sealFields(keys(one), { car_number: 'A', plan_id: 5 }, 'p'),
    ...sealFields(keys(two), { address: 'B', pet_name: 'C' }, 'p'),
  };
  stored.pet_name = stored.address;
  const { fields: opened, unreadable } = openFields(keys(two), stored, 'p');
  assert.deepEqual(opened, { car_number: undefined, plan_id: 5, address: 'B', pet_name: undefined });
  assert.deepEqual(unreadable.map(({ field }) => field).sort(), ['car_number', 'pet_name']);
  assert.match(unreadable.find(({ field }) => field === 'car_number')?.reason ?? '', /no key "one" .*POLICY_SYNC_KEYS/);
  assert.match(unreadable.find(({ field }) => field === 'pet_name')?.reason ?? '', /for another place/);
  assert.ok(openFields(undefined, stored, 'p').unreadable.length === 3, 'no keys open nothing, and throw nothing');
});

test('a single value is bound to its place', () => {
  const stored = sealValue(keys(one), { ids: ['e1'] }, 'policies/m/n/carried');
  assert.deepEqual(openValue(keys(one), stored, 'policies/m/n/carried'), { ids: ['e1'] });
  assert.throws(() => openValue(keys(one), stored, 'policies/m/o/carried'), SealBroken);
});

test('a failure says its type alone outside what is sealed, but for a quiet verification', () => {
  const failureOf = (error: Error) => failureConverter.errorToFailure(error, payloadConverter);
  const shape = /: verified at \S+\+08:00, next at \S+\+08:00$/;
  for (const [sync, recorded, standing] of [
    ['SYNCED', true, /^OK: /],
    ['SYNCED', false, /^OK, not recorded: /],
    ['BLOCKED', true, /^BLOCKED: /],
  ] as const) {
    const { message, stackTrace } = failureOf(quiet('verified', { sync, at: Date.now(), recorded }, 60_000));
    assert.match(message ?? '', shape);
    assert.match(message ?? '', standing);
    assert.equal(stackTrace, '');
  }
  for (const [type, message] of [
    ['verified', '张三 is verified'],
    ['verified', `OK: verified at 张三, next at ${'x'.repeat(25)}`],
    ['NoSuchPerson', 'OK: 张三'],
  ] as const) {
    const { message: shown, stackTrace } = failureOf(ApplicationFailure.nonRetryable(message, type));
    assert.deepEqual([shown, stackTrace], [`${type}: sealed`, '']);
  }
});
