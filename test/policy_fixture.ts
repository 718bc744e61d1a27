import assert from 'node:assert/strict';
import { type CommandName, obey } from '../policy/commands.ts';
import { type Life, openedLife } from '../policy/life.ts';
import { type PolicyRecord, parsedRecord } from '../policy/record.ts';
import { RuleViolation } from '../policy/violation.ts';
import { recordOf } from './fixtures.ts';

export const NOW = Date.parse('2026-01-01T00:00:00Z');

export function record(changes: Record<string, unknown> = {}, settings: Record<string, unknown> = {}): PolicyRecord {
  return parsedRecord(recordOf(changes, settings, { now: NOW }));
}

export function rulesOf(changes: Record<string, unknown>, settings: Record<string, unknown> = {}): string[] {
  try {
    record(changes, settings);
    return [];
  } catch (error) {
    assert.ok(error instanceof RuleViolation);
    return error.violations.map(({ rule, field }) => `${field.replace('policy.', '')}: ${rule}`);
  }
}

export function ruleOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof RuleViolation, String(error));
    return error.rule;
  }
  return 'none';
}

export function lived(...steps: [CommandName, Record<string, unknown>][]): Life {
  return steps.reduce((life, [name, input]) => obey(life, name, input, NOW), openedLife(record(), NOW));
}

export const approved = (): Life => lived(['approve', { policy_code: 'C1' }]);
