import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { APPROVED, type PolicyState } from '../policy/state.ts';
import { makeKeys, merchantsFile } from '../sandbox/keys.ts';
import type { Bench, BenchOptions, Figure, Findings, Say } from './bench.ts';
import { policyOf } from './policies.ts';
import { type Ready, startReady } from './processes.ts';

const CALLERS = [16, 64] as const;
const METHODS = ['GET', 'PATCH'] as const;
const NUMBER = 'BENCH1';
/** No names: sealing and opening them is RSA once more, which is not what is compared. */
const FIELDS = {
  policy_state: APPROVED as PolicyState,
  policy_code: 'C0123456789',
  address: '上海市浦东新区晨晖路1001号',
};
/** Of one contender, before it is the next one's turn. */
const TURN_MS = 1_000;
/** Until the code is compiled that is used again and again. */
const WARM_MS = { quick: 2_000, usual: 4_000, full: 4_000 };

type Name = 'ours' | 'axios-plugin' | 'node-v3' | 'ky' | 'fetch' | 'rsa';

interface Made {
  made: number;
  ms: number;
  cpu_ms: number;
}

export const call: Bench = {
  name: 'call',
  about: 'verified calls a second, and CPU a call, against other libraries and against HTTP without crypto',
  async run(options) {
    const directory = await mkdtemp(join(tmpdir(), 'policy-sync-bench-'));
    const ends: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, force: true })];
    try {
      return await measure(options, directory, (end) => ends.push(end));
    } finally {
      for (const end of ends.reverse()) await end();
    }
  },
};

async function measure(
  options: BenchOptions,
  directory: string,
  atEnd: (end: () => Promise<unknown>) => void,
): Promise<Findings> {
  const { server, settings } = await startServer(directory);
  atEnd(() => server.stop());
  const contenders = new Map<Name, ChildProcess>();
  for (const name of contendersHere(options.say)) {
    const process = fork(pathOf('./call/contender.mjs'), [JSON.stringify({ ...settings, name })]);
    atEnd(() => ended(process));
    await reply(process, name);
    contenders.set(name, process);
    for (const method of METHODS)
      await askFor(process, name, { method, callers: CALLERS[0], ms: WARM_MS[options.size] });
  }
  const rounds = options.size === 'quick' ? 1 : 4;
  const all = new Map<string, Made>();
  // The first round warms them up.
  for (const method of METHODS)
    for (const callers of CALLERS)
      for (let round = 0; round <= rounds; round++)
        for (const [name, process] of contenders) {
          const asked = { method, callers, ms: round === 0 ? TURN_MS / 2 : TURN_MS };
          const made = await askFor(process, name, asked);
          if (round > 0) add(all, keyOf(name, method, callers), made);
        }
  const found = (name: Name, method: string, callers: number) => all.get(keyOf(name, method, callers));
  return { figures: figures([...contenders.keys()], found), more: table([...contenders.keys()], found) };
}

async function startServer(directory: string): Promise<{ server: Ready; settings: object }> {
  const keys = await makeKeys(directory);
  const file = (name: string): string => join(directory, name);
  const { insured_name_list: _names, ...policy } = policyOf(NUMBER, FIELDS);
  const answer = { privateKeyFile: file('wechatpay_private_key.pem'), serial: keys.wechatpay_public_key_id, policy };
  const server = await startReady(
    {
      command: process.execPath,
      args: [pathOf('./call/server.mjs'), JSON.stringify(answer)],
      logFile: file('server.log'),
    },
    /^\{"url"/,
  );
  const { url } = JSON.parse(server.line) as { url: string };
  await writeFile(file('merchants.json'), JSON.stringify(merchantsFile(keys, directory, url)), { mode: 0o600 });
  const settings = {
    ...{ url, mchid: keys.mchid, number: NUMBER, fields: FIELDS, merchantsFile: file('merchants.json') },
    serials: { merchant: keys.merchant_serial_no, wechatpay: keys.wechatpay_public_key_id },
    files: {
      merchantPrivate: file('merchant_private_key.pem'),
      merchantCertificate: file('merchant_certificate.pem'),
      wechatpayPrivate: file('wechatpay_private_key.pem'),
      wechatpayPublic: file('wechatpay_public_key.pem'),
    },
  };
  return { server, settings };
}

/** `wechatpay-node-v3` is no dependency: it is measured where somebody has installed it. */
function contendersHere(say: Say): Name[] {
  const names: Name[] = ['ours', 'axios-plugin', 'ky', 'fetch', 'rsa'];
  try {
    createRequire(import.meta.url).resolve('wechatpay-node-v3');
    names.push('node-v3');
  } catch {
    say('wechatpay-node-v3 is left out: `npm install --no-save wechatpay-node-v3@2.2.1` brings it in');
  }
  return names;
}

async function askFor(process: ChildProcess, name: Name, asked: object): Promise<Made> {
  process.send(asked);
  return (await reply(process, name)) as Made;
}

async function reply(process: ChildProcess, name: Name): Promise<unknown> {
  const over = new AbortController();
  const { signal } = over;
  const gone = once(process, 'exit', { signal }).then(([code]) => {
    throw new Error(`the process of ${name} has ended (exit code ${code})`);
  });
  // Given up below, once there is an answer.
  gone.catch(() => {});
  try {
    const [answer] = await Promise.race([once(process, 'message', { signal }), gone]);
    return answer;
  } finally {
    over.abort();
  }
}

async function ended(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const gone = once(process, 'exit');
  process.disconnect();
  await gone;
}

const keyOf = (name: Name, method: string, callers: number): string => `${name} ${method} ${callers}`;

function add(all: Map<string, Made>, key: string, { made, ms, cpu_ms }: Made): void {
  const sum = all.get(key) ?? { made: 0, ms: 0, cpu_ms: 0 };
  all.set(key, { made: sum.made + made, ms: sum.ms + ms, cpu_ms: sum.cpu_ms + cpu_ms });
}

type Find = (name: Name, method: string, callers: number) => Made | undefined;

const perSecond = (made: Made | undefined): number => (made ? (1000 * made.made) / made.ms : Number.NaN);
const cpuEach = (made: Made | undefined): number => (made ? made.cpu_ms / made.made : Number.NaN);

/** Of each method the worse of the two numbers of callers. */
function figures(names: readonly Name[], found: Find): Figure[] {
  const peers = [
    ['axios-plugin', 'wechatpay-axios-plugin', 2.2],
    ['node-v3', 'wechatpay-node-v3', 3],
  ] as const;
  const throughput = peers
    .filter(([peer]) => names.includes(peer))
    .flatMap(([peer, library, least]) =>
      METHODS.map((method): Figure => {
        const both = CALLERS.map((callers) =>
          [found('ours', method, callers), found(peer, method, callers)].map(perSecond),
        );
        return {
          name: `${peer}-${method.toLowerCase()}`,
          what: `verified ${method} a second, to ${library}`,
          ...{ value: Math.min(...both.map(([ours = 0, theirs = 0]) => ours / theirs)), unit: '×', limit: { least } },
          from: both
            .map((pair, n) => `${pair.map((one) => one.toFixed(0)).join(' against ')} at ${CALLERS[n]}`)
            .join(', '),
        };
      }),
    );
  const cpu = METHODS.map((method): Figure => {
    const both = CALLERS.map((callers) => {
      const [ours, http, rsa] = (['ours', 'ky', 'rsa'] as const).map((name) => cpuEach(found(name, method, callers)));
      return [ours ?? 0, (http ?? 0) + (rsa ?? 0)] as const;
    });
    return {
      name: `cpu-${method.toLowerCase()}`,
      what: `CPU of a ${method}, to that of HTTP and the two RSA operations`,
      ...{ value: Math.max(...both.map(([ours, least]) => ours / least)), unit: '×', limit: { most: 1.15 } },
      from: both
        .map(([ours, least], n) => `${ours.toFixed(2)} ms against ${least.toFixed(2)} ms at ${CALLERS[n]}`)
        .join(', '),
    };
  });
  return [...throughput, ...cpu];
}

function table(names: readonly Name[], found: Find): string[][] {
  const columns = METHODS.flatMap((method) => CALLERS.map((callers) => [method, callers] as const));
  const heads = columns.map(([method, callers]) => `${method}, ${callers} at once`);
  const rows = names.map((name) => [
    name,
    ...columns.map(([method, callers]) => {
      const made = found(name, method, callers);
      return `${perSecond(made).toFixed(0)}/s, ${cpuEach(made).toFixed(2)} ms`;
    }),
  ]);
  return [['calls a second, CPU of one', ...heads], ...rows];
}

function pathOf(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}
