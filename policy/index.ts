// `wechatpay-policy-sync/policy`: the record and the messages, as zod schemas and types, and the rules' names.
export {
  bareSchema,
  COMMAND_SCHEMAS,
  type CommandInput,
  type CommandName,
  type Envelope,
  parsedCommand,
} from './commands.ts';
export type { Difference } from './difference.ts';
export { POLICY_TYPES } from './fields.ts';
export {
  type Policy,
  type PolicyFields,
  type PolicyRecord,
  parsedRecord,
  policyFieldsSchema,
  policySchema,
  type RecordInput,
  recordSchema,
  uploadSchema,
  workflowIdOf,
} from './record.ts';
export { RULES, type RuleName } from './rules.ts';
export { CAUSES, type Cause, POLICY_STATES, type PolicyState, TRANSITIONS } from './state.ts';
export { parse, RuleViolation, type Violation } from './violation.ts';
