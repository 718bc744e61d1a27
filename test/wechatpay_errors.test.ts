import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { personalValues, redact } from '../wechatpay/redaction.ts';
import { parseAuthorization } from '../wechatpay/signature.ts';
import { answer, type Handler, merchantPair } from './wechatpay_counterpart.ts';
import { FIELDS, patched } from './wechatpay_errors_fixture.ts';

describe('an error', () => {
  it('shows nothing of what was sent when WeChat Pay echoes it: names, sealed names, address, nonce, signature, key', async () => {
    for (const status of [400, 401, 403, 404, 429, 500]) {
      let secrets: string[] = [];
      const echoes: Handler = ({ headers, body }, response) => {
        const sent = JSON.parse(String(body)) as typeof FIELDS;
        const { nonce_str, signature } = parseAuthorization(headers.authorization ?? '') ?? {
          nonce_str: '',
          signature: '',
        };
        secrets = [
          ...FIELDS.insured_name_list,
          ...sent.insured_name_list,
          FIELDS.address,
          FIELDS.car_number,
          nonce_str,
          signature,
        ];
        const text = `bad: ${secrets.join(', ')}\n${headers.authorization} ${body} ${FIELDS.address.slice(0, 9)}`;
        const said = { code: 'PARAM_ERROR', message: text.slice(0, 2000) };
        answer(response, status, said);
      };
      const error = await patched(echoes);
      secrets.push(String(merchantPair.privateKey.export({ type: 'pkcs8', format: 'pem' })).slice(30, 90));
      const shown = `${inspect(error, { depth: 9, showHidden: true })} ${JSON.stringify(error)} ${error.stack} ${error.message}`;
      for (const secret of [...secrets, '上海市', '浦东'])
        assert.ok(!shown.includes(secret.slice(0, 20)), `${status}: ${secret.slice(0, 20)}`);
      assert.equal(error.cause, undefined);
      assert.match(error.message, /^bad: …, …/);
    }
  });

  it('shows no code, and no Request-ID, that is not one', async () => {
    const error = await patched((_request, response) => {
      answer(response, 400, { code: '张三 is wrong', message: 7 }, { 'Request-ID': 'a b' });
    });
    assert.deepEqual([error.code, error.request_id], [undefined, undefined]);
  });

  it('has a message of one line, cut at 300 characters, without any value that was sent', () => {
    const value = fc
      .string({ unit: 'grapheme', minLength: 2, maxLength: 30 })
      .filter((text) => !/[\p{C}\p{Z}…]/u.test(text));
    fc.assert(
      fc.property(
        fc.array(value, { maxLength: 4 }),
        fc.array(fc.string({ unit: 'binary' }), { maxLength: 4 }),
        (sent, around) => {
          const shown = redact([...around, ...sent, ...around, ...sent].join('\n'), sent);
          assert.ok([...shown].length <= 300 && !/\p{Cc}/u.test(shown));
          for (const secret of sent) assert.ok(!shown.includes(secret));
        },
      ),
    );
  });

  it('has a message that invisible characters inside a value do not keep from being cut', () => {
    assert.equal(redact('name 张\u200b\u0000三!', ['张三']), 'name …!');
    assert.equal(redact('name 张\n三!', personalValues({ pet_name: '张\n三' })), 'name …!');
  });

  it('has a message from which a value is cut whole, though another value is part of it', () => {
    assert.equal(redact('at 张三路1号', ['张三', '张三路1号']), 'at …');
  });

  it('has a message from which a value is cut that it quotes shortened', () => {
    assert.equal(redact('at 上海市浦东新区...', ['上海市浦东新区晨晖路1001号']), 'at …...');
  });

  it('has a message without the personal values of fields not known, nested ones too; others stay', () => {
    const values = personalValues({ tomorrow: { holder: ['李四', 139001] }, insurance_name: '微医保', ok: true });
    assert.equal(redact('李四 139001 微医保 true', values), '… … 微医保 true');
  });
});
