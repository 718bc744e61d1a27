import { setTimeout as delay } from 'node:timers/promises';
import { todoOf } from '../policy/blocks.ts';
import type { Status } from '../workflows/messages.ts';
import { expectNumber, expectObject } from './arguments.ts';
import { NotBegun, NotSynced } from './errors.ts';
import type { PolicyClient } from './policy_client.ts';
import type { PolicyId } from './start_operation.ts';

const FIRST_MS = 100;
const MOST_MS = 2_000;

export interface WaitOptions {
  /**
   * How long to wait, in ms.
   * @default 60000
   */
  timeout?: number;
}

/**
 * Waits until WeChat Pay is known to hold the revision, but for what it was decided to leave different: what `--wait` does.
 * @returns the status by then; `DIVERGED` where WeChat Pay holds something otherwise all the same
 * @throws {NotSynced} when it waits for a person (BLOCKED, DIVERGED, STOPPED), or after the time-out
 */
export async function waitSynced(
  client: PolicyClient,
  policy: PolicyId,
  revision: number,
  options: WaitOptions = {},
): Promise<Status> {
  expectNumber(revision, 'revision');
  expectObject(options, 'options');
  const { timeout = 60_000 } = options;
  expectNumber(timeout, 'options.timeout');
  const deadline = Date.now() + timeout;
  for (let pause = FIRST_MS; ; pause = Math.min(pause * 1.5, MOST_MS)) {
    const status = await client.status(policy).catch((error: unknown) => {
      if (!(error instanceof NotBegun)) throw error;
    });
    if (status && status.synced_revision >= revision) return status;
    const stuck = status && stuckBy(status);
    if (stuck) throw stuck;
    if (Date.now() + pause > deadline)
      throw new NotSynced(
        'TIMEOUT',
        `${policy.out_insurance_no}: revision ${revision} is not with WeChat Pay after ${timeout / 1000} s (sync ${status?.sync ?? 'PENDING'}); it goes on`,
      );
    await delay(pause);
  }
}

function stuckBy(status: Status): NotSynced | undefined {
  const { sync, block, diverged, under_way, out_insurance_no: number } = status;
  // One field waits for a person, and others may be on their way.
  if (under_way && sync !== 'STOPPED') return undefined;
  switch (sync) {
    case 'BLOCKED': {
      const request = block?.request_id ? ` (Request-ID ${block.request_id})` : '';
      const why = block ? `${block.code} ${block.message}${request}; ${todoOf(block.code)}` : 'see `show`';
      return new NotSynced(sync, `${number} is BLOCKED: ${why}`);
    }
    case 'DIVERGED': {
      const fields = diverged.length > 0 ? ` in ${diverged.join(', ')}` : '';
      return new NotSynced(
        sync,
        `${number} is DIVERGED: WeChat Pay holds otherwise${fields}; see \`show\`, then accept or amend`,
      );
    }
    case 'HELD':
      return new NotSynced(sync, `${number} is HELD: it was taken, and is sent once somebody sends \`unhold\``);
    case 'OBSERVED':
      return new NotSynced(sync, `${number} is OBSERVED: nothing is written until somebody sends \`observe\` off`);
    case 'STOPPED':
      return new NotSynced(sync, `${number} is STOPPED: its workflow was cancelled; \`resume\` goes on with it`);
    default:
      return undefined;
  }
}
