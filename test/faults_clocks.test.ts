import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { makeKey } from '../codec/keys.ts';
import { until } from './client_namespace.ts';
import { startWorkerStage, type WorkerStage } from './faults_worker.ts';

const MINUTE = 60_000;

// One clock is behind the other by as much as the other is before it: it is WeChat Pay's that the tests set.
let ahead = 0;
let stage: WorkerStage;
before(async () => {
  stage = await startWorkerStage({ payloadKey: makeKey('test'), now: () => Date.now() - ahead });
});
after(() => stage?.close());
afterEach(() => {
  ahead = 0;
});

describe("the worker's clock", { timeout: 120_000 }, () => {
  for (const minutes of [4, -4])
    it(`${off(minutes)}: calls and answers are good, and nobody is held`, async () => {
      const alerts = stage.alerts().length;
      ahead = minutes * MINUTE;
      const number = await stage.approved();
      await stage.amend(number, { address: `at ${minutes}` });
      await stage.synced(number);
      assert.equal((await stage.held(number)).address, `at ${minutes}`);
      assert.equal(stage.alerts().length, alerts);
      assert.ok((await stage.calls(number)).every(({ outcome }) => outcome === 'confirmed'));
    });

  for (const minutes of [6, -6])
    it(`${off(minutes)}: the merchant is held, no policy BLOCKED, nothing confirmed, until it is put right`, async () => {
      const numbers = [await stage.approved(), await stage.approved(), await stage.approved()];
      const alerts = stage.alerts().length;
      ahead = minutes * MINUTE;
      await Promise.all(numbers.map((number) => stage.amend(number, { address: `at ${minutes}` })));
      await until(async () => stage.alerts().length > alerts);
      const [first = ''] = numbers;
      const refused = async () => (await Promise.all(numbers.map(stage.log))).flat().filter(isRefused);
      const met = (await refused()).length;
      await until(async () => (await refused()).length > met);
      for (const number of numbers) {
        const { sync, block, revision, synced_revision } = await stage.status(number);
        assert.deepEqual([sync, block], ['PENDING', null]);
        assert.ok((synced_revision ?? 0) < revision, 'what has not verified is no success');
        assert.notEqual((await stage.held(number)).address, `at ${minutes}`);
        const late = (await stage.calls(number)).filter(({ code }) => code === 'SIGN_ERROR');
        assert.ok(late.every(({ outcome, status }) => outcome === 'merchant-fault' && status === 401));
      }
      assert.equal(stage.alerts().length, alerts + 1, 'one alert');
      assert.match(stage.alerts().at(-1)?.message ?? '', /clock/);
      ahead = 0;
      await Promise.all(numbers.map(stage.synced));
      for (const number of numbers) assert.equal((await stage.held(number)).address, `at ${minutes}`);
      assert.equal((await stage.status(first)).block, null);
    });
});

function off(minutes: number): string {
  return `${Math.abs(minutes)} minutes ${minutes > 0 ? 'ahead' : 'behind'}`;
}

function isRefused({ status }: { status: number | null }): boolean {
  return status === 401;
}
