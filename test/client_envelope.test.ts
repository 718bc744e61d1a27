import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Client } from '@temporalio/client';
import { PolicyRefused } from '../client/errors.ts';
import { PolicyClient } from '../client/policy_client.ts';
import { type Envelope, openSchema } from '../policy/commands.ts';
import { recordOf } from './fixtures.ts';

const ILLEGAL: readonly [what: string, envelope: object, rule: string][] = [
  ['a version that is a text', { version: '7' }, 'type'],
  ['a version that is no whole number', { version: 1.5 }, 'type'],
  ['a version below 0', { version: -1 }, 'too-short'],
  ['an event_id of any length', { event_id: 'x'.repeat(201) }, 'too-long'],
  ['an event_id that is half a character', { event_id: 'x\ud800' }, 'ill-formed'],
  ['a name that no envelope has', { event: 'e1' }, 'unknown-field'],
];

/** Whatever is asked of Temporal here fails the test. */
const unreachable = new Proxy({} as Client, {
  get(_client, name) {
    throw new Error(`Temporal was asked for ${String(name)}`);
  },
});

describe('the envelope', () => {
  for (const [what, envelope, rule] of ILLEGAL)
    it(`of open is checked like that of any message, before anything is sent: ${what}`, async () => {
      const client = new PolicyClient(unreachable);
      await assert.rejects(client.openPolicy(recordOf(), envelope as Envelope), (error) => {
        assert.ok(error instanceof PolicyRefused, String(error));
        return error.rule === rule;
      });
    });

  it("of open is checked by the workflow's schema too", () => {
    const digest = 'd'.repeat(64);
    for (const [what, envelope] of ILLEGAL)
      assert.equal(openSchema.safeParse({ ...envelope, digest }).success, false, what);
    assert.ok(openSchema.safeParse({ event_id: 'e', version: 7, by: 'b', digest }).success);
    assert.equal(openSchema.safeParse({}).success, false);
  });
});
