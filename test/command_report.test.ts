import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { before, describe, it, type TestContext } from 'node:test';
import { parse } from 'csv-parse/sync';
import type { Reconciled } from '../command/reconciled.ts';
import type { Report } from '../command/report_text.ts';
import type { WechatPay } from '../command/story/wechatpay.ts';
import { findOnPath } from '../embedded/path.mjs';
import { APPROVED } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { connect } from '../storage/connection.ts';
import { writeReveal } from '../storage/reveals.ts';
import { until } from './client_namespace.ts';
import type { Stage } from './client_stage.ts';
import { assertNothingPersonal, policyCommands } from './command_policies_fixture.ts';
import { COMMAND } from './command_process.ts';
import { DAY, MCHID, recordOf, SEED, uniqueNumber } from './fixtures.ts';

const NO_TERMINAL = findOnPath('script') ? false : 'there is no `script` (of util-linux) on PATH';

const on = policyCommands();
const { run, opened } = on;
let stage: Stage;
let wechatpay: WechatPay;
before(async () => {
  ({ stage, wechatpay } = await on.ready());
});

async function reportOf(...words: string[]): Promise<Report> {
  return on.json<unknown>(['report', ...words]) as Promise<Report>;
}

describe('report', () => {
  it('counts policies by state and sync, names what waits longest, what blocks, and what drifted', async () => {
    await Promise.all([opened({ policy_state: APPROVED }), opened({ policy_state: APPROVED }), opened()]);
    const held = await opened({ policy_state: APPROVED });
    await run(['hold', held, '--reason', 'an incident']);
    await run(['amend', held, 'address=elsewhere']);
    const unknown = recordOf({ out_insurance_no: uniqueNumber(), policy_state: APPROVED });
    await stage.client.openPolicy(unknown);
    const drifted = await opened({ policy_state: APPROVED });
    await wechatpay.change(drifted, { plan_id: 999 });
    await run(['verify', drifted]);
    const declined = await opened();
    await run(['decline', declined, '--reason', 'risk', '--wait']);

    await until(async () => {
      const { by_state, ended, blocked, drift } = await reportOf();
      return (
        by_state.APPROVED?.SYNCED === 3 &&
        by_state.APPROVED.HELD === 1 &&
        by_state.APPROVED.BLOCKED === 1 &&
        ended.DECLINED === 1 &&
        blocked.UNKNOWN_POLICY === 1 &&
        drift.some(({ became }) => became === 'healed')
      );
    });
    const report = await reportOf();
    assert.deepEqual(report.by_state, { APPROVED: { SYNCED: 3, HELD: 1, BLOCKED: 1 }, ISSUING: { SYNCED: 1 } });
    assert.deepEqual([report.policies, report.ended, report.blocked], [6, { DECLINED: 1 }, { UNKNOWN_POLICY: 1 }]);
    assert.deepEqual(report.drift, [{ field: 'plan_id', kind: 'drift', became: 'healed', differences: 1 }]);
    const waiting = report.oldest_pending.map(({ out_insurance_no, sync, command }) => [
      out_insurance_no,
      sync,
      command,
    ]);
    assert.deepEqual(
      waiting.sort(),
      [
        [held, 'HELD', 'amend'],
        [unknown.policy.out_insurance_no, 'BLOCKED', 'open'],
      ].sort(),
    );
    const { within, never } = report.verification;
    assert.equal(within.reduce((sum, { policies }) => sum + policies, 0) + never, report.policies);
    assert.equal((await reportOf('--mchid', '1900000099')).policies, 0);

    const { stdout } = await run(['report']);
    assertNothingPersonal(stdout);
    assert.match(
      stdout,
      /^\S+\+08:00: 6 policies go on; ended: 1 DECLINED\n\nSTATE +SYNCED +BLOCKED +HELD\nISSUING +1\nAPPROVED +3 +1 +1\n/,
    );
    assert.match(stdout, new RegExp(`^\\S+ +${MCHID} +${held} +HELD +amend$`, 'm'));
    assert.match(stdout, /^UNKNOWN_POLICY +1$/m);
    assert.match(stdout, /^plan_id +drift +healed +1$/m);
  });
});

/** `watch` in a pipe, as its lines come. */
function watching(t: TestContext, ...words: string[]) {
  const child = spawn(process.execPath, [COMMAND, 'watch', ...words], {
    env: { ...stage.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  createInterface(child.stdout).on('line', (line) => lines.push(line));
  const ended = once(child, 'close');
  t.after(() => child.kill('SIGKILL'));
  return {
    lines,
    async end(): Promise<unknown> {
      child.kill('SIGINT');
      const [code] = await ended;
      return code;
    },
  };
}

describe('watch', { timeout: 120_000 }, () => {
  it('tells a pipe how many policies there are of each sync, then each change, until Ctrl-C', async (t) => {
    const watch = watching(t, '--every', '2s');
    await until(async () => watch.lines.length > 0, 60_000);
    assert.match(watch.lines[0] ?? '', /SYNCED \d+|no policy goes on/);
    const number = await opened({ policy_state: APPROVED });
    await run(['amend', number, 'address=another road', '--wait']);
    await until(async () => watch.lines.some((line) => line.includes(`${number}: amend (revision 2), confirmed`)));
    assert.ok(watch.lines.some((line) => line.includes(`${number}: open (revision 1)`)));
    // More than a screen shows, between two looks.
    const many = await Promise.all(Array.from({ length: 20 }, () => opened({ policy_state: APPROVED })));
    const isTold = (one: string) => watch.lines.some((line) => line.includes(`${one}: open (revision 1), confirmed`));
    await until(async () => many.every(isTold));
    assert.equal(await watch.end(), 0);
    assertNothingPersonal(watch.lines.join('\n'));
    assert.ok(!watch.lines.join('\n').includes('another road'));
  });

  it('of one policy tells each turn of it', async (t) => {
    const number = await opened({ policy_state: APPROVED });
    const watch = watching(t, number, '--every', '100ms');
    await until(async () => watch.lines.some((line) => line.includes('APPROVED; SYNCED; revision 1')), 60_000);
    await run(['cancel', number, '--wait']);
    await until(async () =>
      watch.lines.some((line) => line.includes('INACTIVE; SYNCED; revision 2, WeChat Pay holds 2')),
    );
    assert.equal(await watch.end(), 0);
  });

  it('in a terminal is a table that is drawn anew in its place, and ends by Ctrl-C', {
    skip: NO_TERMINAL,
  }, async (t) => {
    const number = await opened({ policy_state: APPROVED });
    const command = `stty cols 160 rows 50; exec ${process.execPath} ${COMMAND} watch --every 100ms`;
    const child = spawn('script', ['-qefc', command, '/dev/null'], {
      env: stage.env,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    let shown = '';
    child.stdout.on('data', (chunk) => {
      shown += chunk;
    });
    await until(async () => /SYNC +POLICIES +SINCE/.test(shown) && shown.includes(number), 60_000);
    // It goes up the lines of the former table, and clears them.
    await until(async () => shown.includes('\u001b[1A'));
    const ended = once(child, 'close');
    child.stdin.write('\u0003');
    assert.deepEqual(await ended, [0, null]);
    assertNothingPersonal(shown);
  });

  it('says in one line that a server is away when it begins', async () => {
    const away = await on.line.run(['watch'], { ...stage.env, MONGODB_URI: 'mongodb://127.0.0.1:1/x' });
    assert.deepEqual(
      [away.code, /^policy-sync: MongoDB at 127\.0\.0\.1:1 is not available [^\n]*\n$/.test(away.stderr)],
      [3, true],
    );
    const none = await run(['watch', uniqueNumber()]);
    assert.deepEqual([none.code, /no such policy is known to Temporal/.test(none.stderr)], [1, true]);
  });
});

describe('reconcile', { timeout: 120_000 }, () => {
  async function reconciled(number: string, at: Date, ...words: string[]): Promise<Reconciled | undefined> {
    const { code, stdout, stderr } = await run(['reconcile', '--as-of', at.toISOString(), '--json', ...words]);
    assert.ok(code === 0 || code === 4, stderr);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    return lines.find(({ out_insurance_no }) => out_insurance_no === number);
  }

  /** The times of commands are to the millisecond, those of a business date to the second: a whole one apart. */
  const second = (): Promise<Date> =>
    new Promise((resolve) => setTimeout(() => resolve(new Date(Date.now() - 1000)), 2100 - (Date.now() % 1000)));

  /** That somebody saw personal values is among the commands, too, and says nothing of what WeChat Pay holds. */
  async function revealed(number: string): Promise<void> {
    const storage = await connect(String(stage.env.MONGODB_URI), { keyring: undefined });
    try {
      const { revision = 0 } = (await storage.policies.findOne({ _id: `${MCHID}/${number}` })) ?? {};
      await writeReveal(storage, { mchid: MCHID, out_insurance_no: number, revision }, 'support');
    } finally {
      await storage.close();
    }
  }

  it('tells of each date what was held then on both sides, whatever has happened since', async () => {
    const unborn = new Date(Date.now() - 5000);
    const number = await opened({ policy_state: APPROVED });
    await until(async () => (await run(['show', number])).stdout.includes('SYNCED'));
    const first = await second();
    await run(['amend', number, 'plan_id=4711', '--wait']);
    const amended = await second();
    await run(['hold', number, '--reason', 'an incident']);
    await run(['amend', number, 'plan_id=4712']);
    await until(async () => (await run(['show', number, '--json'])).stdout.includes('4712'));
    await revealed(number);
    const kept = await second();
    await run(['unhold', number, '--wait']);
    // The surrender counts from yesterday on, and WeChat Pay hears of it today.
    await run(['cancel', number, '--at', wireTime(Date.now() - DAY), '--wait']);
    await until(async () => (await reconciled(number, new Date()))?.verdict === 'same');

    assert.equal(await reconciled(number, unborn), undefined);
    const at = async (time: Date) => {
      const one = await reconciled(number, time);
      return [one?.ours.plan_id, one?.theirs?.plan_id, one?.ours.policy_state, one?.theirs?.policy_state, one?.verdict];
    };
    const [active, over] = [APPROVED, 'POLICY_STATE_INACTIVE'];
    assert.deepEqual(await at(first), [12535, 12535, over, active, 'differs']);
    assert.deepEqual(await at(amended), [4711, 4711, over, active, 'differs']);
    assert.deepEqual(await at(kept), [4712, 4711, over, active, 'differs']);
    assert.deepEqual(await at(new Date()), [4712, 4712, over, over, 'same']);
  });

  it('writes CSV to a file and to standard output, personal values masked unless they are asked for', async () => {
    const number = await opened({ policy_state: APPROVED });
    await until(async () => (await reconciled(number, new Date()))?.verdict === 'same');
    const now = new Date().toISOString();
    const { stdout, stderr } = await run(['reconcile', '--as-of', now, '--csv', '-']);
    assertNothingPersonal(stdout);
    assert.match(stderr, /(^|\n)policy-sync: \S+: \d+ policies: \d+ the same, \d+ different, \d+ not known whole\n$/);
    const rows = parse(stdout, { columns: true }) as Record<string, string>[];
    const row = rows.find((one) => one.out_insurance_no === number);
    assert.deepEqual(
      [row?.verdict, row?.ours_plan_id, row?.theirs_plan_id, row?.ours_address],
      ['same', '12535', '12535', '•••'],
    );
    const file = join(stage.directory, 'reconciled.csv');
    await run(['reconcile', '--as-of', now, '--csv', file, '--reveal', '--mchid', MCHID]);
    assert.ok((await readFile(file, 'utf8')).includes(SEED.address));
  });

  it('says unknown of what is not kept any more, and refuses what is no date', async () => {
    const number = await opened({ policy_state: APPROVED });
    await run(['amend', number, 'plan_id=5', '--wait']);
    const storage = await connect(String(stage.env.MONGODB_URI), { keyring: undefined });
    try {
      const policy = `${MCHID}/${number}`;
      await until(async () => (await storage.commands.countDocuments({ policy, confirmed_at: { $ne: null } })) === 2);
      const before = await storage.commands.findOne({ policy, command: 'open' });
      await storage.commands.deleteMany({ policy });
      const one = await reconciled(number, new Date((before?.at.getTime() ?? 0) + 1));
      assert.deepEqual([one?.verdict, one?.theirs, one?.ours.plan_id], ['unknown', null, undefined]);
      assert.ok(one?.unknown.ours.includes('plan_id'));
    } finally {
      await storage.close();
    }
    const wrong = await run(['reconcile', '--as-of', 'yesterday']);
    assert.deepEqual([wrong.code, /Expected a date such as 2026-11-30/.test(wrong.stderr)], [2, true]);
  });
});
