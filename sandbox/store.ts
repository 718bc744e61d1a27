import { ANSWER_ONLY, UPLOAD_ONLY } from '../policy/fields.ts';
import type { PolicyFields } from '../policy/record.ts';
import { isTransition } from '../policy/state.ts';
import { type HeldPolicy, readPolicies, writePolicies } from './kept_policies.ts';
import { officialFault } from './official.ts';
import { invalidRequest, notFound, paramError } from './refusal.ts';

/** What an upload has to carry (上传保单). `insurance_name` is not on the list: the authorization has it already. */
const REQUIRED = [
  'out_insurance_no',
  'insured_name_list',
  'insurance_company_code',
  'effective_time',
  'expired_time',
  'coverage_detail',
  'support_renewal',
  'policy_type',
  'policy_state',
  'plan_id',
  'out_contract_code',
  'free_insurance',
  'appid',
  'openid',
];

/**
 * The policies that WeChat Pay holds, in memory and, where one is given, in a file, and by what rules they change. Every
 * change is one synchronous step.
 */
export class PolicyStore {
  readonly #strict: boolean;
  readonly #held = new Map<string, HeldPolicy>();
  readonly #file: string | undefined;

  /** `strict`: refuse what only the official pages forbid, too. `file`: what is in it is held, and every change written. */
  constructor(strict: boolean, file?: string) {
    this.#strict = strict;
    this.#file = file;
    for (const policy of file === undefined ? [] : readPolicies(file)) this.#held.set(policy.out_insurance_no, policy);
  }

  all(): HeldPolicy[] {
    return [...this.#held.values()];
  }

  find(out_insurance_no: string): HeldPolicy | undefined {
    return this.#held.get(out_insurance_no);
  }

  /** Throws NOT_FOUND where there is no such policy. */
  get(out_insurance_no: string): HeldPolicy {
    const held = this.#held.get(out_insurance_no);
    if (!held) throw notFound('no such policy');
    return held;
  }

  /** Holds a policy exactly as given, by no rule at all. */
  put(policy: HeldPolicy): HeldPolicy {
    this.#held.set(policy.out_insurance_no, policy);
    this.#keep();
    return policy;
  }

  /** Throws NOT_FOUND where there is no such policy. */
  delete(out_insurance_no: string): void {
    this.get(out_insurance_no);
    this.#held.delete(out_insurance_no);
    this.#keep();
  }

  /** An update (更新保单信息): what it carries replaces what is held. Throws a `Refusal`. */
  update(out_insurance_no: string, sent: PolicyFields): HeldPolicy {
    if (sent.out_insurance_no !== undefined)
      throw paramError('out_insurance_no', 'not expected: the path names the policy');
    const held = this.get(out_insurance_no);
    const foreign = Object.keys(sent).find((field) => UPLOAD_ONLY.has(field) || ANSWER_ONLY.has(field));
    if (this.#strict && foreign !== undefined)
      throw paramError(foreign, 'not expected in an update: an upload sets it');
    const { policy_state } = sent;
    if (
      policy_state !== undefined &&
      policy_state !== held.policy_state &&
      !isTransition(held.policy_state, policy_state)
    )
      throw invalidRequest(`policy_state: ${shown(held.policy_state)} cannot become ${policy_state}`);
    const policy = { ...held, ...sent, out_insurance_no };
    this.#official(policy, sent, held);
    return this.put(policy);
  }

  /** An upload (上传保单) of a number not yet known. Throws a `Refusal`. */
  upload(sent: PolicyFields): HeldPolicy {
    const lacking = REQUIRED.find(
      (field) => sent[field] === undefined && !(field === 'expired_time' && lifetime(sent)),
    );
    const { out_insurance_no } = sent;
    if (lacking !== undefined || out_insurance_no === undefined)
      throw paramError(lacking ?? 'out_insurance_no', 'expected in an upload, found none');
    if (this.#held.has(out_insurance_no)) throw invalidRequest('out_insurance_no: uploaded before');
    const kept = Object.fromEntries(Object.entries(sent).filter(([field]) => !UPLOAD_ONLY.has(field)));
    const policy = { ...kept, out_insurance_no };
    this.#official(policy, sent);
    return this.put(policy);
  }

  #keep(): void {
    if (this.#file !== undefined) writePolicies(this.#file, this.all());
  }

  #official(policy: HeldPolicy, sent: PolicyFields, held?: HeldPolicy): void {
    const fault = this.#strict ? officialFault(policy, sent, held) : undefined;
    if (fault !== undefined) throw invalidRequest(fault);
  }
}

function lifetime(policy: PolicyFields): boolean {
  return policy.coverage_term_type === 'COVERAGE_TERM_TYPE_LIFETIME';
}

/** A state for a message; what `/_sandbox` put in need not be one, nor be text. */
function shown(state: unknown): string {
  return typeof state === 'string' ? state : 'what is no state';
}
