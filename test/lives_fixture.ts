import type { PolicyFields, RecordInput } from '../policy/record.ts';
import { SEARCH_ATTRIBUTES, type Status } from '../workflows/messages.ts';
import { DAY, recordOf, uniqueNumber } from './fixtures.ts';
import type { World } from './world.ts';

/** Lives in a world that is there once the tests run; `keep` is told of each. */
export function livesIn(world: () => World, keep: (number: string) => void) {
  async function now(): Promise<number> {
    return (await world().env?.currentTimeMs()) ?? 0;
  }

  /** Opens a policy that WeChat Pay has as ISSUING already, its cover `term` ms long from now. */
  async function opened(settings: Partial<RecordInput> = {}, changes: PolicyFields = {}) {
    const begin = await now();
    const out_insurance_no = uniqueNumber('L');
    const record = recordOf(
      { out_insurance_no, ...changes },
      { verification: { every: '60d' }, ...settings, mchid: world().mchid },
      { now: begin },
    );
    await world().put({ ...record.policy });
    await world().client.openPolicy(record);
    keep(out_insurance_no);
    await synced(out_insurance_no);
    const policy = { mchid: world().mchid, out_insurance_no };
    return { policy, number: out_insurance_no, begin, expires: begin + 365 * DAY };
  }

  async function approved(settings: Partial<RecordInput> = {}) {
    const life = await opened(settings);
    await world().client.approve(life.policy, { policy_code: 'C1' });
    await synced(life.number);
    return life;
  }

  async function skip(to: number): Promise<void> {
    const wait = to - (await now());
    if (wait > 0) await world().env?.sleep(wait);
  }

  /**
   * Until the policy rests, as wanted. The time-skipping server loses a workflow task when an update comes while
   * another is just being completed (40 tries of it hang within the first three; on the dev server none does), so
   * messages are sent to a policy at rest only.
   */
  async function synced(number: string, wanted: (status: Status) => boolean = () => true): Promise<Status> {
    const rests = (status: Status): boolean =>
      status.sync === 'SYNCED' && status.synced_revision === status.revision && status.call === 'verify';
    let last = '';
    const found = await world().until(number, (status) => {
      const same = last === JSON.stringify(status);
      last = JSON.stringify(status);
      return same && rests(status) && wanted(status);
    });
    await world().armed(number);
    return found;
  }

  /** How the run stands, and what it is found by. */
  async function standing({ mchid, out_insurance_no }: { mchid: string; out_insurance_no: string }): Promise<string> {
    const handle = world().temporal.workflow.getHandle(`policy/${mchid}/${out_insurance_no}`);
    const { status, typedSearchAttributes } = await handle.describe();
    return `${status.name}, shown as ${typedSearchAttributes.get(SEARCH_ATTRIBUTES.sync)}`;
  }

  return { now, opened, approved, skip, synced, standing };
}
