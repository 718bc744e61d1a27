import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Client, Connection } from '@temporalio/client';
import { connectPolicyClient } from '../client/connect.ts';
import {
  InvalidSetting,
  PolicyEnded,
  PolicyRefused,
  ServerRefused,
  ServerUnreachable,
  Unavailable,
  UnknownPolicy,
} from '../client/errors.ts';
import { PolicyClient } from '../client/policy_client.ts';
import { workflowIdOf } from '../policy/record.ts';
import { callQueueOf } from '../workflows/messages.ts';
import { makeNamespace, type Namespace, until } from './client_namespace.ts';
import { MCHID, recordOf, SEED, uniqueNumber } from './fixtures.ts';

const TIMEOUT = 1_500;
// Nobody serves the discard port: connections are refused at once.
const NOWHERE = '127.0.0.1:9';

let temporal: Namespace;
let client: PolicyClient;

before(async () => {
  temporal = await makeNamespace();
  client = await connectPolicyClient({ env: temporal.env, timeout: TIMEOUT });
});

after(async () => {
  await client?.close();
  await temporal?.stop();
});

// gRPC's status codes.
const [PERMISSION_DENIED, UNAUTHENTICATED] = [7, 16];

/** A gRPC server that refuses every call, as Temporal's does without the right credentials. */
async function refusing(status: number): Promise<{ address: string; close(): void }> {
  const server = createServer();
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => sessions.add(session));
  server.on('stream', (stream) => {
    stream.respond(
      {
        ':status': 200,
        'content-type': 'application/grpc',
        'grpc-status': status,
        'grpc-message': 'Request unauthorized.',
      },
      { endStream: true },
    );
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const close = (): void => {
    for (const session of sessions) session.destroy();
    server.close();
  };
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

const policyOf = (out_insurance_no = uniqueNumber()) => ({ mchid: MCHID, out_insurance_no });

/** What an error says, checked to be one line without anything of a person's. */
function saidBy(error: unknown): string {
  const { message } = error as Error;
  assert.doesNotMatch(message, /\n/);
  for (const personal of [SEED.address, SEED.car_number, '张三']) assert.ok(!message.includes(personal));
  return message;
}

describe('a caller can tell apart', () => {
  it('a record that breaks the rules: refused with every rule, before anything is started', async () => {
    const policy = policyOf();
    const record = recordOf({
      ...policy,
      expired_time: SEED.effective_time,
      policy_type: 'POLICY_TYPE_CAR',
      car_number: '',
    });
    await assert.rejects(client.openPolicy(record), (error: unknown) => {
      assert.ok(error instanceof PolicyRefused);
      const rules = error.violations.map(({ rule }) => rule);
      assert.ok(rules.includes('expired-after-effective') && rules.includes('car-number'), rules.join());
      assert.equal(error.rule, rules[0]);
      return saidBy(error) !== '';
    });
    await assert.rejects(client.status(policy), UnknownPolicy);
  });

  it('a command that is malformed: refused before it is sent', async () => {
    await assert.rejects(client.decline(policyOf(), { reason: '' }), PolicyRefused);
    await assert.rejects(client.cancelBySignal(policyOf(), { at: 'tomorrow' }), PolicyRefused);
  });

  it('a policy that was never opened', async () => {
    for (const asked of [
      () => client.status(policyOf()),
      () => client.approve(policyOf(), { policy_code: 'C1' }),
      () => client.cancelBySignal(policyOf()),
      () => client.verify(policyOf()),
    ])
      await assert.rejects(
        asked,
        (error: unknown) => error instanceof UnknownPolicy && /open it first/.test(saidBy(error)),
      );
  });

  it('no worker: unavailable within the time-out, saying what to start; a signal is taken all the same', async () => {
    const record = recordOf({ out_insurance_no: uniqueNumber() });
    const policy = policyOf(record.policy.out_insurance_no);
    await assert.rejects(client.openPolicy(record), (error: unknown) => {
      return error instanceof Unavailable && /within 1\.5 s.*policy-sync worker/.test(saidBy(error));
    });
    await assert.rejects(client.status(policy), Unavailable);
    assert.match(await client.cancelBySignal(policy), /^[0-9a-f-]{36}$/);
    const handle = client.temporal.workflow.getHandle(workflowIdOf(policy.mchid, policy.out_insurance_no));
    const { events } = await handle.fetchHistory();
    const names = events?.map((event) => event.workflowExecutionSignaledEventAttributes?.signalName);
    assert.ok(names?.includes('cancel'));
  });

  it('a policy whose workflow is over: ended, and how', async () => {
    const record = recordOf({ out_insurance_no: uniqueNumber() });
    const policy = policyOf(record.policy.out_insurance_no);
    await assert.rejects(client.openPolicy(record), Unavailable);
    await client.temporal.workflow.getHandle(workflowIdOf(policy.mchid, policy.out_insurance_no)).terminate();
    for (const asked of [() => client.amend(policy, { address: 'x' }), () => client.cancelBySignal(policy)])
      await assert.rejects(asked, (error: unknown) => {
        return error instanceof PolicyEnded && error.ending === 'TERMINATED' && /resume/.test(saidBy(error));
      });
  });

  it('a policy whose workflow was terminated before its first act: open again, for it had claimed nothing', async () => {
    const record = recordOf({ out_insurance_no: uniqueNumber() });
    await assert.rejects(client.openPolicy(record), Unavailable);
    const { workflow } = client.temporal;
    const handle = workflow.getHandle(workflowIdOf(MCHID, record.policy.out_insurance_no));
    await handle.terminate();
    await assert.rejects(client.openPolicy(record), Unavailable);
    assert.equal((await handle.describe()).status.name, 'RUNNING');
  });

  it('a server that cannot be reached, at once and in the middle', async () => {
    const env = { ...temporal.env, TEMPORAL_ADDRESS: NOWHERE };
    await assert.rejects(connectPolicyClient({ env, connectTimeout: 300 }), (error: unknown) => {
      return (
        error instanceof ServerUnreachable && saidBy(error).includes(NOWHERE) && /TEMPORAL_ADDRESS/.test(saidBy(error))
      );
    });
    const connection = Connection.lazy({ address: NOWHERE });
    const lost = new PolicyClient(new Client({ connection }), { timeout: 300 });
    await assert.rejects(lost.status(policyOf()), ServerUnreachable);
    await assert.rejects(lost.openPolicy(recordOf({ out_insurance_no: uniqueNumber() })), ServerUnreachable);
    await connection.close();
  });

  it('a server that refuses: an unknown namespace', async () => {
    const env = { ...temporal.env, TEMPORAL_NAMESPACE: 'nowhere' };
    const stranger = await connectPolicyClient({ env, timeout: TIMEOUT });
    await assert.rejects(stranger.status(policyOf()), (error: unknown) => {
      return error instanceof ServerRefused && /nowhere/.test(saidBy(error));
    });
    await stranger.close();
  });

  it('a server that refuses the credentials, at once and in the middle', async (t) => {
    for (const status of [UNAUTHENTICATED, PERMISSION_DENIED]) {
      const server = await refusing(status);
      t.after(server.close);
      const refused = (error: unknown): boolean =>
        error instanceof ServerRefused &&
        /127\.0\.0\.1.*refuses your credentials \(Request unauthorized\.\): check TEMPORAL_API_KEY/.test(saidBy(error));
      const env = { ...temporal.env, TEMPORAL_ADDRESS: server.address };
      await assert.rejects(connectPolicyClient({ env }), refused);
      const connection = Connection.lazy({ address: server.address });
      t.after(() => connection.close());
      const stranger = new PolicyClient(new Client({ connection }), { timeout: TIMEOUT });
      await assert.rejects(stranger.status(policyOf()), refused);
    }
  });

  it('what is neither yes nor no of POLICY_SYNC_ALLOW_PLAIN, as a worker does', async () => {
    for (const POLICY_SYNC_ALLOW_PLAIN of ['true', '']) {
      const env = { ...temporal.env, POLICY_SYNC_ALLOW_PLAIN };
      await assert.rejects(connectPolicyClient({ env }), (error: unknown) => {
        return (
          error instanceof InvalidSetting &&
          saidBy(error) === `POLICY_SYNC_ALLOW_PLAIN: expected 0 or 1, found "${POLICY_SYNC_ALLOW_PLAIN}"`
        );
      });
    }
  });

  it('a setting that is wrong, without showing a secret', async () => {
    const env = { ...temporal.env, POLICY_SYNC_KEYS: 'k1:not-a-key' };
    await assert.rejects(connectPolicyClient({ env }), (error: unknown) => {
      return (
        error instanceof InvalidSetting &&
        /^POLICY_SYNC_KEYS/.test(saidBy(error)) &&
        !saidBy(error).includes('not-a-key')
      );
    });
  });
});

describe('the client', () => {
  it('starts a policy with search attributes to find it by, and nothing of a person anywhere in the clear but its input', async () => {
    const record = recordOf({ out_insurance_no: uniqueNumber(), policy_type: 'POLICY_TYPE_CAR' });
    await assert.rejects(client.openPolicy(record), Unavailable);
    const id = workflowIdOf(MCHID, record.policy.out_insurance_no);
    const { searchAttributes, type, taskQueue } = await client.temporal.workflow.getHandle(id).describe();
    assert.equal(type, 'policyLifecycle');
    assert.equal(taskQueue, 'policy-sync');
    const expires = new Date(record.policy.expired_time ?? '');
    const { PolicyState, PolicySync, PolicyType, MerchantId, PolicyExpiresAt, RenewalOpensAt } = searchAttributes ?? {};
    assert.deepEqual([PolicyState, PolicySync, PolicyType, MerchantId].flat(), [
      'ISSUING',
      'PENDING',
      'POLICY_TYPE_CAR',
      MCHID,
    ]);
    assert.deepEqual(PolicyExpiresAt, [expires]);
    assert.deepEqual(RenewalOpensAt, [new Date(expires.getTime() - 60 * 86_400_000)]);
  });

  it('sees that nobody serves a merchant', async () => {
    assert.equal(await client.isServed('1999999999'), false);
    // Some worker asks for work on the queue: a poll held open is all that it takes.
    const over = new AbortController();
    const asks = () =>
      temporal.connection.workflowService.pollActivityTaskQueue({
        namespace: temporal.namespace,
        taskQueue: { name: callQueueOf('1999999998') },
        identity: 'a worker',
      });
    const poll = temporal.connection.withAbortSignal(over.signal, () =>
      temporal.connection.withDeadline(Date.now() + 30_000, asks),
    );
    const aborted = assert.rejects(poll);
    await until(() => client.isServed('1999999998'));
    over.abort();
    await aborted;
  });
});
