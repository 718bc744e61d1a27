import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { waitSynced } from '../client/wait.ts';
import { WechatPay } from '../command/story/wechatpay.ts';
import type { RecordInput } from '../policy/record.ts';
import { type Stage, setStage } from './client_stage.ts';
import { CommandLine, type Ran } from './command_process.ts';
import { MCHID, recordOf, SEED, uniqueNumber } from './fixtures.ts';

export const PERSONAL = ['张三', SEED.car_number, SEED.pet_name, SEED.address, SEED.coverage_detail];

export function assertNothingPersonal(text: string): void {
  for (const value of PERSONAL) assert.ok(!text.includes(value), value);
}

/** The command line beside a running engine, for as long as the tests of the file that asks for it run. */
export function policyCommands() {
  let stage: Stage;
  let wechatpay: WechatPay;
  const line = new CommandLine();

  const start = async (): Promise<void> => {
    stage = await setStage();
    wechatpay = new WechatPay(stage.sandboxUrl);
  };
  let started: Promise<void> | undefined;
  before(() => {
    started = start();
    return started;
  });

  after(async () => {
    line.end();
    await stage?.stop();
  });

  const run = (words: string[], input?: string): Promise<Ran> => line.run(words, stage.env, input);

  /** The one JSON line that a command wrote. */
  async function json<T = Record<string, unknown>>(words: string[], input?: string): Promise<T> {
    const { code, stdout, stderr } = await run([...words, '--json'], input);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^[^\n]+\n$/);
    return JSON.parse(stdout);
  }

  /** A record that WeChat Pay has already, opened and confirmed. */
  async function opened(
    changes: Partial<RecordInput['policy']> = {},
    settings: Partial<RecordInput> = {},
  ): Promise<string> {
    const record = recordOf({ out_insurance_no: uniqueNumber(), ...changes }, settings);
    const number = record.policy.out_insurance_no;
    await wechatpay.put(number, record.policy);
    const { revision } = await stage.client.openPolicy(record);
    await waitSynced(stage.client, { mchid: MCHID, out_insurance_no: number }, revision);
    return number;
  }

  return {
    line,
    run,
    json,
    opened,
    /** For a hook of who uses it: where a file runs by itself, Node does not await one before the next. */
    ready: async () => {
      await started;
      return { stage, wechatpay };
    },
  };
}

export type PolicyCommands = ReturnType<typeof policyCommands>;
