import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { todoOf } from '../policy/blocks.ts';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED, DECLINED, INACTIVE, ISSUING } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { takeAnswer, takeRefusal, takeUnknown } from '../workflows/reconciler/answers.ts';
import { resume } from '../workflows/reconciler/desired.ts';
import type { Position } from '../workflows/reconciler/position.ts';
import { DAY, SEED } from './fixtures.ts';
import { command, get, NOW, opened } from './reconciler_fixture.ts';

const QUARTER = 15 * 60_000;

describe('the first answer', () => {
  const theirs = (position: Position, changes: PolicyFields): PolicyFields => ({ ...position.held, ...changes });

  it('adopt push sends our fields, and our state where it follows', () => {
    const position = opened({}, { policy_state: APPROVED });
    get(position, theirs(position, { policy_state: ISSUING, address: 'other' }));
    const action = position.next();
    assert.ok(action.call === 'push');
    assert.deepEqual(Object.keys(action.fields).sort(), ['address', 'policy_code', 'policy_state']);
  });

  it('adopt push never undoes INACTIVE: DIVERGED, and nothing is sent', () => {
    const position = opened({}, { policy_state: APPROVED });
    get(position, theirs(position, { policy_state: INACTIVE, address: 'other' }));
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(position.next().call, 'verify');
  });

  it("adopt remote makes WeChat Pay's record ours", () => {
    const position = opened({ adopt: 'remote' });
    get(position, theirs(position, { policy_state: APPROVED, policy_code: 'C', address: 'other' }));
    assert.equal(position.sync, 'SYNCED');
    assert.equal(position.held.address, 'other');
    assert.equal(position.held.policy_state, APPROVED);
  });

  for (const adopt of ['push', 'remote', 'report'] as const)
    it(`adopt ${adopt} has no say in what was changed before it came: a surrender leaves all the same`, () => {
      const position = opened({ adopt }, { policy_state: APPROVED });
      const there = { ...position.held, address: 'other' };
      command(position, 'cancel', {});
      command(position, 'amend', { coverage_detail: 'more' });
      get(position, there);
      const action = position.next();
      assert.ok(action.call === 'push', action.call);
      const { policy_state, coverage_detail, address } = action.fields;
      assert.deepEqual([policy_state, coverage_detail], [INACTIVE, 'more']);
      assert.equal(address, adopt === 'push' ? SEED.address : undefined);
      assert.equal(position.held.address, adopt === 'remote' ? 'other' : SEED.address);
      const expected = adopt === 'report' ? ['address'] : [];
      assert.deepEqual(position.diverged, expected);
    });

  it('of a state from which ours cannot be reached is reported, though ours was changed before it came', () => {
    const position = opened({}, { policy_state: APPROVED });
    command(position, 'cancel', {});
    get(position, { ...position.held, policy_state: DECLINED });
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(position.next().call, 'verify');
    assert.deepEqual(
      position.standing.discrepancies.map(({ field, became }) => [field, became]),
      [['policy_state', 'reported']],
    );
  });

  it('adopt report sends nothing, and accept or resume decides', () => {
    const position = opened({ adopt: 'report' });
    get(position, theirs(position, { address: 'other' }));
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(position.next().call, 'verify');
    resume(position, NOW);
    assert.deepEqual(Object.keys((position.next() as { fields: object }).fields), ['address']);
  });

  it('a change to a policy that WeChat Pay does not know asks again, and is blocked again: it is not PENDING for ever', () => {
    const position = opened();
    const unknown = { status: 404, code: 'NOT_FOUND', message: 'no' };
    takeRefusal(position, unknown, undefined, NOW);
    assert.equal(position.standing.block?.code, 'UNKNOWN_POLICY');
    command(position, 'approve', { policy_code: 'C1' });
    assert.equal(position.next().call, 'query');
    takeRefusal(position, unknown, undefined, NOW);
    assert.equal(position.sync, 'BLOCKED');
  });

  it('an upload that was refused goes on with what is amended of it, until WeChat Pay has the policy', () => {
    const position = opened({ upload: { appid: 'wx1', openid: 'o1' } }, { insurance_company_code: 'A' });
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const upload = position.next();
    assert.ok(upload.call === 'upload');
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'openid' }, upload.fields, NOW);
    assert.equal(position.sync, 'BLOCKED');
    command(position, 'amend', { openid: 'o2', insurance_company_code: 'B', address: 'C' });
    assert.equal(position.next().call, 'query', 'it may have become known meanwhile');
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const { call, fields } = position.next() as typeof upload;
    assert.equal(call, 'upload');
    const { openid, insurance_company_code, address } = fields;
    assert.deepEqual([openid, insurance_company_code, address], ['o2', 'B', 'C']);
    takeAnswer(position, { policy: position.held, unreadable: [] }, fields, NOW);
    for (const late of [{ openid: 'o3' }, { insurance_company_code: 'C' }])
      assert.throws(() => command(position, 'amend', late), { rule: 'not-amendable' });
  });

  it('upload data can be given to a policy that waits to become known: it is asked for once more, then uploaded', () => {
    const position = opened();
    const unknown = { status: 404, code: 'NOT_FOUND', message: 'no' };
    takeRefusal(position, unknown, undefined, NOW);
    assert.equal(position.sync, 'BLOCKED');
    command(position, 'amend', { upload: { appid: 'wx1', openid: 'o1' }, insurance_company_code: 'IC1' });
    assert.equal(position.next().call, 'query');
    takeRefusal(position, unknown, undefined, NOW);
    const upload = position.next();
    assert.ok(upload.call === 'upload');
    const { appid, openid, insurance_company_code } = upload.fields;
    assert.deepEqual([appid, openid, insurance_company_code], ['wx1', 'o1', 'IC1']);
    takeAnswer(position, { policy: position.held, unreadable: [] }, upload.fields, NOW);
    assert.equal(position.sync, 'SYNCED');
    assert.throws(() => command(position, 'amend', { upload: { openid: 'o2' } }), { rule: 'not-amendable' });
  });

  it('upload data of a policy that WeChat Pay has, or had, is refused: it would never be sent', () => {
    const position = opened();
    get(position, position.held);
    const amend = (): void => command(position, 'amend', { upload: { appid: 'wx1', openid: 'o1' } });
    assert.throws(amend, { rule: 'not-amendable' });
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    assert.equal(position.sync, 'DIVERGED');
    assert.throws(amend, { rule: 'not-amendable' });
  });

  it('upload data is not amended while an upload is under way, or of unknown outcome: what it carried may be there', () => {
    const position = opened({ upload: { appid: 'wx1', openid: 'o1' } });
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const upload = position.next();
    assert.ok(upload.call === 'upload');
    const amend = (): void => command(position, 'amend', { upload: { openid: 'o2' } });
    position.sending = upload.fields;
    assert.throws(amend, { rule: 'unknown-outcome' });
    position.sending = undefined;
    takeUnknown(position, upload.fields, NOW);
    assert.throws(amend, { rule: 'unknown-outcome' });
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW + 10 * 60_000);
    assert.throws(amend, { rule: 'unknown-outcome' }, 'it may land still');
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW + 16 * 60_000);
    amend();
    assert.equal(position.life.record.upload?.openid, 'o2');
  });

  it('what was amended while an upload ran has not been refused with it, and goes up in the next', () => {
    const position = opened({ upload: { appid: 'wx1', openid: 'o1' } }, { address: 'refused' });
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const first = position.next();
    assert.ok(first.call === 'upload');
    position.sending = first.fields;
    command(position, 'amend', { address: 'better' });
    position.sending = undefined;
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'address' }, first.fields, NOW);
    const next = position.next();
    assert.equal(next.call === 'upload' && next.fields.address, 'better');
  });

  it('a 404 to an upload is of something that it names: it blocks with its code, and nothing is uploaded again by itself', () => {
    const position = opened({ upload: { appid: 'wx1', openid: 'o1' } });
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const upload = position.next();
    assert.ok(upload.call === 'upload');
    takeRefusal(position, { status: 404, code: 'RESOURCE_NOT_EXISTS', message: 'openid' }, upload.fields, NOW);
    assert.deepEqual([position.sync, position.standing.block?.code], ['BLOCKED', 'RESOURCE_NOT_EXISTS']);
    assert.equal(position.next().call, 'verify');
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW + DAY);
    assert.deepEqual([position.next().call, position.standing.block?.code], ['verify', 'RESOURCE_NOT_EXISTS']);
    resume(position, NOW + DAY);
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW + DAY);
    assert.equal(position.next().call, 'upload', 'a person has it tried again');
  });

  it('amended after a refused upload, it is asked for before it is uploaded: it may have become known since', () => {
    const position = opened({ upload: { appid: 'wx1', openid: 'o1' } }, { address: 'refused' });
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const first = position.next();
    assert.ok(first.call === 'upload');
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'address' }, first.fields, NOW);
    assert.equal(position.sync, 'BLOCKED');
    command(position, 'amend', { address: 'better' });
    assert.equal(position.next().call, 'query');
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const next = position.next();
    assert.equal(next.call === 'upload' && next.fields.address, 'better');
  });

  it('how soon a policy that waits to become known is asked for next goes by when it was found so, or a person had it asked', () => {
    const position = opened();
    const unknown = { status: 404, code: 'NOT_FOUND', message: 'no' };
    takeRefusal(position, unknown, undefined, NOW);
    assert.equal(position.knownSince, NOW);
    takeRefusal(position, unknown, undefined, NOW + DAY);
    assert.equal(position.knownSince, NOW, 'a verification that finds it so still begins nothing anew');
    resume(position, NOW + 2 * DAY);
    takeRefusal(position, unknown, undefined, NOW + 2 * DAY);
    assert.equal(position.knownSince, NOW + 2 * DAY);
    get(position, position.held, NOW + 3 * DAY);
    assert.equal(position.knownSince, NOW + 3 * DAY);
  });

  it('what to do about a block is said once, by its code, and not in its message', () => {
    const bare = opened();
    takeRefusal(bare, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    const lacking = opened({}, { policy_state: APPROVED, policy_code: 'C1' });
    get(lacking, lacking.held);
    command(lacking, 'amend', { address: 'B' });
    takeAnswer(lacking, { policy: { ...lacking.held, address: 'A' }, unreadable: [] }, { address: 'B' }, NOW);
    for (const { standing } of [bare, lacking]) {
      assert.doesNotMatch(standing.block?.message ?? '', /amend|resume|accept\b/);
      assert.match(todoOf(standing.block?.code ?? ''), /amend/);
    }
  });

  for (const [what, end] of [
    [
      'known',
      (position: Position, sent: PolicyFields) => takeAnswer(position, { policy: sent, unreadable: [] }, sent, NOW),
    ],
    [
      'unknown',
      (position: Position, sent: PolicyFields) => {
        takeUnknown(position, sent, NOW);
        get(position, sent);
      },
    ],
  ] as const)
    it(`what came while an upload ran is sent after it, its outcome ${what}: what the upload made there is ours`, () => {
      const position = opened({ upload: { appid: 'wx1', openid: 'o1' } });
      command(position, 'cancel', {});
      takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
      const upload = position.next();
      assert.ok(upload.call === 'upload');
      command(position, 'reinstate', { reason: 'paid' });
      command(position, 'amend', { address: 'B' });
      end(position, upload.fields);
      const { policy_code } = position.held;
      const fields = { address: 'B', policy_state: APPROVED, policy_code };
      assert.deepEqual(position.next(), { call: 'push', fields });
    });

  it('adopt: remote takes the state, and keeps a surrender to come that was accepted before the first answer', () => {
    const position = opened({ adopt: 'remote' });
    command(position, 'cancel', { at: wireTime(NOW + 30 * DAY) });
    get(position, { ...position.held, policy_state: APPROVED });
    assert.deepEqual([position.held.policy_state, position.sync], [APPROVED, 'SYNCED']);
    assert.equal(position.life.cancellation?.at, NOW + 30 * DAY);
  });

  it('adopt: remote takes another end of cover, though the window that the record gave does not fit into it', () => {
    const given = { start_renewal_time: wireTime(NOW + 320 * DAY), end_renewal_time: wireTime(NOW + 380 * DAY) };
    const expired_time = wireTime(NOW + 700 * DAY);
    const position = opened({ adopt: 'remote' }, { policy_state: APPROVED, ...given });
    get(position, { ...position.held, expired_time });
    assert.deepEqual([position.held.expired_time, position.sync], [expired_time, 'SYNCED']);
  });

  it('an upload of unknown outcome is over after its time: what it carried can be taken back', () => {
    const position = opened({ upload: { appid: 'wx1', openid: 'o1' } });
    const missing = (now: number): void =>
      takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, now);
    missing(NOW);
    const action = position.next();
    assert.ok(action.call === 'upload');
    takeUnknown(position, action.fields, NOW);
    missing(NOW + 1);
    assert.deepEqual([position.landsBy, position.mayHold('address')], [NOW + QUARTER, true]);
    missing(NOW + QUARTER);
    assert.deepEqual([position.landsBy, position.mayHold('address')], [undefined, false]);
  });

  it('404 uploads where there is upload data, else blocks', () => {
    const missing = { status: 404, code: 'NOT_FOUND', message: 'no' };
    const bare = opened();
    takeRefusal(bare, missing, undefined, NOW);
    assert.equal(bare.standing.block?.code, 'UNKNOWN_POLICY');
    const uploading = opened({ upload: { appid: 'wx1', openid: 'o1' } });
    takeRefusal(uploading, missing, undefined, NOW);
    const action = uploading.next();
    assert.ok(action.call === 'upload');
    assert.equal(action.fields.openid, 'o1');
  });
});
