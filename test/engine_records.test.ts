import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { PolicyRefused, Unavailable } from '../client/errors.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { listCalls } from '../storage/calls.ts';
import { findPolicy, writePolicy } from '../storage/policies.ts';
import { cancelSignal } from '../workflows/messages.ts';
import { until } from './client_namespace.ts';
import { fault, runEngine } from './engine_fixture.ts';
import { openedText } from './history_events.ts';
import type { World } from './world.ts';

// On the dev server, in real time: what is on record of messages, calls and policies.
const engine = runEngine();
const { handleOf, opened, approved, synced, methods, commands } = engine;
let world: World;
before(async () => {
  world = await engine.world();
});

describe('records', () => {
  it('MongoDB has the policy as the workflow sees it, sealed, and one document per attempt', async () => {
    const { policy, number } = await opened();
    await synced(number);
    await world.client.approve(policy, { policy_code: 'C1' });
    await synced(number);
    for (;;) {
      const document = await findPolicy(world.storage, world.mchid, number);
      if (document?.sync === 'SYNCED' && document.revision === 2) break;
      await delay(50);
    }
    const document = await findPolicy(world.storage, world.mchid, number);
    assert.equal(document?.policy_state, APPROVED);
    assert.equal(document?.synced_revision, 2);
    assert.ok(document?.next_verification_at);
    const calls = await listCalls(world.storage, `${world.mchid}/${number}`, 10);
    assert.equal(calls.length, 2);
    for (const call of calls) assert.equal('outcome' in call && call.outcome, 'confirmed');
  });

  it('every accepted message is in `commands`: from whom, what it changed, when WeChat Pay confirmed it', async () => {
    const { policy, number } = await opened();
    await synced(number);
    await world.client.approve(policy, { policy_code: 'C1', by: 'underwriting', event_id: 'e1', version: 3 });
    await world.client.amend(policy, { address: 'B' });
    const at = new Date(Date.now() - 60_000).toISOString();
    await world.client.cancelBySignal(policy, { by: 'app', at, reason: 'sold the car' });
    await synced(number);
    const told = await commands(number, (all) => all.length === 4 && all.every((one) => one.confirmed_at !== null));
    assert.deepEqual(
      told.map(({ command, by, revision }) => [command, by, revision]),
      [
        ['open', null, 1],
        ['approve', 'underwriting', 2],
        ['amend', null, 3],
        ['cancel', 'app', 4],
      ],
    );
    const [, approve, amend, cancel] = told;
    assert.deepEqual([approve?.event_id, approve?.version], ['e1', 3]);
    assert.deepEqual(approve?.before.policy_state, 'POLICY_STATE_ISSUING');
    assert.deepEqual(approve?.after, { policy_state: APPROVED, policy_code: 'C1' });
    assert.deepEqual(amend?.after, { address: 'B' });
    assert.deepEqual([cancel?.business_date, cancel?.reason], [at, 'sold the car']);
    const ids = (await world.requests(number)).map(({ request_id }) => request_id);
    assert.ok(ids.includes(cancel?.request_id ?? ''), 'the Request-ID of the answer that showed it');
    const raw = JSON.stringify(await world.storage.commands.find({ mchid: world.mchid }).toArray());
    for (const personal of ['underwriting', 'sold the car']) assert.ok(!raw.includes(personal), 'at rest in the clear');
  });

  it('an ignored signal is in `commands` with its rule, a duplicate or superseded message is not', async () => {
    const { policy, number } = await approved();
    await world.client.amend(policy, { address: 'B', event_id: 'e1', version: 5 });
    await world.client.amend(policy, { address: 'C', event_id: 'e1' });
    await world.client.amend(policy, { address: 'D', version: 4 });
    await handleOf(number).signal('cancel', { cause: 'NONSENSE' });
    const told = await commands(number, (all) => all.length === 3);
    assert.deepEqual(
      told.map(({ command, rule }) => [command, rule]),
      [
        ['open', null],
        ['amend', null],
        ['cancel', 'enum'],
      ],
    );
  });

  it('end a policy that WeChat Pay has not any more: it is over with us, and that is accepted', async () => {
    const { policy, number } = await opened();
    await synced(number);
    await world.forget(number);
    await world.client.verify(policy);
    await world.until(number, ({ sync }) => sync === 'DIVERGED');
    await assert.rejects(world.client.accept(policy), { rule: 'nothing-to-accept' });
    await world.client.decline(policy, { reason: 'r' });
    await world.client.accept(policy);
    await handleOf(number).result();
    const ended = await findPolicy(world.storage, world.mchid, number);
    assert.deepEqual([ended?.end, ended?.sync], ['DECLINED', 'SYNCED']);
  });

  it('of many who wait for WeChat Pay in vain leave room for a surrender', async () => {
    const { policy, number } = await approved();
    await world.faults(fault(number, { method: 'GET', do: { status: 503, code: 'SYSTEM_ERROR', retry_after: 60 } }));
    const gets = async () => (await world.requests(number)).filter(({ method }) => method === 'GET').length;
    const before = await gets();
    // Temporal has ten updates of a workflow under way at most; a query beside them may wait for long.
    const asked = Array.from({ length: 9 }, () => world.client.verify(policy).catch((error: unknown) => error));
    await until(async () => (await gets()) > before);
    assert.equal((await world.client.cancel(policy)).outcome, 'accepted');
    await world.faults();
    await world.client.resume(policy);
    const answers = await Promise.all(asked);
    const refused = answers.filter((answer) => answer instanceof Unavailable);
    assert.match(refused[0]?.message ?? '', /others wait for WeChat Pay's answer already/);
    assert.ok(answers.every((answer) => answer instanceof Unavailable || !(answer instanceof Error)));
    await synced(number);
    assert.equal((await world.held(number))?.policy_state, INACTIVE);
  });

  it('that only ask make no event of the others forgotten', async () => {
    const { policy, number } = await approved();
    const first = await world.client.amend(policy, { address: 'A', event_id: 'e1' });
    for (let asked = 0; asked < 200; asked += 5)
      await Promise.all([1, 2, 3, 4, 5].map(() => world.client.verify(policy)));
    await world.client.amend(policy, { address: 'B' });
    assert.deepEqual(await world.client.amend(policy, { address: 'A', event_id: 'e1' }), first);
    await synced(number);
    assert.equal((await world.held(number))?.address, 'B');
  });

  it('refused or unanswered for the time being is looked at anew when it comes again', async () => {
    const { policy, number } = await approved();
    await world.faults(
      fault(number, { method: 'PATCH', times: 1, do: { drop: 'before' } }),
      fault(number, { method: 'GET', do: { status: 503, code: 'SYSTEM_ERROR', retry_after: 60 } }),
    );
    await world.client.amend(policy, { address: 'B' });
    await world.until(number, ({ call }) => call === 'query');
    await assert.rejects(world.client.accept(policy, { event_id: 'a1' }), { rule: 'unknown-outcome' });
    await world.faults();
    await world.client.resume(policy);
    await synced(number);
    assert.equal((await world.client.accept(policy, { event_id: 'a1' })).outcome, 'unchanged');
    await world.faults(fault(number, { method: 'GET', times: 1, do: { status: 403, code: 'RULE_LIMIT' } }));
    await assert.rejects(world.client.verify(policy, { event_id: 'v1' }), { name: 'Unavailable' });
    await world.faults();
    const answered = await world.client.verify(policy, { event_id: 'v1' });
    assert.deepEqual(answered, await world.client.verify(policy, { event_id: 'v1' }));
    assert.deepEqual(answered.differences, []);
  });

  it('of a policy hold nothing of another, though a thread evaluates the code once for all that it has', async () => {
    const words = ['甲'.repeat(20), '乙'.repeat(20)] as const;
    const [one, other] = [await approved(), await approved()];
    const lives = [
      { ...one, own: words[0], foreign: [words[1], other.number] },
      { ...other, own: words[1], foreign: [words[0], one.number] },
    ];
    for (const street of [1, 2, 3])
      for (const { policy, own } of lives) await world.client.amend(policy, { address: `${own} ${street}` });
    const [codec] = world.temporal.options.loadedDataConverter.payloadCodecs;
    assert.ok(codec);
    for (const { number, own, foreign } of lives) {
      await synced(number);
      const kept = JSON.stringify(await findPolicy(world.storage, world.mchid, number));
      const told = await openedText(handleOf(number), codec);
      for (const text of [kept, told]) {
        assert.ok(text.includes(own) && text.includes(number));
        for (const word of foreign) assert.ok(!text.includes(word), word);
      }
    }
  });

  it('a flood of illegal signals is on record, each once, and no call goes on carrying them all', async () => {
    const { policy, number } = await approved();
    const flood = 100;
    const illegal = (): Promise<void> => handleOf(number).signal(cancelSignal, { cause: 'NOBODY' } as never);
    for (let sent = 0; sent < flood; sent++) await illegal();
    await commands(number, (all) => all.length === flood + 1);
    await illegal();
    const pending = async (): Promise<number> => {
      const { carried } = (await findPolicy(world.storage, world.mchid, number)) ?? {};
      return JSON.parse(String(carried)).journal.entries.length;
    };
    await until(async () => (await pending()) < 20);
    await commands(number, (all) => all.length === flood + 2);
    await world.client.resume(policy);
    await world.until(number, ({ attention }) => attention.length === 0);
  });

  it('a life terminated in the middle is not reinstated: told to resume it first, its caller can', async () => {
    const { policy, number } = await approved();
    await world.client.cancel(policy);
    await synced(number);
    await handleOf(number).terminate();
    await assert.rejects(world.client.reinstate(policy, { reason: 'changed his mind' }), (error) => {
      assert.ok(error instanceof PolicyRefused);
      assert.equal(error.rule, 'stopped');
      assert.match(error.message, /terminated; `resume` goes on with it; only then reinstate it$/);
      return true;
    });
    await world.client.resume(policy);
    await synced(number);
    await world.client.reinstate(policy, { reason: 'changed his mind' });
    await synced(number);
    assert.equal((await world.held(number))?.policy_state, APPROVED);
  });

  it('a life terminated in the middle is resumed from its record, keeping revision and messages', async () => {
    const { policy, number } = await approved();
    await world.client.amend(policy, { address: 'B', event_id: 'e1', version: 5 });
    await synced(number);
    await commands(number, (all) => all.length === 2 && all.every((one) => one.confirmed_at !== null));
    await handleOf(number).terminate();
    await world.client.resume(policy);
    const { revision } = await synced(number);
    assert.equal(revision, 2);
    assert.equal((await world.client.amend(policy, { address: 'C', version: 5 })).outcome, 'superseded');
    assert.equal((await methods(number)).filter((method) => method === 'PATCH').length, 1, 'nothing is sent again');
    // Neither raised the revision, which was confirmed before they came.
    const told = await commands(number, (all) => all.length === 4 && all.every((one) => one.confirmed_at !== null));
    assert.deepEqual(
      told.slice(2).map(({ command, by }) => [command, by]),
      [
        ['restored', 'resume'],
        ['resume', null],
      ],
    );
  });

  for (const format of [1, 2])
    it(`a life whose record is of format ${format}, which 0.1 kept, is resumed from it and goes on`, async () => {
      const { policy, number } = await approved();
      await world.client.amend(policy, { address: 'B', event_id: 'e1', version: 5 });
      await synced(number);
      await commands(number, (all) => all.length === 2 && all.every((one) => one.confirmed_at !== null));
      await handleOf(number).terminate();
      await makeFormer(number, format);
      await world.client.resume(policy);
      assert.equal((await synced(number)).revision, 2);
      assert.equal((await world.client.amend(policy, { address: 'C', version: 5 })).outcome, 'superseded');
      await world.client.amend(policy, { address: 'D' });
      await synced(number);
      assert.equal((await world.held(number))?.address, 'D');
    });
});

/** Has MongoDB keep a policy as workers of 0.1 left it: without the members that came later. */
async function makeFormer(number: string, format: number): Promise<void> {
  const found = await findPolicy(world.storage, world.mchid, number);
  assert.ok(found);
  const { _id, unreadable: _all, ...whole } = found;
  const { journal, owed, ...kept } = JSON.parse(String(found.carried));
  const { changed: _since3, drifts, ...standing } = kept.standing;
  const former =
    format === 1
      ? { ...kept, format, standing }
      : { ...kept, journal, owed, format, standing: { ...standing, drifts, changed_before: ['address'] } };
  const carried = JSON.stringify(former);
  await writePolicy(world.storage, { ...whole, step: whole.step + 1, carried });
  await world.storage.policies.updateOne({ _id }, { $unset: { namespace: 1 } });
}
