import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { waitSynced } from '../client/wait.ts';
import { makeProgram } from '../command/program.ts';
import { WechatPay } from '../command/story/wechatpay.ts';
import { workflowIdOf } from '../policy/record.ts';
import { until } from './client_namespace.ts';
import { type Stage, setStage } from './client_stage.ts';
import { CommandLine, type Ran } from './command_process.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';

// What every command says while a server is away: the ways to Temporal and to MongoDB are cut, for the worker too.
let stage: Stage;
const line = new CommandLine();

before(async () => {
  process.env.POLICY_SYNC_METRICS_PORT = '0';
  stage = await setStage();
  const { number, stopped, declined } = policies;
  for (const one of [number, stopped, declined]) {
    const { revision } = await stage.client.openPolicy(await atWechatPay(one));
    await waitSynced(stage.client, { mchid: MCHID, out_insurance_no: one }, revision);
  }
  const workflow = stage.client.temporal.workflow.getHandle(workflowIdOf(MCHID, stopped));
  await workflow.cancel();
  await assert.rejects(workflow.result());
  await writeFile(join(stage.directory, 'record.json'), JSON.stringify(await atWechatPay(policies.fresh)));
});
after(async () => {
  line.end();
  await stage?.stop();
});

const policies = {
  number: uniqueNumber('A'),
  stopped: uniqueNumber('B'),
  declined: uniqueNumber('C'),
  fresh: uniqueNumber('D'),
};

async function atWechatPay(out_insurance_no: string) {
  const record = recordOf({ out_insurance_no });
  await new WechatPay(stage.sandboxUrl).put(out_insurance_no, record.policy);
  return record;
}

const PASSWORD = 'fWc3Wx2sJ9';

/** The command, its words with the places that only a stage has. */
function run(words: string, env: NodeJS.ProcessEnv = stage.env): Promise<Ran> {
  const filled = words.replace(/\b(number|stopped|declined|fresh)\b/g, (name) => policies[name as 'number']);
  const [name = '', ...others] = filled.replace('FILE', join(stage.directory, 'record.json')).split(' ');
  return line.run([name, ...others], env);
}

/** Credentials that the server at the end of a line that is cut never sees. */
function withPassword(): NodeJS.ProcessEnv {
  return { ...stage.env, MONGODB_URI: stage.env.MONGODB_URI?.replace('//', `//anna:${PASSWORD}@`) };
}

const TEMPORAL = 'the Temporal server at HOST does not answer: start it, or set TEMPORAL_ADDRESS';
const MONGODB = 'MongoDB at HOST is not available (WHY): check that it runs, and MONGODB_URI';
/** Why is known once an attempt of the first act has failed, which takes seconds. */
const BEGINS = `no answer within 10 s: a worker cannot begin the policy yet, and does once it can: ${MONGODB}`;
const UNKNOWN = `${MCHID}/Nobody1: no such policy is known to Temporal; open it first`;
const MARKS = 'marks, held merchants and findings are not shown';

/** Exit code and lines of standard error. Nothing: as ever. */
type Says = readonly [code: number, ...lines: string[]];

/** Each command, in an order that makes sense for a life: what it says without MongoDB, and without Temporal. */
const COMMANDS: readonly (readonly [words: string, mongodb: Says, temporal: Says])[] = [
  ['show number', [0, MONGODB], [0, TEMPORAL]],
  ['show stopped', [0, MONGODB], [0, TEMPORAL]],
  ['show Nobody1', [3, UNKNOWN, MONGODB], [3, TEMPORAL]],
  ['list', [0], [3, TEMPORAL]],
  ['list --attention', [3, `${MARKS}: ${MONGODB}`], [3, `policies out of step are not shown: ${TEMPORAL}`]],
  ['audit', [3, MONGODB], [3, TEMPORAL]],
  ['audit --every 6h', [0], [3, TEMPORAL]],
  ['audit --every off', [0], [3, TEMPORAL]],
  ['approve number --policy-code C1', [0], [3, TEMPORAL]],
  ['cancel number --at 2099-01-01T00:00:00+08:00', [0], [3, TEMPORAL]],
  ['withdraw number', [0], [3, TEMPORAL]],
  ['amend number plan_id=4711', [0], [3, TEMPORAL]],
  ['renew number --expired-time 2098-01-01T00:00:00+08:00', [0], [3, TEMPORAL]],
  ['accept number', [0], [3, TEMPORAL]],
  ['resume number', [0], [3, TEMPORAL]],
  ['hold number --reason incident', [0], [3, TEMPORAL]],
  ['unhold number', [0], [3, TEMPORAL]],
  ['observe on number', [0], [3, TEMPORAL]],
  ['observe off number', [0], [3, TEMPORAL]],
  ['cancel number', [0], [3, TEMPORAL]],
  ['reinstate number --reason mistake', [0], [3, TEMPORAL]],
  ['cancel number --signal', [0], [3, TEMPORAL]],
  ['decline declined --reason risk', [0], [3, TEMPORAL]],
  ['verify declined --timeout 30s', [0], [3, TEMPORAL]],
  ['open FILE --timeout 10s', [3, BEGINS], [3, TEMPORAL]],
  ['show fresh', [0, MONGODB], [3, TEMPORAL]],
  ['amend fresh plan_id=4711 --timeout 10s', [3, BEGINS], [3, TEMPORAL]],
  ['resume stopped --timeout 10s', [3, BEGINS], [3, TEMPORAL]],
];
/** They ask neither server; a worker waits for Temporal and says so (test/worker.test.ts). */
const OTHERS = ['worker', 'codec-server', 'sandbox', 'keys', 'token'];
/** What they say is in tests of their own: test/command_plan.test.ts, command_report.test.ts, erasure.long.test.ts, doctor.test.ts, import.test.ts, gateway_access.test.ts, events_relay.test.ts. */
const ELSEWHERE = ['plan', 'doctor', 'import', 'report', 'reconcile', 'watch', 'export', 'erase', 'serve', 'events'];

function assertSays({ code, stderr }: Ran, [expected, ...lines]: Says): void {
  const said = stderr.replaceAll(/127\.0\.0\.1:\d+(?! *\))/g, 'HOST').replaceAll(/ \([^()]+\)/g, ' (WHY)');
  assert.equal(said, lines.map((one) => `policy-sync: ${one}\n`).join(''));
  assert.equal(code, expected);
  assert.ok(!stderr.includes(PASSWORD));
}

/** What a worker's metrics say, of the servers and of what asks for a person. */
async function metrics(): Promise<{ up: Record<string, string>; attention: string[] }> {
  const log = await readFile(join(stage.directory, 'worker.log'), 'utf8');
  const port = [...log.matchAll(/"port":(\d+)[^\n]*metrics are served/g)].at(-1)?.[1];
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(8_000) })).text();
  const up = [...text.matchAll(/^policy_sync_up\{server="(\w+)"\} (\d)$/gm)];
  return {
    up: Object.fromEntries(up.map(([, server, answers]) => [server, answers])),
    attention: text.split('\n').filter((one) => one.startsWith('policy_sync_attention{')),
  };
}

it('every command is in the table of what it says while a server is away', () => {
  const known = new Set([...COMMANDS.map(([words]) => words.split(' ')[0]), ...OTHERS, ...ELSEWHERE]);
  assert.deepEqual(
    makeProgram()
      .commands.map((command) => command.name())
      .filter((name) => !known.has(name)),
    [],
  );
});

describe('while Temporal is away', () => {
  before(() => stage.lines.temporal.cut());
  after(() => stage.lines.temporal.mend());

  for (const [words, , says] of COMMANDS)
    it(`${words}: ${says[0] === 0 ? 'tells what MongoDB knows, and ' : ''}says that Temporal does not answer`, async () =>
      assertSays(await run(`${words.replace(/ --timeout \d+s/, '')} --timeout 1s`), says));

  it('the metrics of a worker say so, and go on', async () => {
    const { up, attention } = await metrics();
    assert.deepEqual(up, { temporal: '0', mongodb: '1' });
    assert.ok(attention.length > 5);
  });
});

describe('while MongoDB is away', () => {
  let counted: string[];
  before(async () => {
    // In a process, gRPC remembers for how long a server was away, and waits for longer and longer to try it again.
    line.end();
    await until(async () => {
      const { up, attention } = await metrics();
      counted = attention;
      return up.temporal === '1' && up.mongodb === '1' && attention.length > 5;
    });
    await stage.lines.mongodb.cut();
  });
  after(() => stage.lines.mongodb.mend());

  for (const [words, says] of COMMANDS)
    it(`${words}: ${says.length === 1 ? 'goes on' : 'says that MongoDB does not answer'}`, async () =>
      assertSays(await run(words, withPassword()), says));

  it('the metrics of a worker say so, and what was counted last stays', async () => {
    assert.deepEqual(await metrics(), { up: { temporal: '1', mongodb: '0' }, attention: counted });
  });

  it('the metrics come in time where MongoDB takes what is sent and answers nothing', async () => {
    await stage.lines.mongodb.mend();
    stage.lines.mongodb.hang();
    assert.deepEqual(await metrics(), { up: { temporal: '1', mongodb: '0' }, attention: counted });
  });

  it('nothing is lost: what waited goes on once MongoDB is there again', async () => {
    await stage.lines.mongodb.mend();
    for (const number of [policies.fresh, policies.stopped])
      await until(async () => {
        const { sync } = await stage.client.status({ mchid: MCHID, out_insurance_no: number });
        return sync === 'SYNCED';
      }, 90_000);
    await until(async () => (await metrics()).up.mongodb === '1');
  });
});
