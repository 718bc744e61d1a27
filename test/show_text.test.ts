import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { textOfShown } from '../command/show_text.ts';
import type { Call } from '../storage/documents.ts';

const NOW = Date.parse('2026-01-01T00:10:00Z');
const of = { policy: '1900000001/A1', mchid: '1900000001', workflow_run: 'r', activity_id: '1' };
const intent = { ...of, attempt: 1, method: 'PATCH', revision: 2, step: 3 };

/** The lines about calls of what `show` writes. */
function linesOf(...calls: Call[]): string[] {
  const document = {
    policy_state: 'POLICY_STATE_APPROVED',
    sync: 'SYNCED',
    revision: 2,
    synced_revision: 2,
    end: null,
  } as const;
  const kept = { document, desired: {}, remote: null, differing: [], calls, discrepancies: [], commands: [] };
  const text = textOfShown({ mchid: of.mchid, out_insurance_no: 'A1', status: null, workflow: null, kept }, NOW);
  return text.split('\n').filter((line) => line.startsWith('2026-01-01T08:'));
}

describe('show', () => {
  it('writes every time for people, in +08:00 and to the second', () => {
    const at = new Date(NOW);
    const utc = at.toISOString();
    const command = { _id: 'm', policy: of.policy, mchid: of.mchid, command: 'cancel', at, business_date: utc };
    const told = { ...command, by: null, before: {}, after: {}, revision: 2, rule: null, confirmed_at: at };
    const found = {
      _id: 'f',
      policy: of.policy,
      mchid: of.mchid,
      found_at: at,
      field: 'x',
      kind: 'drift',
      became: 'healed',
    };
    const shown = {
      mchid: of.mchid,
      out_insurance_no: 'A1',
      status: {
        state: 'APPROVED',
        sync: 'BLOCKED',
        revision: 2,
        synced_revision: 1,
        next: { what: 'expiry', at: utc },
        block: { code: 'PARAM_ERROR', message: 'no', at: utc },
        diverged: [],
        attention: [],
        cancellation: { cause: 'LAPSE', at: utc },
        window: 'none',
      },
      workflow: {
        status: 'RUNNING',
        history_length: 9,
        run_id: 'r',
        pending: [{ activity: 'push', attempt: 2, running: false, next_attempt_at: utc, last_failure: null }],
      },
      kept: {
        document: {
          policy_state: 'POLICY_STATE_APPROVED',
          sync: 'BLOCKED',
          revision: 2,
          synced_revision: 1,
          end: null,
        },
        desired: {},
        remote: null,
        differing: [],
        calls: [{ _id: 'c', ...intent, at }],
        discrepancies: [found],
        commands: [told],
      },
    };
    const text = textOfShown(shown as unknown as Parameters<typeof textOfShown>[0], NOW);
    const times = text.match(/\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)?/g) ?? [];
    assert.equal(times.length, 9, text);
    assert.deepEqual(new Set(times), new Set(['2026-01-01T08:10:00+08:00']));
  });

  it('says of a call without an outcome that it is under way, and after a minute that none was recorded', () => {
    const lines = linesOf(
      { _id: 'a', ...intent, at: new Date(NOW - 5_000) },
      { _id: 'b', ...intent, at: new Date(NOW - 90_000) },
    );
    assert.match(lines[0] ?? '', /PATCH +under way$/);
    assert.match(lines[1] ?? '', /PATCH +not recorded$/);
  });

  it('says how many attempts MongoDB has no record of, and what the last was answered', () => {
    const owed = { ...of, count: 7, last_code: 'SYSTEM_ERROR', last_request_id: '08A', at: new Date(NOW) };
    assert.match(linesOf({ _id: 'c', ...owed })[0] ?? '', /7 attempts not recorded +SYSTEM_ERROR +08A$/);
  });

  it('names a workflow that stands still in place of what it last said, but not one whose policy is at its end', () => {
    const synced = { policy_state: 'POLICY_STATE_APPROVED', sync: 'SYNCED', revision: 2, synced_revision: 2 } as const;
    const lineOf = (status: string, end: 'INACTIVE' | 'STOPPED' | null): string | undefined => {
      const kept = {
        document: { ...synced, end },
        desired: {},
        remote: null,
        differing: [],
        calls: [],
        discrepancies: [],
        commands: [],
      };
      const workflow = { workflow_id: 'w', run_id: 'r', status, started_at: '', closed_at: null, history_length: 9 };
      const still_since = new Date(NOW).toISOString();
      const shown = { mchid: of.mchid, out_insurance_no: 'A1', status: null, kept };
      const text = textOfShown({ ...shown, workflow: { ...workflow, still_since, pending: [] } }, NOW);
      return text.split('\n').find((line) => line.startsWith('sync '));
    };
    for (const [status, code, end] of [
      ['TERMINATED', 'TERMINATED', null],
      ['TIMED_OUT', 'TIMED_OUT', null],
      ['PAUSED', 'PAUSED', null],
      ['CANCELLED', 'STOPPED', 'STOPPED'],
    ] as const)
      assert.ok(lineOf(status, end)?.includes(`${code} since 2026-01-01T08:10:00+08:00 (SYNCED before): `), status);
    for (const [status, end] of [
      ['RUNNING', null],
      ['COMPLETED', 'INACTIVE'],
      ['FAILED', 'INACTIVE'],
    ] as const)
      assert.match(lineOf(status, end) ?? '', /^sync +SYNCED$/, status);
  });

  it('leaves empty what a call has not got', () => {
    const call = { ...intent, at: new Date(NOW), outcome: 'unknown', status: null, code: null, request_id: null };
    const [line = ''] = linesOf({ _id: 'd', ...call, duration_ms: 5, host: null });
    assert.match(line, /PATCH +unknown$/);
  });
});
