// What is checked before it is sent. Loaded for the first message, not with the library: zod and the schemas take as long
// to load as a third of the SDK's client.
import { bareSchema, type CommandName, type Envelope, parsedCommand } from '../policy/commands.ts';
import { type PolicyRecord, parsedRecord, type RecordInput, withoutNulls } from '../policy/record.ts';
import { parse, RuleViolation } from '../policy/violation.ts';
import { expectObject } from './arguments.ts';
import { PolicyRefused } from './errors.ts';

/** @throws {PolicyRefused} with every rule that it breaks */
export function checkedRecord(input: RecordInput): PolicyRecord {
  expectObject(input, 'record');
  return checked(() => parsedRecord(input));
}

/** @throws {PolicyRefused} */
export function checkCommand(name: CommandName, message: Envelope): void {
  expectObject(message, name);
  checked(() => parsedCommand(name, message));
}

/** Of a message that carries nothing else. @throws {PolicyRefused} */
export function checkEnvelope(message: Envelope): void {
  expectObject(message, 'message');
  checked(() => parse(bareSchema, withoutNulls(message)));
}

function checked<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof RuleViolation)) throw error;
    throw new PolicyRefused(error.rule, error.message, error.violations, { cause: error });
  }
}
