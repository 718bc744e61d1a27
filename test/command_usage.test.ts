import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { ServerRefused, Unavailable } from '../client/errors.ts';
import { makeKey } from '../codec/keys.ts';
import { amendmentOf } from '../command/amendment.ts';
import { exitCodeOf } from '../command/exit_code.ts';
import { policyOf } from '../command/merchant.ts';
import { makeProgram } from '../command/program.ts';
import { StorageRefused, StorageUnavailable } from '../storage/errors.ts';
import { shownFields } from '../storage/masked.ts';
import { COMMAND, CommandLine, policySync } from './command_process.ts';
import { SEED } from './fixtures.ts';

const line = new CommandLine();
let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'policy-sync-command-'));
});
after(async () => {
  line.end();
  await rm(directory, { recursive: true, force: true });
});

// Of the machine's own settings none is left; the server is one that nobody runs.
const env = { PATH: process.env.PATH, HOME: process.env.HOME, TEMPORAL_ADDRESS: '127.0.0.1:9' };
const mchid = ['--mchid', '1900000001'];

/** One line on standard error, without a stack. */
function assertOneLine(stderr: string): void {
  assert.match(stderr, /^policy-sync: [^\n]+\n$/);
}

describe('wrong usage: exit code 2, and one line that says what is wrong', () => {
  const cases: [string, string[], RegExp][] = [
    ['an unknown command', ['opne'], /unknown command 'opne'.*open/],
    ['a missing option that is required', ['approve', 'A1', ...mchid], /--policy-code/],
    ['no merchant', ['show', 'A1'], /--mchid.*POLICY_SYNC_MCHID/],
    ['an unknown state', ['list', '--state', 'SLEEPING'], /SLEEPING.*APPROVED/],
    ['a time that is none', ['list', '--expires-before', 'tomorrow'], /Expected a time such as/],
    ['an amendment without =', ['amend', 'A1', SEED.address, ...mchid], /expected field=value/],
    ['a renewal without a term', ['renew', 'A1', ...mchid], /--expired-time.*--as/],
    [
      'a renewal by a term and by another policy',
      ['renew', 'A1', '--as', 'B1', '--policy-code', 'C', ...mchid],
      /--as/,
    ],
    ['waiting for a signal', ['cancel', 'A1', '--signal', '--wait', ...mchid], /--wait/],
    ['a port that is none', ['sandbox', '--port', '70000', '--keys', 'nowhere'], /70000.*Expected a port, 0 to 65535/],
    ['an unknown option', ['worker', '--demote'], /'--demote'/],
  ];
  for (const [what, words, says] of cases)
    it(what, async () => {
      const { code, stdout, stderr } = await line.run(words, env);
      assert.equal(code, 2, stderr);
      assert.equal(stdout, '');
      assertOneLine(stderr);
      assert.match(stderr, says);
      assert.ok(!stderr.includes(SEED.address));
      const forPrograms = await line.run([...words, '--json'], env);
      assert.equal(forPrograms.code, 2);
      const { error } = JSON.parse(forPrograms.stdout);
      assert.deepEqual(error, { name: 'UsageError', message: stderr.slice('policy-sync: '.length, -1) });
    });

  it('no command at all shows the help', async () => {
    const { code, stderr } = await policySync([], env);
    assert.equal(code, 2);
    for (const command of ['open', 'approve', 'decline', 'cancel', 'withdraw', 'amend', 'renew', 'reinstate'])
      assert.match(stderr, new RegExp(`^ +${command} `, 'm'));
    for (const command of ['verify', 'accept', 'resume', 'show', 'list', 'worker', 'sandbox', 'keys'])
      assert.match(stderr, new RegExp(`^ +${command} `, 'm'));
  });
});

describe('failure: exit code 1, one line, and with --json an object', { concurrency: 2 }, () => {
  it('a file that is not there', async () => {
    const { code, stderr } = await policySync(['open', join(directory, 'none.json')], env);
    assert.equal(code, 1);
    assertOneLine(stderr);
    assert.match(stderr, /none\.json cannot be read \(ENOENT\)/);
  });

  it('a worker without settings', async () => {
    const { code, stdout, stderr } = await policySync(['worker', '--json'], env);
    assert.equal(code, 1);
    assert.match(stderr, /^policy-sync worker: MONGODB_URI: [^\n]+\n/);
    assert.match(JSON.parse(stdout).error.message, /standard error says why/);
  });

  it('a port that is taken, whoever wants it', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const keys = { ...env, POLICY_SYNC_KEYS: makeKey('k') };
    const sandbox = ['sandbox', '--keys', join(directory, 'sandbox')];
    for (const words of [['codec-server'], sandbox]) {
      const { code, stderr } = await policySync([...words, '--port', String(port)], keys);
      assert.equal(code, 1, stderr);
      assert.match(stderr, new RegExp(`^policy-sync: .*${port}.*: choose another port\\n$`));
    }
    server.close();
  });

  it('a codec server without a setting that it needs', async () => {
    const { code, stdout, stderr } = await policySync(['codec-server', '--json'], env);
    assert.equal(code, 1);
    assertOneLine(stderr);
    assert.match(stderr, /POLICY_SYNC_KEYS: expected/);
    assert.equal(JSON.parse(stdout).error.name, 'InvalidSetting');
  });

  it('a bad setting, named and not shown', async () => {
    const { code, stderr } = await line.run(['list'], { ...env, POLICY_SYNC_KEYS: 'k1:secret' });
    assert.equal(code, 1);
    assertOneLine(stderr);
    assert.match(stderr, /POLICY_SYNC_KEYS: expected/);
    assert.ok(!stderr.includes('secret'));
  });
});

describe('a server out of reach: exit code 3, so that a script can tell it from a refusal', () => {
  it('no Temporal', async () => {
    const { code, stdout, stderr } = await line.run(['show', 'A1', '--json', '--timeout', '500ms', ...mchid], env);
    assert.equal(code, 3);
    assertOneLine(stderr);
    assert.equal(JSON.parse(stdout).error.name, 'ServerUnreachable');
  });

  it('nobody who answered in time, or a MongoDB that is not there, is the same', () => {
    assert.equal(exitCodeOf(new Unavailable('no worker')), 3);
    assert.equal(exitCodeOf(new StorageUnavailable('127.0.0.1:9', 'refused')), 3);
    assert.equal(exitCodeOf(new ServerRefused('no permission')), 1);
    assert.equal(exitCodeOf(new StorageRefused('127.0.0.1:9', 13, 'Unauthorized')), 1);
  });
});

describe('--help', () => {
  for (const command of makeProgram().commands)
    it(`of ${command.name()} marks what is required, and says what the exit codes mean`, () => {
      let help = '';
      command.configureOutput({ writeOut: (part) => (help += part), getOutHelpWidth: () => 1000 });
      command.outputHelp();
      for (const { long, mandatory, description } of command.options)
        assert.equal(help.includes(`${description} (required)`), mandatory, `${long}`);
      assert.match(help, /^Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 .*, 4 differences found\.$/m);
    });
});

describe('the merchant in question', () => {
  it('is that of --mchid, of MCHID/NO, of POLICY_SYNC_MCHID, or the only one of WECHATPAY_MERCHANTS', async () => {
    const [one, two] = [join(directory, 'one.json'), join(directory, 'two.json')];
    await writeFile(one, '{"$schema":"merchants.schema.json","1900000001":{}}');
    await writeFile(two, '{"$schema":"merchants.schema.json","1900000001":{},"1900000002":{}}');
    const policy = { mchid: '1900000001', out_insurance_no: 'A1' };
    assert.deepEqual(await policyOf('A1', '1900000001', { POLICY_SYNC_MCHID: '1900000002' }), policy);
    assert.deepEqual(await policyOf('1900000001/A1', undefined, {}), policy);
    assert.deepEqual(await policyOf('A1', undefined, { POLICY_SYNC_MCHID: '1900000001' }), policy);
    assert.deepEqual(await policyOf('A1', undefined, { WECHATPAY_MERCHANTS: one }), policy);
    await assert.rejects(policyOf('A1', undefined, { WECHATPAY_MERCHANTS: two }), /has 2.*--mchid/);
    await assert.rejects(policyOf('A-1', '1900000001', {}), /1 to 32 letters and digits/);
    for (const [text, mchid, env] of [
      ['19/A1', undefined, {}],
      ['x/1900000001/A1', undefined, {}],
      ['A1', '19', {}],
      ['A1', undefined, { POLICY_SYNC_MCHID: 'abc' }],
    ] as const)
      await assert.rejects(policyOf(text, mchid, env), {
        name: 'UsageError',
        message: /merchant id of 8 to 10 digits/,
      });
  });
});

describe('an amendment from the command line', () => {
  it('takes a value as JSON where the field does, and as text where it does not', async () => {
    const fields = await amendmentOf(
      [
        'support_renewal=false',
        'plan_id=777',
        'policy_code=12345',
        'policy_periods=[1,2]',
        'insured_name_list=["张三","李四"]',
        'address=1001',
        'car_number=a=b',
        'first_period_amount=1200',
      ],
      undefined,
    );
    assert.deepEqual(fields, {
      support_renewal: false,
      plan_id: 777,
      policy_code: '12345',
      policy_periods: [1, 2],
      insured_name_list: ['张三', '李四'],
      address: '1001',
      car_number: 'a=b',
      first_period_amount: 1200,
    });
  });

  it('takes null as what takes a field back, whatever the field is', async () => {
    const fields = await amendmentOf(['address=null', 'plan_id=null', 'insured_name_list=null'], undefined);
    assert.deepEqual(fields, { address: null, plan_id: null, insured_name_list: null });
  });

  it('takes personal values from a file, so that no process list shows them', async () => {
    const file = join(directory, 'fields.json');
    await writeFile(file, JSON.stringify({ address: SEED.address }));
    assert.deepEqual(await amendmentOf(['plan_id=1'], file), { address: SEED.address, plan_id: 1 });
    const upload = { appid: 'wx1', openid: 'o1' };
    assert.deepEqual(await amendmentOf([`upload=${JSON.stringify(upload)}`], undefined), { upload });
  });
});

describe('personal values', () => {
  it('are masked when shown, by allow-list: a field not known is masked too', () => {
    const shown = shownFields({ ...SEED, field_of_tomorrow: 'secret' }, false);
    for (const field of [
      'insured_name_list',
      'car_number',
      'pet_name',
      'address',
      'coverage_detail',
      'field_of_tomorrow',
    ])
      assert.match(JSON.stringify(shown[field]), /^\[?"•••"\]?$/, field);
    assert.equal(shown.policy_code, SEED.policy_code);
    assert.deepEqual(shownFields(SEED, true), SEED);
    const lacking = [{ field: 'address', reason: 'no key', lacks: 'k1' }];
    const sealed = 'sealed with key "k1", which this shell has not';
    for (const reveal of [false, true])
      assert.deepEqual(shownFields({ address: undefined, pet_name: undefined }, reveal, lacking), {
        address: sealed,
        pet_name: undefined,
      });
  });
});

describe('policy-sync sandbox', () => {
  it('tells its address in one line of JSON, answers there, and ends when it is told to', async () => {
    const words = ['sandbox', '--keys', join(directory, 'sandbox'), '--strict', '--json'];
    const child = spawn(process.execPath, [COMMAND, ...words], { env });
    const [line] = await once(createInterface({ input: child.stdout }), 'line');
    const { url } = JSON.parse(line);
    assert.deepEqual(await (await fetch(`${url}/_sandbox/policies`)).json(), []);
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'close'), [0, null]);
  });
});

describe('policy-sync keys', () => {
  it('makes a set of keys that only their owner can read', async () => {
    const keys = join(directory, 'keys');
    const { code, stdout } = await policySync(['keys', keys, '--json'], env);
    assert.equal(code, 0);
    const made = JSON.parse(stdout);
    assert.equal(made.mchid, JSON.parse(await readFile(join(keys, 'sandbox.json'), 'utf8')).mchid);
    assert.equal((await stat(join(keys, 'merchant_private_key.pem'))).mode & 0o077, 0);
  });
});
