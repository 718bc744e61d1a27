import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { makeKey } from '../codec/keys.ts';
import type { Grade } from '../command/doctor/finding.ts';
import type { Diagnosis } from '../command/doctor.ts';
import { startTemporal, type Temporal } from '../embedded/temporal.ts';
import { makeKeys } from '../sandbox/keys.ts';
import { until } from './client_namespace.ts';
import type { Stage } from './client_stage.ts';
import { policyCommands } from './command_policies_fixture.ts';
import { MCHID } from './fixtures.ts';
import { merchantPair } from './wechatpay_counterpart.ts';
import { folder, pastCertificate, privatePem, put } from './wechatpay_merchants_fixture.ts';

const on = policyCommands();
const { line, opened } = on;
let stage: Stage;
before(async () => {
  ({ stage } = await on.ready());
  await opened();
});

interface Settings {
  merchant_keys: Record<string, string>[];
  wechatpay_keys: Record<string, string>[];
  base_urls: string[];
  paused?: boolean;
}

async function diagnosed(changes: NodeJS.ProcessEnv): Promise<Diagnosis> {
  const { code, stdout, stderr } = await line.run(['doctor', '--json', '--timeout', '3s'], {
    ...stage.env,
    ...changes,
  });
  const diagnosis = JSON.parse(stdout) as Diagnosis;
  assert.equal(code, diagnosis.faults > 0 ? 1 : 0, stderr);
  return diagnosis;
}

const servers: Temporal[] = [];
after(() => Promise.all(servers.map((server) => server.stop())));

let files = 0;
/** The merchants file with the one merchant otherwise; its folder of keys stays beside it. */
async function merchantsWith(change: (settings: Settings) => object): Promise<NodeJS.ProcessEnv> {
  const whole = JSON.parse(await readFile(stage.env.WECHATPAY_MERCHANTS ?? '', 'utf8'));
  const file = join(stage.directory, `doctor-${++files}.json`);
  await writeFile(file, JSON.stringify({ [MCHID]: { ...whole[MCHID], ...change(whole[MCHID]) } }));
  return { WECHATPAY_MERCHANTS: file };
}

async function sandboxFault(action: object | undefined): Promise<void> {
  const rules = action ? [{ match: { method: 'GET' }, do: action }] : [];
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(`${stage.sandboxUrl}/_sandbox/faults`, {
    method: 'PUT',
    headers,
    body: JSON.stringify(rules),
  });
  assert.ok(answer.ok);
}

/** Another sandbox's keys, which this one does not know. */
async function strangersKeys(): Promise<string> {
  const directory = join(stage.directory, `stranger-${++files}`);
  await makeKeys(directory);
  return directory;
}

const PLANTED: readonly (readonly [string, () => Promise<NodeJS.ProcessEnv>, Grade, RegExp])[] = [
  ['no MongoDB is named', async () => ({ MONGODB_URI: undefined }), 'fault', /^MONGODB_URI: expected .* found nothing/],
  ['payload keys that are none', async () => ({ POLICY_SYNC_KEYS: 'nonsense' }), 'fault', /^POLICY_SYNC_KEYS: /],
  [
    'no merchants file',
    async () => ({ WECHATPAY_MERCHANTS: join(stage.directory, 'none.json') }),
    'fault',
    /^WECHATPAY_MERCHANTS: expected a readable JSON file .* found none/,
  ],
  [
    'the certificate of another key',
    async () => {
      const stranger = await strangersKeys();
      return merchantsWith(({ merchant_keys: [key] }) => ({
        merchant_keys: [{ ...key, private_key_file: join(stranger, 'merchant_private_key.pem') }],
      }));
    },
    'fault',
    /expected the certificate of merchant_keys\.0\.private_key_file, found another key's/,
  ],
  [
    'the serial of another certificate',
    () => merchantsWith(({ merchant_keys: [key] }) => ({ merchant_keys: [{ ...key, serial_no: 'AB12' }] })),
    'fault',
    /expected the certificate whose serial is serial_no AB12/,
  ],
  [
    'a certificate that has ended',
    async () => {
      const serial = '0A1B2C';
      put('doctor.pem', privatePem(merchantPair.privateKey));
      pastCertificate('doctor-ended.pem', 'doctor.pem', serial);
      return merchantsWith(() => ({
        merchant_keys: [
          {
            serial_no: serial,
            private_key_file: join(folder, 'doctor.pem'),
            certificate_file: join(folder, 'doctor-ended.pem'),
          },
        ],
      }));
    },
    'fault',
    /^certificate 0A1B2C has ended \d+ days ago: put a new one/,
  ],
  [
    'a key whose certificate WeChat Pay does not know',
    async () => {
      const stranger = await strangersKeys();
      return merchantsWith(({ merchant_keys: [key] }) => ({
        merchant_keys: [{ serial_no: key?.serial_no, private_key_file: join(stranger, 'merchant_private_key.pem') }],
      }));
    },
    'fault',
    /^a call to http.*: compare mchid, serial_no and private_key_file with the API certificate/,
  ],
  [
    "another public key under the id of WeChat Pay's",
    async () => {
      const stranger = await strangersKeys();
      return merchantsWith(({ wechatpay_keys: [key] }) => ({
        wechatpay_keys: [{ ...key, public_key_file: join(stranger, 'wechatpay_public_key.pem') }],
      }));
    },
    'fault',
    /^a call to http.*the public key is not the one of its id/,
  ],
  [
    'a host that is not there',
    () => merchantsWith(({ base_urls }) => ({ base_urls: [...base_urls, 'http://127.0.0.1:65533'] })),
    'fault',
    /^a call to http:\/\/127\.0\.0\.1:65533: no connection .*see base_urls, DNS/,
  ],
  [
    'a merchant that is paused',
    () => merchantsWith(() => ({ paused: true })),
    'warning',
    /^paused in the merchants file/,
  ],
  [
    'a box in the middle that answers in place of WeChat Pay',
    async () => {
      await sandboxFault({ status: 404, code: 'NOT_FOUND', unsigned: true });
      return {};
    },
    'fault',
    /^a call to http.*unsigned 404 .*is it WeChat Pay that answers\?/,
  ],
  [
    'a clock that is off',
    async () => {
      await sandboxFault({ forge: 'timestamp' });
      return {};
    },
    'fault',
    /^a call to http.*: set the clock of this machine/,
  ],
  ['no Temporal', async () => ({ TEMPORAL_ADDRESS: '127.0.0.1:1' }), 'fault', /Temporal server at 127\.0\.0\.1:1/],
  [
    'a namespace that is not there',
    async () => ({ TEMPORAL_NAMESPACE: 'nowhere' }),
    'fault',
    /^TEMPORAL_NAMESPACE: expected a namespace of the server, found "nowhere"/,
  ],
  [
    'a namespace without search attributes',
    async () => {
      const namespace = `${stage.temporal.namespace}-doctor`;
      const { workflowService } = stage.temporal.connection;
      const day = { seconds: 86_400 as never };
      await workflowService.registerNamespace({ namespace, workflowExecutionRetentionPeriod: day });
      const env = { TEMPORAL_NAMESPACE: namespace };
      // It is known to every part of the server after a while.
      await until(async () => !(await diagnosed(env)).findings.some(({ message }) => /not found/i.test(message)));
      return env;
    },
    'fault',
    /^search attributes lack, so no policy can start: temporal operator search-attribute create --namespace \S+-doctor --name PolicyState/,
  ],
  [
    'a version without workers',
    async () => ({ TEMPORAL_NAMESPACE: `${stage.temporal.namespace}-doctor` }),
    'fault',
    /^no version of the workers is the current one/,
  ],
  [
    'a merchant that no worker serves',
    async () => {
      const whole = JSON.parse(await readFile(stage.env.WECHATPAY_MERCHANTS ?? '', 'utf8'));
      const file = join(stage.directory, 'two.json');
      await writeFile(file, JSON.stringify({ ...whole, '1900000007': whole[MCHID] }));
      return { WECHATPAY_MERCHANTS: file };
    },
    'fault',
    /^no worker polls calls\/1900000007: add the merchant/,
  ],
  [
    "payload keys that are not the workers'",
    async () => ({ POLICY_SYNC_KEYS: makeKey('other') }),
    'fault',
    /^POLICY_SYNC_KEYS: expected a key that the workers have/,
  ],
  [
    'a key that records are sealed with, and that was taken away',
    async () => ({ POLICY_SYNC_KEYS: makeKey('other') }),
    'fault',
    /^\d+ records are sealed with key "test", which POLICY_SYNC_KEYS has not: put it back/,
  ],
  [
    'no MongoDB',
    async () => ({ MONGODB_URI: 'mongodb://127.0.0.1:1/x' }),
    'fault',
    /127\.0\.0\.1:1.*: see MONGODB_URI$/,
  ],
  ['a database without indexes', async () => ({ MONGODB_URI: bare() }), 'warning', /^indexes lack: policies /],
  [
    'a Temporal that heeds no priorities',
    async () => {
      const dynamicConfig = { 'matching.useNewMatcher': false };
      const temporal = await startTemporal({ log: () => {}, useEnvironment: false, ui: false, dynamicConfig });
      servers.push(temporal);
      return { TEMPORAL_ADDRESS: temporal.address, TEMPORAL_NAMESPACE: temporal.namespace };
    },
    'warning',
    /^priorities are not heeded, .*: set matching\.useNewMatcher to true in its dynamic configuration$/,
  ],
  ['no audit', async () => ({}), 'warning', /^no audit is scheduled, .*`policy-sync audit --every 1h --fix`$/],
];

/** A database of the same server that nobody has used. */
function bare(): string {
  const url = new URL(stage.env.MONGODB_URI ?? '');
  url.pathname = '/doctor_bare';
  return url.href;
}

describe('the doctor', () => {
  it('finds no fault with an engine that runs, and says what it looked at', async () => {
    const { faults, findings } = await diagnosed({});
    assert.equal(faults, 0, JSON.stringify(findings.filter(({ grade }) => grade === 'fault')));
    const said = findings.filter(({ grade }) => grade === 'ok').map(({ message }) => message);
    for (const seen of [
      /^all that a worker needs/,
      /^a signed call to .* was answered, and verified$/,
      /^the clock of this machine is [01] s away/,
      /^certificate \w+ ends in \d+ days$/,
      /^all search attributes/,
      /^1 workers poll; the current version is \w+-sealed$/,
      /^a worker polls calls\/1900000001$/,
      /^every sealed record looked at opens/,
      /^priorities are heeded/,
    ])
      assert.ok(
        said.some((message) => seen.test(message)),
        `${seen} in ${said.join('\n')}`,
      );
    const { code, stdout } = await line.run(['doctor'], stage.env);
    assert.equal(code, 0);
    assert.match(stdout, /\n0 faults, \d+ warnings\n$/);
  });

  for (const [what, plant, grade, said] of PLANTED)
    it(`names what is wrong, and what to do: ${what}`, async (t) => {
      t.after(() => sandboxFault(undefined));
      const { findings } = await diagnosed(await plant());
      assert.ok(
        findings.some((one) => one.grade === grade && said.test(one.message)),
        findings.map((one) => `${one.grade} ${one.about}: ${one.message}`).join('\n'),
      );
      for (const { message } of findings) assert.doesNotMatch(message, /\n|BEGIN|\bat .*\.ts:/);
    });

  it('says nothing of keys and passwords', async () => {
    const key = makeKey('secret');
    const { findings } = await diagnosed({
      POLICY_SYNC_KEYS: `${key},broken`,
      MONGODB_URI: 'mongodb://user:pass-word@127.0.0.1:1/x',
    });
    const all = JSON.stringify(findings);
    for (const secret of [key.split(':')[1] ?? '', 'pass-word']) assert.ok(!all.includes(secret));
  });
});
