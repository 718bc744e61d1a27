// Loaded before the test files. Node 20 and 22 look for the source of a failing `assert.ok` that has no message, to show it.
// In code that tsx has put on one line they parse it again from every column: ten minutes of work in a long file, and
// nothing found at the end. Here it says at once what it found; the stack tells where.
import assert from 'node:assert/strict';
import { inspect } from 'node:util';

function ok(value: unknown, message?: string | Error): asserts value {
  if (value) return;
  if (message instanceof Error) throw message;
  const said = message ?? `expected a true value, found ${inspect(value)}`;
  throw new assert.AssertionError({ message: said, actual: value, expected: true, operator: '==', stackStartFn: ok });
}

Object.assign(assert, { ok });
