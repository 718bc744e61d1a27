import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay, setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { PolicyRefused, Unavailable } from '../client/errors.ts';
import { eachAtOnce } from '../command/at_once.ts';
import { Patience } from '../command/import/patience.ts';
import { Pace } from '../command/pace.ts';

describe('work on items that come one by one', () => {
  it('is done for all, for so many at once and no more, and a slow one holds up no other', async () => {
    const turns = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(turns, fc.integer({ min: 1, max: 8 }), async (items, atOnce) => {
        let [running, most] = [0, 0];
        const done: number[] = [];
        await eachAtOnce(from(items.entries()), atOnce, async ([at, turns]) => {
          most = Math.max(most, ++running);
          for (let turn = 0; turn < turns; turn++) await setImmediate();
          running--;
          done.push(at);
        });
        assert.deepEqual(
          done.sort((a, b) => a - b),
          [...items.keys()],
        );
        assert.ok(most <= atOnce && most >= Math.min(1, items.length));
      }),
    );
    const order: string[] = [];
    await eachAtOnce(from(['slow', 'a', 'b', 'c']), 2, async (name) => {
      for (let turn = 0; turn < (name === 'slow' ? 20 : 1); turn++) await setImmediate();
      order.push(name);
    });
    assert.equal(order.at(-1), 'slow');
  });

  it('ends with the first failure, once what is under way has ended', async () => {
    const done: number[] = [];
    const work = eachAtOnce(from([1, 2, 3, 4, 5, 6]), 2, async (n) => {
      await setImmediate();
      if (n === 2) throw new Error('two');
      await setImmediate();
      done.push(n);
    });
    await assert.rejects(work, /two/);
    assert.ok(done.includes(1) && !done.includes(5), done.join());
  });
});

async function* from<Item>(items: Iterable<Item>): AsyncGenerator<Item> {
  yield* items;
}

describe('a server out of reach', () => {
  const away = new Unavailable('away');
  const patient = (limit: number) => {
    const stop = new AbortController();
    const told: unknown[] = [];
    return { stop, told, patience: new Patience({ limit, stop, firstWait: 1, waits: (error) => told.push(error) }) };
  };

  it('is asked again until it answers, and that is told once', async () => {
    const { stop, told, patience } = patient(10_000);
    let asked = 0;
    const answer = await patience.ask(async () => {
      if (++asked < 4) throw away;
      return 'there';
    });
    assert.deepEqual([answer, asked, told, stop.signal.aborted], ['there', 4, [away], false]);
  });

  it('ends all when it has answered nobody for as long as it may', async () => {
    const { stop, patience } = patient(30);
    const asked = [1, 2, 3].map(() => patience.ask(() => Promise.reject(away)));
    assert.deepEqual(
      (await Promise.allSettled(asked)).map(({ status }) => status),
      ['rejected', 'rejected', 'rejected'],
    );
    assert.equal(stop.signal.reason, away);
  });

  it('that answers others ends only what it does not answer', async () => {
    const { stop, patience } = patient(40);
    const others = setInterval(() => void patience.ask(async () => 'there'), 2);
    const asked = patience.ask(() => Promise.reject(away));
    await assert.rejects(asked, away).finally(() => clearInterval(others));
    assert.equal(stop.signal.aborted, false);
  });

  it('that answered others before it went ends all, not this one', async () => {
    const { stop, patience } = patient(20);
    const others = setInterval(() => void patience.ask(async () => 'there'), 2);
    const asked = patience.ask(async () => {
      await delay(60);
      clearInterval(others);
      throw away;
    });
    await assert.rejects(asked, away);
    assert.equal(stop.signal.reason, away);
  });

  it('is not what refuses: that is not asked again', async () => {
    const { patience } = patient(10_000);
    let asked = 0;
    const question = async () => {
      asked++;
      throw new PolicyRefused('exists', 'exists');
    };
    await assert.rejects(patience.ask(question), PolicyRefused);
    assert.equal(asked, 1);
  });

  it('is waited for no longer when all is to end', async () => {
    const { stop, patience } = patient(60_000);
    const asked = patience.ask(() => {
      stop.abort(new Error('told to end'));
      return Promise.reject(away);
    });
    await assert.rejects(asked, away);
  });
});

describe('progress', () => {
  it('tells how many, of how many, how fast of late, and how long it still takes', () => {
    const pace = new Pace(1000, 0);
    assert.equal(pace.text(0), '0 of 1000');
    for (let second = 1; second <= 10; second++) for (let n = 0; n < 10; n++) pace.count(second * 1000);
    assert.equal(pace.text(10_000), '100 of 1000, 10 a second, 90 s left'.replace('90 s', '2 min'));
    for (let second = 11; second <= 110; second++) pace.count(second * 1000);
    assert.match(pace.text(110_000), /^200 of 1000, 1\.0 a second, 14 min left$/);
    const open = new Pace(undefined, 0);
    for (let n = 0; n < 5; n++) open.count(1000);
    assert.equal(open.text(1000), '5, 5.0 a second');
  });
});
