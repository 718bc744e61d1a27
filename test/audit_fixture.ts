import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import type { PolicyId } from '../client/start_operation.ts';
import { waitSynced } from '../client/wait.ts';
import { parseKeys } from '../codec/keys.ts';
import { WechatPay } from '../command/story/wechatpay.ts';
import { workflowIdOf } from '../policy/record.ts';
import { APPROVED } from '../policy/state.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { findPolicy } from '../storage/policies.ts';
import { type Audited, type AuditOptions, audit } from '../worker/audit.ts';
import { until } from './client_namespace.ts';
import { type Stage, setStage } from './client_stage.ts';
import { CommandLine } from './command_process.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';

/** More than an audit asks about at a time. */
export const LOST = 25;

export const of = (out_insurance_no: string, mchid = MCHID): PolicyId => ({ mchid, out_insurance_no });

/** The engine that an audit looks at, for as long as the tests of the file that asks for it run. */
export function auditStage() {
  let stage: Stage;
  let wechatpay: WechatPay;
  let storage: Storage;
  const line = new CommandLine();

  const start = async (): Promise<void> => {
    stage = await setStage();
    wechatpay = new WechatPay(stage.sandboxUrl);
    storage = await connect(String(stage.env.MONGODB_URI), { keyring: parseKeys(stage.env.POLICY_SYNC_KEYS) });
  };
  let started: Promise<void> | undefined;
  before(() => {
    started = start();
    return started;
  });

  after(async () => {
    line.end();
    await storage?.close();
    await stage?.stop();
  });

  const handleOf = (number: string, mchid = MCHID) =>
    stage.client.temporal.workflow.getHandle(workflowIdOf(mchid, number));

  /** A policy that WeChat Pay holds, opened and confirmed. */
  async function synced(): Promise<string> {
    const record = recordOf({ out_insurance_no: uniqueNumber('A'), policy_state: APPROVED });
    const number = record.policy.out_insurance_no;
    await wechatpay.put(number, record.policy);
    const { revision } = await stage.client.openPolicy(record);
    await waitSynced(stage.client, of(number), revision);
    // A workflow that is stopped at once writes no more.
    await until(async () => (await findPolicy(storage, MCHID, number))?.sync === 'SYNCED');
    return number;
  }

  async function control<T>(method: string, path: string, body?: unknown): Promise<T> {
    const headers = { 'content-type': 'application/json' };
    const given = body === undefined ? {} : { headers, body: JSON.stringify(body) };
    const answer = await fetch(`${stage.sandboxUrl}/_sandbox/${path}`, { method, ...given });
    assert.ok(answer.ok, `${path}: ${answer.status}`);
    return (answer.status === 204 ? undefined : await answer.json()) as T;
  }

  const lastRequest = async (): Promise<number> =>
    (await control<LoggedRequest[]>('GET', 'requests?after=0')).at(-1)?.n ?? 0;

  const audited = (options: Partial<AuditOptions> = {}): Promise<Audited> =>
    audit({ temporal: stage.client.temporal, storage }, { fix: false, young: 0, ...options });

  const about = ({ findings }: Audited, number: string) =>
    findings.filter(({ out_insurance_no }) => out_insurance_no === number).map(({ kind }) => kind);

  async function command(...words: string[]) {
    const { code, stdout, stderr } = await line.run([...words, '--json'], stage.env);
    assert.equal(stderr, '');
    return {
      code,
      lines: stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    };
  }

  return {
    line,
    handleOf,
    synced,
    control,
    lastRequest,
    audited,
    about,
    command,
    /** For a hook of who uses it: where a file runs by itself, Node does not await one before the next. */
    ready: async () => {
      await started;
      return { stage, wechatpay, storage };
    },
  };
}

export type AuditStage = ReturnType<typeof auditStage>;
