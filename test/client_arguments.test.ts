import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Client } from '@temporalio/client';
import { connectPolicyClient } from '../client/connect.ts';
import { PolicyRefused } from '../client/errors.ts';
import { listPolicies } from '../client/list.ts';
import { describePolicy } from '../client/pending_call.ts';
import { PolicyClient } from '../client/policy_client.ts';
import { waitSynced } from '../client/wait.ts';
import { MCHID, recordOf } from './fixtures.ts';
import { isOneLine } from './fuzz_arbitraries.ts';

/** Whatever is asked of Temporal here fails the test: what is of a wrong kind is refused before anything is sent. */
const unreachable = new Proxy({} as Client, {
  get(_client, name) {
    throw new Error(`Temporal was asked for ${String(name)}`);
  },
});
const client = new PolicyClient(unreachable);
const POLICY = { mchid: MCHID, out_insurance_no: 'A1' };

// Of the last four JSON would keep an empty object, and a `cancel` with nothing in it says that the user surrenders.
const NO_OBJECTS: readonly unknown[] = [
  ...[null, 'text', '', 7, Number.NaN, 0n, true, false, Symbol('s'), () => ({}), [], [{}], new Date()],
  ...[new Map(), new Set(), Promise.resolve({}), new Error('e')],
];
const NO_TEXTS: readonly unknown[] = [null, undefined, 7, {}, [], new Date()];
const NO_NUMBERS: readonly unknown[] = [null, '7', Number.NaN, Number.POSITIVE_INFINITY, {}, [], 7n];
const NO_POLICIES: readonly unknown[] = [
  ...NO_OBJECTS,
  undefined,
  {},
  ...NO_TEXTS.map((mchid) => ({ ...POLICY, mchid })),
  ...NO_TEXTS.map((out_insurance_no) => ({ ...POLICY, out_insurance_no })),
];

// biome-ignore lint/suspicious/noExplicitAny: what no type checker has seen.
type Anything = any;
type Taker = (value: Anything) => unknown;

const MESSAGES = [
  ...([
    'approve',
    'decline',
    'cancel',
    'withdraw',
    'amend',
    'renew',
    'reinstate',
    'hold',
    'unhold',
    'observe',
  ] as const),
] as const;
const BARE = ['resume', 'verify', 'accept'] as const;
const ALL = [...MESSAGES, ...BARE, 'cancelBySignal'] as const;
const FIRST = {
  approve: { policy_code: 'C' },
  decline: { reason: 'r' },
  reinstate: { reason: 'r' },
  hold: { reason: 'r' },
  observe: { on: true },
} as const;

/** Every argument of every function of the library, and what it must not be. */
const ARGUMENTS: readonly (readonly [what: string, wrong: readonly unknown[], give: Taker])[] = [
  ['the record of openPolicy', [...NO_OBJECTS, undefined], (it) => client.openPolicy(it)],
  ['the envelope of openPolicy', NO_OBJECTS, (it) => client.openPolicy(recordOf(), it)],
  ...ALL.map((name) => [`the message of ${name}`, NO_OBJECTS, (it: Anything) => client[name](POLICY, it)] as const),
  ...ALL.map((name) => {
    const message: Anything = { ...FIRST[name as keyof typeof FIRST], ...(name === 'renew' && { as: 'A2' }) };
    return [`the policy of ${name}`, NO_POLICIES, (it: Anything) => client[name](it, message)] as const;
  }),
  ['the policy of status', NO_POLICIES, (it) => client.status(it)],
  ['the policy of describePolicy', NO_POLICIES, (it) => describePolicy(client, it)],
  ['the policy of waitSynced', NO_POLICIES, (it) => waitSynced(client, it, 1)],
  ['the revision of waitSynced', [...NO_NUMBERS, undefined], (it) => waitSynced(client, POLICY, it)],
  ['the options of waitSynced', NO_OBJECTS, (it) => waitSynced(client, POLICY, 1, it)],
  ['the timeout of waitSynced', NO_NUMBERS, (timeout) => waitSynced(client, POLICY, 1, { timeout })],
  ['the merchant of isServed', NO_TEXTS, (it) => client.isServed(it)],
  ['the filter of listPolicies', NO_OBJECTS, (it) => listPolicies(client, it).next()],
  ...(['mchid', 'state', 'type'] as const).map(
    (name) =>
      [
        `${name} of listPolicies`,
        NO_TEXTS.filter((it) => it !== undefined),
        (it: Anything) => listPolicies(client, { [name]: it }).next(),
      ] as const,
  ),
  ['sync of listPolicies', [null, 'BLOCKED', 7, {}, [7]], (sync) => listPolicies(client, { sync }).next()],
  [
    'expires_before of listPolicies',
    [null, '2026-01-01', 7, new Date(Number.NaN)],
    (expires_before) => listPolicies(client, { expires_before }).next(),
  ],
  ['the options of PolicyClient', NO_OBJECTS, (it) => new PolicyClient(unreachable, it)],
  ['the timeout of PolicyClient', NO_NUMBERS, (timeout) => new PolicyClient(unreachable, { timeout })],
  ['the options of connectPolicyClient', NO_OBJECTS, (it) => connectPolicyClient(it)],
  ['env of connectPolicyClient', NO_OBJECTS, (env) => connectPolicyClient({ env })],
  ['the timeout of connectPolicyClient', NO_NUMBERS, (timeout) => connectPolicyClient({ timeout })],
  ['connectTimeout of connectPolicyClient', NO_NUMBERS, (it) => connectPolicyClient({ connectTimeout: it })],
];

describe('an argument of a wrong kind is refused in one line, before anything is sent:', () => {
  for (const [what, wrong, give] of ARGUMENTS)
    it(what, async () => {
      for (const value of wrong)
        await assert.rejects(
          async () => give(value),
          (error) => {
            assert.ok(error instanceof PolicyRefused, `${String(value)}: ${(error as Error).stack ?? String(error)}`);
            assert.equal(error.rule, 'type');
            assert.ok(isOneLine(error.message), error.message);
            return true;
          },
        );
    });

  it('every method of the client is among them', () => {
    const methods = Object.getOwnPropertyNames(PolicyClient.prototype).filter((name) => name !== 'constructor');
    // `ask` takes a question of the caller's own; `standstill` and `close` take nothing.
    const tried = [...ALL, 'openPolicy', 'status', 'isServed', 'ask', 'standstill', 'close'];
    assert.deepEqual(methods.sort(), tried.sort());
  });

  it('a message that lacks is none, where the message may be empty', async () => {
    for (const name of ['cancel', 'withdraw', ...BARE] as const)
      await assert.rejects(client[name](POLICY), /Temporal was asked/);
  });
});
