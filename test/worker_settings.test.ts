import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { makeKey } from '../codec/keys.ts';
import { reasonOf } from '../worker/grpc.ts';
import { readSettings, SettingsError } from '../worker/settings.ts';
import { DAY } from './fixtures.ts';

const NEEDED = { MONGODB_URI: 'mongodb://127.0.0.1:27017/policies', WECHATPAY_MERCHANTS: 'merchants.json' };

const forever = Number.POSITIVE_INFINITY;
let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'policy-sync-settings-'));
});
after(() => rm(directory, { recursive: true, force: true }));

function faultsOf(env: NodeJS.ProcessEnv): readonly string[] {
  try {
    readSettings(env);
  } catch (error) {
    assert.ok(error instanceof SettingsError);
    for (const fault of error.faults) assert.match(fault, /^[A-Z_0-9*]+: .*expected [^\n]*, found[^\n]*$/);
    return error.faults;
  }
  return [];
}

describe('settings of a worker', () => {
  it('are the two that it cannot do without, and sensible ones', () => {
    const { temporal, ...settings } = readSettings(NEEDED);
    assert.deepEqual([temporal.address, temporal.namespace], ['localhost:7233', 'default']);
    assert.deepEqual(settings, {
      mongoUri: NEEDED.MONGODB_URI,
      keyring: undefined,
      allowPlain: false,
      merchantsFile: 'merchants.json',
      logLevel: 'info',
      kept: { calls: 90 * DAY, commands: forever, discrepancies: forever, events: 30 * DAY, personal: forever },
      webhooksFile: undefined,
      metrics: undefined,
    });
  });

  it('that are set are taken, Temporal’s own too', () => {
    const settings = readSettings({
      ...NEEDED,
      TEMPORAL_ADDRESS: 'temporal.example:7233',
      TEMPORAL_NAMESPACE: 'policies',
      POLICY_SYNC_KEYS: makeKey('k1'),
      POLICY_SYNC_ALLOW_PLAIN: '1',
      POLICY_SYNC_LOG_LEVEL: 'debug',
      POLICY_SYNC_CALLS_KEPT: '1 day',
      POLICY_SYNC_WEBHOOKS: 'webhooks.json',
      POLICY_SYNC_EVENTS_KEPT: '7d',
      POLICY_SYNC_METRICS_PORT: '9464',
    });
    assert.equal(settings.kept.calls, DAY);
    assert.deepEqual([settings.webhooksFile, settings.kept.events], ['webhooks.json', 7 * DAY]);
    assert.equal(readSettings({ ...NEEDED, POLICY_SYNC_CALLS_KEPT: 'forever' }).kept.calls, forever);
    assert.deepEqual([settings.temporal.address, settings.temporal.namespace], ['temporal.example:7233', 'policies']);
    assert.equal(settings.keyring?.active.id, 'k1');
    assert.deepEqual([settings.allowPlain, settings.logLevel], [true, 'debug']);
    assert.deepEqual(settings.metrics, { host: '127.0.0.1', port: 9464 });
  });

  it('that are wrong are all told at once, one line each, naming setting, expected and found', () => {
    const faults = faultsOf({
      POLICY_SYNC_KEYS: '',
      POLICY_SYNC_ALLOW_PLAIN: 'yes',
      POLICY_SYNC_LOG_LEVEL: 'loud',
      POLICY_SYNC_CALLS_KEPT: '0',
      POLICY_SYNC_METRICS_PORT: '70000',
    });
    const names = faults.map((fault) => fault.split(':')[0]);
    assert.deepEqual(names.sort(), [
      'MONGODB_URI',
      'POLICY_SYNC_ALLOW_PLAIN',
      'POLICY_SYNC_CALLS_KEPT',
      'POLICY_SYNC_KEYS',
      'POLICY_SYNC_LOG_LEVEL',
      'POLICY_SYNC_METRICS_PORT',
      'WECHATPAY_MERCHANTS',
    ]);
    for (const port of ['x', '123456'])
      assert.deepEqual(faultsOf({ ...NEEDED, POLICY_SYNC_METRICS_PORT: port }), [
        `POLICY_SYNC_METRICS_PORT: expected a port, 0 to 65535, found "${port}"`,
      ]);
    assert.ok(faults.some((fault) => fault.endsWith('expected debug, info, warn, error, found "loud"')));
  });

  it('show no secret when they are wrong', async () => {
    const secret = 'fWc3Wx2sJ9';
    const config = join(directory, 'temporal.toml');
    await writeFile(config, `[profile.default]\napi_key = "${secret}\n`);
    const faults = faultsOf({
      MONGODB_URI: `mongo://user:${secret}@127.0.0.1`,
      WECHATPAY_MERCHANTS: 'merchants.json',
      POLICY_SYNC_KEYS: `k1:${secret}`,
      TEMPORAL_CONFIG_FILE: config,
      TEMPORAL_API_KEY: secret,
    });
    assert.deepEqual(faults.map((fault) => fault.split(':')[0]).sort(), [
      'MONGODB_URI',
      'POLICY_SYNC_KEYS',
      'TEMPORAL_*',
    ]);
    assert.ok(!faults.join('\n').includes(secret));
  });
});

describe('a connection that cannot be made', () => {
  it('is told of in plain words, not as the native SDK writes it', () => {
    // As SDK 1.24 tells of them.
    const told = (error: string): string => reasonOf(new Error(`tonic::transport::Error(Transport, ${error})`));
    const refused = 'Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }';
    const lookup =
      'Custom { kind: Uncategorized, error: "failed to lookup address information: Name or service not known" }';
    for (const [error, reason] of [
      [`ConnectError(ConnectError("tcp connect error", 127.0.0.1:9, ${refused}))`, 'the connection was refused'],
      [`ConnectError(ConnectError("dns error", ${lookup}))`, 'there is no host of that name'],
      [
        'ConnectError(Custom { kind: InvalidData, error: InvalidCertificate(UnknownIssuer) })',
        /^TLS fails: .*TEMPORAL_TLS/,
      ],
      ['something of tomorrow', 'no connection can be made'],
    ] as const) {
      if (typeof reason === 'string') assert.equal(told(error), reason);
      else assert.match(told(error), reason);
      assert.doesNotMatch(told(error), /tonic|Error\(/);
    }
    assert.equal(reasonOf({ details: 'namespace\n not found' }), 'namespace not found');
  });
});
