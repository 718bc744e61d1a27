// What a caller gives beside the fields of a message, which the schemas check. A program in plain JavaScript can give
// anything at all; it is told what is wrong with it like any other caller.
import { isRecord, kindOf } from '../policy/kind.ts';
import { workflowIdOf } from '../policy/workflow_id.ts';
import { PolicyRefused } from './errors.ts';
import type { PolicyId } from './start_operation.ts';

/** @throws {PolicyRefused} `type`, where `value` is no object with members of its own: a list, null, a Promise */
export function expectObject(value: unknown, what: string): void {
  if (!isRecord(value)) throw wrongType(what, 'an object', value);
}

/** The id of a policy's workflow. @throws {PolicyRefused} `type` */
export function idOf(policy: PolicyId): string {
  expectObject(policy, 'policy');
  const { mchid, out_insurance_no } = policy;
  expectText(mchid, 'policy.mchid');
  expectText(out_insurance_no, 'policy.out_insurance_no');
  return workflowIdOf(mchid, out_insurance_no);
}

/** @throws {PolicyRefused} `type` */
export function expectText(value: unknown, what: string): void {
  if (typeof value !== 'string') throw wrongType(what, 'text', value);
}

/** A number of ms that is waited for, or a revision. @throws {PolicyRefused} `type` */
export function expectNumber(value: unknown, what: string): void {
  if (!Number.isFinite(value)) throw wrongType(what, 'a number', value);
}

export function wrongType(what: string, expected: string, found: unknown): PolicyRefused {
  const message = `${what}: expected ${expected}, found ${kindOf(found)}`;
  return new PolicyRefused('type', message, [{ field: what, rule: 'type', message }]);
}
