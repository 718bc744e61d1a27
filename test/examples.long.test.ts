// npm run test:examples: does in a copy of each example what its README says, against the engine as users run it, and
// asks WeChat Pay's sandbox, Temporal and MongoDB what came of it. An example whose programs are missing is skipped.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { WechatPay } from '../command/story/wechatpay.ts';
import { findTemporal } from '../embedded/temporal_program.ts';
import { INACTIVE } from '../policy/state.ts';
import { type Stage, setStage } from './client_stage.ts';
import { COMMAND, type Ran } from './command_process.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import { leaksBelow } from './leaks.ts';
import { told } from './told.ts';

const repository = fileURLToPath(new URL('..', import.meta.url));

interface Example {
  folder: string;
  /** Of several in the folder. */
  program?: string;
  /** What it needs, and a command that fails without: it is skipped then. */
  needs: Record<string, string>;
  /** Against an engine with payload keys, or without. */
  payloads: 'sealed' | 'plain';
  /** It has no codec, and asks a codec server. */
  codecServer?: boolean;
  /** It installs our packages. */
  packages?: boolean;
}

const NPM = { npm: 'npm --version' };
const GO = { go: 'go version' };
const JAVA = { mvn: 'mvn --version', 'JDK 17': 'javac --release 17 --version' };
const PYTHON = { 'Python 3.11': `python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))'` };
const SHELL = { jq: 'jq --version', openssl: 'openssl version' };

const EXAMPLES: Example[] = [
  { folder: 'typescript', program: 'policy_life.ts', needs: NPM, payloads: 'sealed', packages: true },
  { folder: 'typescript', program: 'temporal_client.ts', needs: NPM, payloads: 'sealed', packages: true },
  { folder: 'go', needs: GO, payloads: 'sealed' },
  { folder: 'java', needs: JAVA, payloads: 'sealed' },
  { folder: 'python', needs: PYTHON, payloads: 'sealed' },
  { folder: 'temporal-cli', needs: SHELL, payloads: 'plain' },
  { folder: 'temporal-cli', needs: SHELL, payloads: 'sealed', codecServer: true },
];

/** What was made by running an example where it is. */
const MADE = new Set(['target', '.venv', '__pycache__', 'node_modules']);

/** The insurer's number of the policy, as the READMEs have it. */
const CODE = /\bP-1\b/;

/** A copy of an example, with a policy of its own. */
interface Copy {
  /** In place of the repository. */
  root: string;
  folder: string;
  recordFile: string;
  record: { mchid: string; policy: Record<string, unknown> & { out_insurance_no: string } };
  policyCode: string;
  insured: string;
}

interface Commands {
  prepare: string[];
  life: string;
}

async function copyOf({ folder }: Example, root: string, mchid: string, at: number): Promise<Copy> {
  const filter = (file: string): boolean => !MADE.has(basename(file));
  await cp(join(repository, 'examples'), join(root, 'examples'), { recursive: true, filter });
  await cp(join(repository, 'docs/sealing.md'), join(root, 'docs/sealing.md'));
  const recordFile = join(root, 'examples/policy.json');
  const record = JSON.parse(await readFile(recordFile, 'utf8'));
  const number = uniqueNumber('E');
  const insured = `欧阳示例${'甲乙丙丁戊己庚辛'[at]}`;
  record.mchid = mchid;
  const { effective_time, expired_time } = recordOf().policy;
  const own = { out_insurance_no: number, insured_name_list: [insured], effective_time, expired_time };
  Object.assign(record.policy, own);
  await writeFile(recordFile, JSON.stringify(record, null, 2));
  return { root, folder: join(root, 'examples', folder), recordFile, record, policyCode: `P-${number}`, insured };
}

/** The lines that an example's README tells to run: those that prepare it, and the one that lives this policy's life. */
async function commandsOf({ folder, policyCode }: Copy, { program = '' }: Example): Promise<Commands> {
  const readme = await readFile(join(folder, 'README.md'), 'utf8');
  const lines = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block = '']) => block.trimEnd().split('\n'));
  const life = lines.find((line) => CODE.test(line) && line.includes(program));
  assert.ok(life, `${folder}/README.md has no line with P-1`);
  return {
    prepare: lines.filter((line) => !CODE.test(line)),
    life: life.replace(CODE, policyCode),
  };
}

/** As typed into a shell in the example's folder. */
async function typed(line: string, cwd: string, env: NodeJS.ProcessEnv): Promise<Ran> {
  const child = spawn('bash', ['-c', line], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  // Maven resets the colours of a terminal that is none.
  return { code, stdout: stripVTControlCharacters(stdout), stderr: stripVTControlCharacters(stderr) };
}

function lacking({ needs }: Example): string | false {
  const lacks = Object.entries(needs).find(([, command]) => spawnSync('sh', ['-c', command]).status !== 0);
  return lacks ? `there is no ${lacks[0]}` : false;
}

let scratch: string;
const stages: { sealed?: Stage; plain?: Stage } = {};

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'policy-sync-examples-'));
  stages.sealed = await setStage();
  stages.plain = await setStage({ keys: null });
});
after(async () => {
  await stages.plain?.stop();
  await stages.sealed?.stop();
  await rm(scratch, { recursive: true, force: true });
});

let packing: Promise<Ran> | undefined;

/** The folder of our packages, made once. */
async function packages(): Promise<string> {
  packing ??= typed('npm run --silent pack', repository, process.env);
  const { code, stdout, stderr } = await packing;
  assert.equal(code, 0, `${stdout}${stderr}`);
  return join(repository, 'out');
}

/** A codec server as people start it; settings of Temporal's command line for it. */
async function startCodecServer(env: NodeJS.ProcessEnv): Promise<{ settings: NodeJS.ProcessEnv; stop(): void }> {
  const token = randomBytes(32).toString('hex');
  const tokens = { POLICY_SYNC_CODEC_TOKEN: token, POLICY_SYNC_CODEC_ENCODE_TOKEN: token };
  const server = spawn(process.execPath, [COMMAND, 'codec-server'], {
    env: { ...env, ...tokens },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [line] = await Promise.race([once(createInterface({ input: server.stdout }), 'line'), once(server, 'exit')]);
  assert.equal(typeof line, 'string', 'the codec server has ended');
  const { url } = JSON.parse(line);
  const settings = {
    TEMPORAL_CODEC_ENDPOINT: url,
    TEMPORAL_CODEC_AUTH: `Bearer ${token}`,
    POLICY_SYNC_KEYS: undefined,
  };
  return { settings, stop: () => server.kill() };
}

/** What is promised of every example. */
async function lived(copy: Copy, { prepare, life }: Commands, wechatpay: WechatPay, env: NodeJS.ProcessEnv) {
  const { policy } = copy.record;
  const { out_insurance_no: number } = policy;
  await wechatpay.put(number, policy);
  for (const line of prepare) {
    const ran = await typed(line, copy.folder, env);
    assert.equal(ran.code, 0, `${line}\n${ran.stdout}${ran.stderr}`);
  }
  const ran = await typed(life, copy.folder, env);
  assert.equal(ran.code, 0, `${life}\n${ran.stdout}${ran.stderr}`);
  assert.deepEqual(ran.stdout.trimEnd().split('\n'), [
    `${number} opened: accepted, revision 1`,
    `${number} is ISSUING, SYNCED`,
    `${number} approved: accepted, revision 2`,
    `${number} is APPROVED, SYNCED`,
    `${number} cancelled: signal sent`,
    `${number} is INACTIVE, SYNCED`,
  ]);
  const held = await wechatpay.policy(number);
  assert.deepEqual([held?.policy_state, held?.policy_code], [INACTIVE, copy.policyCode]);
  assert.deepEqual(held?.insured_name_list, [copy.insured]);

  // Run again it changes nothing: the record is the same, and the messages have their event_id.
  const changes = await wechatpay.changesOf(number);
  const again = await typed(life, copy.folder, env);
  assert.equal(again.code, 0, again.stderr);
  assert.equal((await wechatpay.changesOf(number)).length, changes.length);

  await writeFile(copy.recordFile, JSON.stringify({ ...copy.record, policy: { ...policy, plan_id: 1 } }));
  const refused = await typed(life, copy.folder, env);
  assert.notEqual(refused.code, 0, refused.stdout);
  assert.match(
    refused.stderr,
    new RegExp(`^error: .*policy/\\d+/${number} exists with another record.*\\bexists\\b.*\n`),
  );
}

describe('examples', () => {
  const insured = { sealed: [] as string[], plain: [] as string[] };

  for (const [at, example] of EXAMPLES.entries()) {
    const { folder, program, payloads } = example;
    const what = [folder, program, payloads].filter(Boolean).join(', ');
    it(`${what}: opens, approves and cancels a policy, and says in a line why it is refused`, {
      skip: lacking(example),
    }, async (test) => {
      const stage = stages[payloads] ?? assert.fail(`the engine with ${payloads} payloads does not run`);
      const PATH = `${dirname((await findTemporal(() => {})).file)}:${process.env.PATH}`;
      const env = { ...stage.env, PATH };
      if (example.codecServer) {
        const codec = await startCodecServer(stage.env);
        test.after(() => codec.stop());
        Object.assign(env, codec.settings);
      }
      const copy = await copyOf(example, join(scratch, `${at}`), stage.env.POLICY_SYNC_MCHID ?? '', at);
      insured[payloads].push(copy.insured);
      if (example.packages) await cp(await packages(), join(copy.root, 'out'), { recursive: true });
      await lived(copy, await commandsOf(copy, example), new WechatPay(stage.sandboxUrl), env);
    });
  }

  it('with payload keys, no name is in the clear in Temporal or MongoDB; without, the same search finds it', async () => {
    assert.ok(insured.sealed.length > 0);
    const { TEST_TEMPORAL_ADDRESS: address = '', TEST_MONGODB_URI: uri = '' } = process.env;
    const places = Object.values(stages).flatMap(({ env }) => [env.TEMPORAL_NAMESPACE, env.MONGODB_URI]);
    const names = places.map((place = '') => place.split('/').at(-1)?.split('?')[0] ?? '');
    await told(scratch, { temporal: { address }, mongo: { uri } }, names);
    const clear = Object.fromEntries(
      Object.values(insured)
        .flat()
        .map((text) => [text, text]),
    );
    const found = new Set((await leaksBelow(join(scratch, 'told'), clear)).leaks.map(({ what }) => what));
    assert.deepEqual([...found].sort(), insured.plain.sort());
  });
});
