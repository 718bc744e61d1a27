import { merchantSettingsSchema } from '../../../wechatpay/merchant_settings.ts';
import { endpointSchema } from '../../../worker/events/endpoints_file.ts';
import { settingsSchema } from '../../../worker/settings.ts';
import { fieldTable } from './fields.ts';
import { type JsonSchema, jsonSchemaOf } from './json_schemas.ts';
import { code, table } from './markdown.ts';

/** Who reads a setting: workers (w), clients, which commands are (c), the codec server (s), the gateway (g), which is a client too. */
const SETTINGS: Record<string, readonly [readers: string, says: string]> = {
  'TEMPORAL_*': [
    'w, c',
    "Temporal's own environment configuration: `TEMPORAL_ADDRESS` (`localhost:7233`), `TEMPORAL_NAMESPACE` (`default`), `TEMPORAL_API_KEY`, `TEMPORAL_TLS_*`, `TEMPORAL_PROFILE`, `TEMPORAL_CONFIG_FILE`.",
  ],
  MONGODB_URI: [
    'w, c',
    '`mongodb://host:port/database`; without a database `policy_sync`. Of commands, `show`, `list --attention`, `events` and `audit` read it. Of programs, not of the library: or `MONGODB_URI_FILE`, the path of a file with it.',
  ],
  POLICY_SYNC_KEYS: [
    'w, c, s',
    'Payload keys, `id:base64` of 32 bytes each, with commas between; the first seals, all open. Without it nothing is sealed. Of programs, not of the library: or `POLICY_SYNC_KEYS_FILE`, the path of a file with it.',
  ],
  POLICY_SYNC_ALLOW_PLAIN: ['w, c', '`1`: payloads in the clear are taken although there are keys.'],
  WECHATPAY_MERCHANTS: [
    'w, c',
    'Path of the merchants file, see below. Of commands, it only tells which merchant is meant.',
  ],
  POLICY_SYNC_MCHID: [
    'c',
    'The merchant that commands about one policy mean. Without it, the only one of WECHATPAY_MERCHANTS.',
  ],
  POLICY_SYNC_TOKENS: [
    'g',
    'Path of the [file of tokens](../gateway.md#tokens), read again when it changes. Without it the gateway serves its own machine alone.',
  ],
  POLICY_SYNC_LOG_LEVEL: ['w, s, g', '`debug`, `info`, `warn`, `error`.'],
  POLICY_SYNC_CALLS_KEPT: [
    'w',
    'How long `calls` are kept in MongoDB: a duration of a day at least, or `forever`. The last 20 of each policy always are.',
  ],
  POLICY_SYNC_COMMANDS_KEPT: [
    'w',
    'The same of `commands`. A change that WeChat Pay has not confirmed stays. `reconcile` reaches back as far.',
  ],
  POLICY_SYNC_DISCREPANCIES_KEPT: [
    'w',
    'The same of `discrepancies`. What is being healed stays, and what a policy asks for a person for.',
  ],
  POLICY_SYNC_PERSONAL_KEPT: [
    'w',
    'How long after their end the personal data of policies are kept that ended DECLINED or INACTIVE; then they are [erased](../privacy.md#erasure).',
  ],
  POLICY_SYNC_WEBHOOKS: [
    'w',
    'Path of the webhooks file, see below: [who is told of what happens to policies](../events.md). Without it nobody is, and no event is kept. Set it on all workers.',
  ],
  POLICY_SYNC_EVENTS_KEPT: [
    'w',
    'How long `events` and `deliveries` are kept in MongoDB, whatever became of them: a duration of 7 days at least, or `forever`.',
  ],
  POLICY_SYNC_METRICS_PORT: [
    'w',
    'Port of `/metrics`, and of `/healthz`, which says that the process runs; without it there is neither.',
  ],
  POLICY_SYNC_METRICS_HOST: ['w', 'Address where they are served.'],
  'OTEL_*': [
    'w, c, g',
    "OpenTelemetry's own, of programs, not of the library: with `OTEL_EXPORTER_OTLP_ENDPOINT`, the URL of a collector, or `OTEL_TRACES_EXPORTER=otlp`, [traces](../operating.md#traces) are sent.",
  ],
  POLICY_SYNC_CODEC_TOKEN: [
    's',
    'Bearer token of those who decode: 16 characters or more; several with blanks between. Or `POLICY_SYNC_CODEC_TOKEN_FILE`, the path of a file with it.',
  ],
  POLICY_SYNC_CODEC_ENCODE_TOKEN: [
    's',
    'Bearer token of those who encode, likewise, or `POLICY_SYNC_CODEC_ENCODE_TOKEN_FILE`. A token in both may do both.',
  ],
  POLICY_SYNC_CODEC_JWKS: [
    's',
    'URL of the keys (JWKS) of the identity provider by which users sign in to the Temporal UI; their access tokens may decode. The next two go with it.',
  ],
  POLICY_SYNC_CODEC_ISSUER: ['s', 'The `iss` of these tokens.'],
  POLICY_SYNC_CODEC_AUDIENCE: ['s', 'The `aud` of these tokens.'],
  POLICY_SYNC_CODEC_CLAIM: ['s', '`NAME=VALUE[,VALUE…]`: a claim that has, or contains, one of the values.'],
};

export function settings(): string {
  const { properties = {}, required = [] } = jsonSchemaOf(settingsSchema);
  const unknown = Object.keys(properties).filter((name) => !Object.hasOwn(SETTINGS, name));
  if (unknown.length > 0) throw new Error(`say a word about the settings ${unknown.join(', ')}`);
  const rows = Object.entries(SETTINGS).map(([name, [readers, says]]) => {
    const value = properties[name]?.default;
    return [
      code(name),
      readers,
      required.includes(name) ? '**required** (w)' : value === undefined ? '' : code(String(value)),
      says,
    ];
  });
  return table(['setting', 'read by', 'default', ''], rows);
}

export function merchantsFile(): string {
  const schema = jsonSchemaOf(merchantSettingsSchema);
  const keys = ['merchant_keys', 'wechatpay_keys'].map(
    (field) => `Each of ${code(field)}:\n\n${fieldTable(schema.properties?.[field]?.items as JsonSchema)}`,
  );
  return [fieldTable(schema), ...keys].join('\n\n');
}

export function webhooksFile(): string {
  return fieldTable(jsonSchemaOf(endpointSchema));
}
