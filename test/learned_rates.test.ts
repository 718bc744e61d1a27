import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { LearnedRates } from '../worker/learned_rates.ts';
import { makeNamespace, type Namespace, until } from './client_namespace.ts';
import { type Line, lineTo } from './storage_fixture.ts';

let temporal: Namespace;
let line: Line;
before(async () => {
  temporal = await makeNamespace();
  const { hostname: host, port } = new URL(`http://${temporal.env.TEMPORAL_ADDRESS}`);
  line = await lineTo({ host, port: Number(port) });
});
after(async () => {
  await line?.cut();
  await temporal?.stop();
});

it('a worker that shuts down does not wait for a Temporal that does not answer, however many merchants it serves', async (t) => {
  const connection = await NativeConnection.connect({ address: `127.0.0.1:${line.port}` });
  t.after(() => connection.close());
  const namespace = temporal.env.TEMPORAL_NAMESPACE;
  const served = Array.from({ length: 50 }, (_, at) => ({
    mchid: String(1_900_000_000 + at),
    requests_per_second: 50,
  }));
  let asked = 0;
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const rates = new LearnedRates(new Client({ connection, ...(namespace && { namespace }) }), log, () => {
    asked++;
    return served;
  });
  line.hang();
  const over = new AbortController();
  const ended = rates.keepLooking(over.signal).then(() => 'ended');
  await until(async () => asked > 1);
  over.abort();
  const enough = new AbortController();
  assert.equal(await Promise.race([ended, delay(20_000, 'late', { signal: enough.signal })]), 'ended');
  enough.abort();
});
