// What the fault tests share: a world whose workers run, policies by the dozen in it, each with faults and a client of its
// own, and what has to hold of every one of them however it fared.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { activityInfo } from '@temporalio/activity';
import type { PolicyId } from '../client/start_operation.ts';
import { differences } from '../policy/difference.ts';
import type { PolicyFields, RecordInput } from '../policy/record.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { listCalls } from '../storage/calls.ts';
import type { CallOutcome } from '../storage/documents.ts';
import { WechatPay, type WechatPayOptions } from '../wechatpay/client.ts';
import { readMerchants } from '../wechatpay/merchants_file.ts';
import type { Status } from '../workflows/messages.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import { startWorld, type World, type WorldOptions } from './world.ts';

export interface Life {
  policy: PolicyId;
  number: string;
  record: RecordInput;
}

/** A rule of the sandbox's for one policy; `times` is 1 where it is not said. */
export interface PolicyFault {
  method?: 'GET' | 'PATCH' | 'POST';
  times?: number;
  do: FaultRule['do'];
}

/** How one policy's calls are made: other hosts, less patience, shorter answers. */
export type Terms = Pick<WechatPayOptions, 'timeout' | 'answerLimit'> & { base_urls?: string[] };

export interface Opening {
  settings?: Partial<RecordInput>;
  changes?: PolicyFields;
  /** From the first call on. */
  terms?: Terms;
  faults?: (number: string) => PolicyFault[];
}

export interface FaultWorld extends World {
  /** A policy opened with us; WeChat Pay has it already, unless the record uploads it. Not yet synced. */
  opened(opening?: Opening): Promise<Life>;
  /** Until the policy is synced and nothing is left to send. */
  rests(number: string, patience?: number): Promise<Status>;
  /** Adds faults for one policy, behind those that there are. */
  fault(number: string, ...faults: PolicyFault[]): Promise<void>;
  /** From now on the policy's calls are made so. */
  serve(number: string, terms: Terms): void;
  /** The sandbox's log of the policy, its upload too. */
  log(number: string): Promise<LoggedRequest[]>;
  /** The attempts in MongoDB whose outcome is there, oldest first. */
  calls(number: string): Promise<CallOutcome[]>;
  /** How many attempts MongoDB was too slow for, which it has in a summary only. */
  owed(number: string): Promise<number>;
  /** WeChat Pay holds every one of these fields. */
  assertHeld(number: string, expected: PolicyFields): Promise<void>;
  /** Nothing illegal was sent, no two calls overlapped, and MongoDB has every attempt as the sandbox saw it. */
  assertSound(number: string): Promise<void>;
}

export async function startFaultWorld(options: WorldOptions = {}): Promise<FaultWorld> {
  const clients = new Map<string, WechatPay>();
  const world = await startWorld({
    ...options,
    wechatPay: (usual) => clients.get(activityInfo().workflowExecution?.workflowId ?? '') ?? usual,
  });
  const stop = await world.startWorkers();
  const { merchants } = await readMerchants(join(world.directory, 'merchants.json'));
  const merchant = merchants.get(world.mchid);
  if (!merchant) throw new Error('the world has no merchant');

  const fault: FaultWorld['fault'] = async (out_insurance_no, ...faults) => {
    const rules = faults.map(({ method, times = 1, do: action }) => ({
      match: { out_insurance_no, ...(method && { method }) },
      times,
      do: action,
    }));
    await addFaults(world.sandbox.url, rules);
  };

  const serve: FaultWorld['serve'] = (number, { base_urls = merchant.base_urls, ...rest }) => {
    clients.set(`policy/${world.mchid}/${number}`, new WechatPay({ ...merchant, base_urls }, rest));
  };

  const opened: FaultWorld['opened'] = async ({ settings = {}, changes = {}, terms = {}, faults } = {}) => {
    const number = uniqueNumber('F');
    const record = recordOf({ out_insurance_no: number, ...changes }, { ...settings, mchid: world.mchid });
    if (!settings.upload) await world.put({ ...record.policy });
    serve(number, terms);
    if (faults) await fault(number, ...faults(number));
    await world.client.openPolicy(record);
    return { policy: { mchid: world.mchid, out_insurance_no: number }, number, record };
  };

  const log: FaultWorld['log'] = async (number) => ofPolicy(await world.requests(), number);

  const calls: FaultWorld['calls'] = async (number) => {
    const all = await listCalls(world.storage, `${world.mchid}/${number}`, 1000);
    // A process that is busy for long makes none, and says so: that is of the machine, not of the case.
    return all
      .filter((call): call is CallOutcome & { _id: string } => 'outcome' in call && call.code !== 'LATE')
      .reverse();
  };

  const owed: FaultWorld['owed'] = async (number) => {
    const all = await listCalls(world.storage, `${world.mchid}/${number}`, 1000);
    return all.reduce((sum, call) => sum + ('count' in call ? call.count : 0), 0);
  };

  return {
    ...world,
    opened,
    owed,
    fault,
    serve,
    log,
    calls,
    rests: (number, patience = 60_000) =>
      eventually(
        () => world.client.status({ mchid: world.mchid, out_insurance_no: number }),
        ({ sync, revision, synced_revision, call }) =>
          sync === 'SYNCED' && synced_revision === revision && call === 'verify',
        patience,
      ),
    assertHeld: async (number, expected) => {
      const held = (await world.held(number)) ?? {};
      assert.deepEqual(differences(expected, held), []);
    },
    assertSound: async (number) => {
      const [requests, attempts, lacking] = await eventually(
        async () => [await log(number), (await calls(number)).filter(wasSent), await owed(number)] as const,
        ([sandbox, mongo, summed]) =>
          sandbox.length <= mongo.length + summed && sandbox.every(({ ended_at }) => ended_at !== null),
      );
      assert.deepEqual(refusedByRule(requests), []);
      if (lacking > 0) return;
      const gaveUp = new Set(requests.filter((_, at) => attempts[at]?.code === 'time-out').map(({ n }) => n));
      assert.deepEqual(overlapping(requests, gaveUp), []);
      assert.deepEqual(
        attempts.map(({ method, status, request_id }) => [method, status, request_id]),
        requests.map((request, at) => seen(request, attempts[at])),
      );
    },
    close: async () => {
      await stop();
      await world.close();
    },
  };
}

/** Adds fault rules to those that a sandbox has. */
export async function addFaults(sandboxUrl: string, rules: unknown[]): Promise<void> {
  const body = JSON.stringify(rules);
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${sandboxUrl}/_sandbox/faults`, { method: 'POST', body, headers });
  assert.ok(response.ok, await response.text());
}

/** Of a sandbox's log: one policy's calls, its upload too. */
export function ofPolicy(log: readonly LoggedRequest[], number: string): LoggedRequest[] {
  const mark = JSON.stringify(number);
  return log.filter(({ method, path, body }) =>
    method === 'POST' ? body.includes(mark) : path.endsWith(`/${number}`),
  );
}

/** Of a sandbox's log: what its own rules refused, seen by the caller or not. That a policy is unknown is no refusal. */
export function refusedByRule(log: readonly LoggedRequest[]): LoggedRequest[] {
  return log.filter(({ refused }) => refused !== null && refused !== 'NOT_FOUND');
}

/**
 * Of one policy's log: calls that began before the former had ended. `gaveUp`: calls (by `n`) that their caller had
 * ended by a time-out, while the sandbox went on with them.
 */
export function overlapping(log: readonly LoggedRequest[], gaveUp: ReadonlySet<number> = new Set()): LoggedRequest[] {
  return log.filter(({ at }, index) => {
    const former = log[index - 1];
    if (former === undefined || gaveUp.has(former.n)) return false;
    return former.ended_at === null || at < former.ended_at;
  });
}

/** Polls until a value is as wanted, the longer the more seldom: many cases wait at the same time. */
export async function eventually<T>(
  look: () => Promise<T>,
  wanted: (value: T) => boolean,
  patience = 60_000,
): Promise<T> {
  const from = Date.now();
  for (let pause = 50; ; pause = Math.min(pause * 1.5, 1000)) {
    const value = await look();
    if (wanted(value)) return value;
    if (Date.now() - from > patience) throw new Error(`not so after ${patience} ms: ${JSON.stringify(value)}`);
    await delay(pause);
  }
}

/** A host at which nobody listens. */
export async function closedHost(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${address.port}`;
}

/** One that reached a host: without a connection there is nothing that the sandbox could have logged. */
function wasSent({ code }: CallOutcome): boolean {
  return code !== 'not-connected';
}

/** What MongoDB has to say of a request: all that the sandbox says, unless no whole answer came. */
function seen(request: LoggedRequest, attempt: CallOutcome | undefined): unknown[] {
  const answered = request.status !== null && !UNREAD.has(attempt?.code ?? '');
  return [request.method, answered ? request.status : null, answered ? request.request_id : null];
}

/** Codes of calls whose answer was not read to its end. */
const UNREAD: ReadonlySet<string> = new Set(['time-out', 'no-answer', 'too-large']);
