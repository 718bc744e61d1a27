import { activityInfo } from '@temporalio/activity';
import { differences } from '../policy/difference.ts';
import type { PolicyFields } from '../policy/record.ts';
import { again, attempt, type CallSettings, proven, waited } from './attempt.ts';
import { backoff, nextVerification } from './backoff.ts';
import { checkFormat, later, quiet } from './failure.ts';
import { expectOwnRun, recordNextVerification, recordSnapshot, recordVerification, tellsEvents } from './recording.ts';
import type { VerifyInput } from './types/inputs.ts';
import type { Confirmed, VerifyResult } from './types/results.ts';
import type { Snapshot } from './types/snapshot.ts';

/** What MongoDB did not take is tried again within these: without a request, and together with a verification. */
const RECORD_AGAIN_MS = 60_000;
const VERIFY_AGAIN_MS = 600_000;

/**
 * The verifications of one merchant. One activity lives for as long as nothing is found: an attempt that finds nothing
 * fails, and the server keeps the timer to the next.
 */
export class Verifications {
  readonly #settings: CallSettings;
  /** Attempts in a row that nobody answered: the next goes to the next host. */
  #unanswered = 0;

  constructor(settings: CallSettings) {
    this.#settings = settings;
  }

  async verify(input: VerifyInput): Promise<VerifyResult> {
    checkFormat(input.format);
    await expectOwnRun(this.#settings, input.snapshot);
    const { payloadKey } = this.#settings;
    if (payloadKey !== undefined && input.payload_key !== undefined && payloadKey !== input.payload_key)
      return {
        outcome: 'key-changed',
        recorded: await recordSnapshot(this.#settings, input.snapshot),
        payload_key: payloadKey,
        ...tellsEvents(this.#settings),
      };
    const { out_insurance_no } = input.snapshot;
    const { settles_in = Number.POSITIVE_INFINITY } = input;
    const of = input.expect_absent ? 'absent' : 'confirmed';
    const first = Math.min(nextVerification(out_insurance_no, 1, input.age, input.every, of), settles_in);
    if (input.age < first && waited() < first) return this.#arm(input, first - waited());
    const attempted = await attempt(this.#settings, input.snapshot, {
      method: 'GET',
      send: (client, number, call) => client.queryPolicy(number, call),
      host: this.#unanswered,
      known: [input.expected],
    });
    const found = proven(this.#settings, attempted);
    this.#unanswered = found ? 0 : this.#unanswered + 1;
    if (!found) throw again(attempted);
    const settled = waited() >= settles_in;
    if (found.outcome === 'confirmed' && (settled || this.#differs(input, found))) return found;
    const expected =
      found.outcome === 'refused' &&
      (found.status === 404 ? input.expect_absent && !input.refused && !settled : input.refused);
    if (found.outcome === 'refused' && !expected) return found;
    const usual = nextVerification(out_insurance_no, activityInfo().attempt, input.age + waited(), input.every, of);
    const next = settled ? usual : Math.min(usual, settles_in - waited());
    if (found.outcome === 'refused' && found.status !== 404) throw later('refused', `${found.code}, as before`, next);
    return this.#quiet(input.snapshot, attempted.recorded, next);
  }

  /** Before the first verification is due: what was settled reaches MongoDB. */
  async #arm({ snapshot, age, expect_absent }: VerifyInput, due: number): Promise<never> {
    const recorded = await recordNextVerification(this.#settings, snapshot, new Date(Date.now() + due));
    const wait = recorded ? due : Math.min(due, backoff(activityInfo().attempt), RECORD_AGAIN_MS);
    throw quiet(
      expect_absent ? 'verified' : 'confirmed',
      { sync: snapshot.sync, at: Date.now() - age - waited(), recorded },
      wait,
    );
  }

  /** Nothing new was found: the server keeps the timer to the next verification. */
  async #quiet(snapshot: Snapshot, recorded: boolean, next: number): Promise<never> {
    const at = Date.now();
    const noted = await recordVerification(this.#settings, snapshot, new Date(at + next));
    // No attempt knows what those before it could not record, so the record comes with a verification.
    const isRecorded = recorded && noted;
    const wait = isRecorded ? next : Math.min(next, VERIFY_AGAIN_MS);
    throw quiet('verified', { sync: snapshot.sync, at, recorded: isRecorded }, wait);
  }

  #differs({ snapshot, expected, expect_absent, refused, unreadable }: VerifyInput, found: Confirmed): boolean {
    const lost = found.unreadable.filter((field) => !unreadable.includes(field));
    const { mchid, out_insurance_no } = snapshot;
    if (lost.length > 0)
      this.#settings.log.error({ mchid, out_insurance_no, fields: lost }, 'no key of the merchant opens these fields');
    // Which fields nobody can open is known to the workflow, and so must a change of it be.
    if (expect_absent || refused || lost.length > 0 || unreadable.some((field) => !found.unreadable.includes(field)))
      return true;
    const { policy, unreadable: blind } = found;
    return differences(expected, policy, blind).length > 0 || gains(policy, expected, blind);
  }
}

/** A field that was empty and now has a value is a change too, which `differences` does not see from our side. */
function gains(policy: PolicyFields, expected: PolicyFields, blind: readonly string[]): boolean {
  const theirs = Object.fromEntries(Object.keys(expected).map((field) => [field, policy[field]]));
  return differences(theirs, expected, blind).length > 0;
}
