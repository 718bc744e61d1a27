// Loaded before the test files. Node 20 and 22 look for the source of a failing `assert.ok` that has no message, to show it.
// In code that tsx has put on one line they parse it again from every column: ten minutes of work in a long file, and
// nothing found at the end. Here it says at once what it found; the stack tells where. It is JavaScript, for the threads
// of Temporal's worker load it too, and under `node --test` tsx does not reach them.
import assert from 'node:assert/strict';
import { inspect } from 'node:util';

function ok(value, message) {
  if (value) return;
  if (message instanceof Error) throw message;
  const said = message ?? `expected a true value, found ${inspect(value)}`;
  throw new assert.AssertionError({ message: said, actual: value, expected: true, operator: '==', stackStartFn: ok });
}

Object.assign(assert, { ok });
