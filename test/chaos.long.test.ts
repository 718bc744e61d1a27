// A short chaos run, and that its checker finds what is planted into what the run left behind.
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { type Evidence, type Findings, findingsOf } from '../chaos/findings.ts';
import { planOf } from '../chaos/model.ts';
import { floodsOf, killsOf, resetsOf, weatherOf } from '../chaos/plan.ts';
import { type ChaosReport, runChaos } from '../chaos/run.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';

const SEED = 9;
const CLEAN = { lost: 0, unexpected: 0, illegal: 0, overlapping: 0, unverified: 0, deaf: 0 };

function counted(evidence: Evidence): Record<keyof Findings, number> {
  const counts = Object.entries(findingsOf(evidence)).map(([name, found]) => [name, found.length]);
  return Object.fromEntries(counts) as Record<keyof Findings, number>;
}

describe('chaos', { timeout: 600_000 }, () => {
  let report: ChaosReport;
  let evidence: Evidence;
  let number: string;
  before(async () => {
    report = await runChaos({ policies: 12, minutes: 0.35, seed: SEED, log: () => {} });
    evidence = report.evidence;
    number = [...evidence.wanted.keys()][0] ?? '';
  });
  after(() => report && rm(report.directory, { recursive: true, force: true }));

  const requestOf = (method: string): LoggedRequest => {
    const found = evidence.requests.find((one) => one.method === method && evidence.shown.has(one.request_id));
    assert.ok(found);
    return found;
  };

  it('worker, Temporal and MongoDB killed, WeChat Pay at fault: workflows reset and flooded, keys rotated: nothing lost, illegal, overlapping, unverified or deaf', () => {
    assert.deepEqual(report.findings, {
      lost: [],
      unexpected: [],
      illegal: [],
      overlapping: [],
      unverified: [],
      deaf: [],
    });
    assert.equal(evidence.wanted.size, 12);
    assert.ok(
      Object.values(report.kills).every((count) => count > 0),
      JSON.stringify(report.kills),
    );
    const { faults, resets, flooded, fresh } = report;
    // Which of them were met depends on how much the machine gets done; the plan has them all.
    assert.ok(Object.values(faults).filter((met) => met > 0).length > 2, JSON.stringify(faults));
    assert.ok(resets > 0);
    assert.ok(flooded > 0);
    assert.equal(fresh, flooded, 'each went over into a fresh run');
  });

  it('a field that WeChat Pay does not hold is a loss', () => {
    const wanted = new Map(evidence.wanted).set(number, { ...evidence.wanted.get(number), address: 'elsewhere' });
    assert.deepEqual(counted({ ...evidence, wanted }), { ...CLEAN, lost: 1 });
  });

  it('a policy that does not come to rest is a loss', () => {
    const unsettled = new Map([[number, 'RETRYING, revision 1 of 2']]);
    assert.deepEqual(counted({ ...evidence, unsettled }), { ...CLEAN, lost: 1 });
  });

  it('a request refused by a rule of the sandbox is illegal, also where a fault kept the answer back', () => {
    const refused: LoggedRequest = { ...requestOf('PATCH'), refused: 'INVALID_REQUEST', status: null };
    const requests = evidence.requests.map((one) => (one.n === refused.n ? refused : one));
    const shown = new Map([...evidence.shown].filter(([id]) => id !== refused.request_id));
    const taken = evidence.taken.filter(({ request_id }) => request_id !== refused.request_id);
    assert.equal(counted({ ...evidence, requests, shown, taken }).illegal, 1);
  });

  it('a request refused for a landing that nobody could know of is not illegal; one made after an answer is', () => {
    const late = { ...requestOf('GET'), method: 'PATCH', n: 1, at: '2026-01-01T00:00:00.000Z', status: null };
    const first: LoggedRequest = { ...late, ended_at: late.at, landed_at: '2026-01-01T00:00:02.000Z' };
    const refused: LoggedRequest = {
      ...first,
      n: 3,
      at: '2026-01-01T00:00:03.000Z',
      ended_at: '2026-01-01T00:00:03.001Z',
    };
    const second: LoggedRequest = { ...refused, refused: 'INVALID_REQUEST', status: 400 };
    const looked = { ...first, n: 2, method: 'GET', status: 200, at: '2026-01-01T00:00:02.500Z' };
    const [{ landed_at: _never, ...before }, after] = [first, { ...looked, ended_at: looked.at }];
    assert.equal(counted({ ...evidence, requests: [first, second] }).illegal, 0);
    assert.equal(counted({ ...evidence, requests: [before, second] }).illegal, 1);
    assert.equal(counted({ ...evidence, requests: [first, after, second] }).illegal, 1);
    const during = { ...first, landed_at: '2026-01-01T00:00:03.001Z' };
    assert.equal(counted({ ...evidence, requests: [during, after, second] }).illegal, 0);
    const later = { ...first, landed_at: '2026-01-01T00:00:03.002Z' };
    assert.equal(counted({ ...evidence, requests: [later, after, second] }).illegal, 1);
  });

  it('a request that comes while one of the same policy is under way overlaps it, one of another policy does not', () => {
    const first = { ...requestOf('GET'), at: '2026-01-01T00:00:00.000Z', ended_at: '2026-01-01T00:00:02.000Z' };
    const second = { ...first, n: first.n + 1, at: '2026-01-01T00:00:01.000Z' };
    const third = { ...first, n: first.n + 2, at: '2026-01-01T00:00:02.000Z' };
    const other = { ...second, path: '/v3/inspolicymgr/deduct/policies/ANOTHER' };
    assert.equal(counted({ ...evidence, requests: [first, second, third] }).overlapping, 1);
    assert.equal(counted({ ...evidence, requests: [first, other, third] }).overlapping, 0);
  });

  it('what was taken for confirmed by an answer that is not genuine is unverified', () => {
    const [first] = evidence.taken;
    assert.ok(first);
    const shown = new Map([...evidence.shown].filter(([id]) => id !== first.request_id));
    assert.ok(counted({ ...evidence, shown }).unverified > 0);
  });

  it('SYNCED in MongoDB with a record that no answer shows is unverified', () => {
    const document = evidence.said.get(number);
    assert.ok(document);
    const said = new Map(evidence.said).set(number, {
      ...document,
      remote: { ...document.remote, address: 'elsewhere' },
    });
    assert.deepEqual(counted({ ...evidence, said }), { ...CLEAN, unverified: 1 });
  });

  it('a policy that does not take the message which comes when all is over is deaf', () => {
    const deaf = new Map([[number, 'Unavailable']]);
    assert.deepEqual(counted({ ...evidence, deaf }), { ...CLEAN, deaf: 1 });
  });

  it('a plan is the same by the same seed, and another by another', () => {
    const planned = (seed: number) => [
      planOf(seed, 3),
      weatherOf(seed, 4),
      killsOf(seed, 3, 2),
      resetsOf(seed, 20),
      floodsOf(seed, 30),
    ];
    assert.deepEqual(planned(SEED), planned(SEED));
    assert.notDeepEqual(planned(SEED), planned(SEED + 1));
  });

  it('a plan has late landings throughout, and names that nobody can open while keys are rotated', () => {
    const spans = weatherOf(SEED, 10).map((faults) => faults.map(({ kind }) => kind));
    assert.ok(spans.every((kinds) => kinds.includes('late landing')));
    assert.ok(spans.some((kinds) => kinds.includes('names unreadable')));
  });
});
