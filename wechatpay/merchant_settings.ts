import { z } from 'zod';
import { described } from '../policy/words.ts';
import { OFFICIAL_HOSTS } from './merchant.ts';

const path = z.string().min(1);
// Serials are compared as text, and WeChat Pay writes hexadecimal in upper case.
const serial = z
  .string()
  .regex(/^[0-9A-Fa-f]{1,40}$/, { error: 'expected a certificate serial, up to 40 hexadecimal digits' })
  .transform((text) => text.toUpperCase());

const merchantKeySchema = z.strictObject(
  described(
    { serial_no: serial, private_key_file: path, certificate_file: path.optional() },
    {
      serial_no: 'Serial number of the API certificate, up to 40 hexadecimal digits.',
      private_key_file: 'Its private key (apiclient_key.pem): it signs and opens names.',
      certificate_file:
        'The certificate itself (apiclient_cert.pem): checked against key and serial, and its end is watched.',
    },
  ),
);

const wechatpayKeyId = z
  .string()
  .regex(/^(PUB_KEY_ID_\w{1,53}|[0-9A-F]{1,40})$/i, {
    error: 'expected PUB_KEY_ID_… or the serial of a platform certificate, up to 40 hexadecimal digits',
  })
  .transform((text) => text.toUpperCase());

const wechatpayKeySchema = z
  .strictObject(
    described(
      {
        id: wechatpayKeyId,
        public_key_file: path.optional(),
        certificate_file: path.optional(),
      },
      {
        id: "Id of WeChat Pay's public key (PUB_KEY_ID_…), or serial of its platform certificate.",
        public_key_file: 'The public key. Either this or certificate_file.',
        certificate_file: 'The platform certificate.',
      },
    ),
  )
  .refine((key) => (key.public_key_file === undefined) !== (key.certificate_file === undefined), {
    error: 'expected either public_key_file or certificate_file, found both or none',
  })
  // Of 40 hexadecimal digits some are letters; an id of WeChat Pay's has digits only after its PUB_KEY_ID_.
  .refine((key) => key.public_key_file === undefined || !/^\d+$/.test(key.id), {
    path: ['id'],
    error: 'expected the whole id of the public key, with its PUB_KEY_ID_',
  })
  .meta({ oneOf: [{ required: ['public_key_file'] }, { required: ['certificate_file'] }] });

/** One merchant's part of the file that `WECHATPAY_MERCHANTS` names. zod's messages hold no value of it. */
export const merchantSettingsSchema = z.strictObject(
  described(
    {
      merchant_keys: z
        .array(merchantKeySchema)
        .min(1)
        .superRefine(noneTwice((key) => key.serial_no)),
      wechatpay_keys: z
        .array(wechatpayKeySchema)
        .min(1)
        .superRefine(noneTwice((key) => key.id)),
      api_v3_key_file: path.optional(),
      requests_per_second: z.number().positive().default(50),
      base_urls: z
        .array(z.string().transform(originOf))
        .min(1)
        .default([...OFFICIAL_HOSTS]),
      paused: z.boolean().default(false),
    },
    {
      merchant_keys: 'Keys of the API certificates: the first signs, all open names.',
      wechatpay_keys: "WeChat Pay's keys: the first seals names and is named in Wechatpay-Serial, all verify.",
      api_v3_key_file: 'The APIv3 key, 32 bytes. No call needs it yet.',
      requests_per_second: 'Calls a second, over all workers; the Temporal server holds them to it.',
      base_urls: "Hosts to call, in turn when an attempt fails. A sandbox's for development.",
      paused: 'true: no call is made for this merchant until it is taken out.',
    },
  ),
);

export type MerchantSettings = z.output<typeof merchantSettingsSchema>;

function noneTwice<T>(idOf: (key: T) => string): (keys: T[], context: z.RefinementCtx) => void {
  return (keys, context) => {
    const ids = keys.map(idOf);
    const twice = ids.find((id, at) => ids.indexOf(id) !== at);
    if (twice !== undefined)
      context.addIssue({ code: 'custom', message: `expected each key once, found ${twice} twice` });
  };
}

// The host is not signed but the path is, so a path in front of WeChat Pay's own would break every signature.
function originOf(text: string, context: z.RefinementCtx): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`) return url.origin;
  context.addIssue({
    code: 'custom',
    message: 'expected scheme and host alone, such as https://api.mch.weixin.qq.com',
  });
  return z.NEVER;
}
