import type { z } from 'zod';

/**
 * The fields of a schema, each with a word about it: editors show it through the JSON Schemas, people read it in
 * docs/reference. A field without one does not compile.
 */
export function described<Fields extends Record<string, z.ZodType>>(
  fields: Fields,
  words: { readonly [Name in keyof Fields]: string },
): Fields {
  const entries = Object.entries(fields).map(([name, schema]) => [name, schema.describe(words[name] ?? '')]);
  return Object.fromEntries(entries) as Fields;
}

export const RENEWAL_WORDS = {
  opens_before: 'How long before the end of cover the renewal window opens.',
  closes_after: 'How long after the end of cover the renewal window closes.',
} as const;

export const VERIFICATION_WORDS = {
  every: 'How often WeChat Pay is asked what it holds, once nothing has changed for a while.',
  on_drift: 'What becomes of a field that somebody else changed: put right, or only reported.',
  on_state_drift: 'The same for the state. By default nothing is sent: the policy is DIVERGED.',
} as const;

export const RECORD_WORDS = {
  mchid: 'Merchant id, 8 to 10 digits.',
  policy: 'The policy, with the names and types of WeChat Pay. Times are RFC 3339 with an offset.',
  upload: 'What an upload needs besides. With it, a policy that WeChat Pay does not know is uploaded.',
  adopt:
    'What becomes of a difference that the first GET finds: push ours, take the remote record for ours, or only report it.',
  renewal:
    "The renewal window of a policy whose support_renewal is true, where the policy does not give the window's times.",
  verification: 'How often it is verified, and what becomes of what is found.',
  issuing_alert_after: 'A policy that is ISSUING for longer is marked issuing-overdue.',
  retry_alert_after: 'A change that waits for longer shows as RETRYING.',
  reinstatement_within:
    'How long an INACTIVE policy can be reinstated before its workflow ends. By default 30d, after a LAPSE 730d.',
  extra_fields:
    'Names of fields of policy and upload that WeChat Pay has added and this release does not know; any other is refused.',
  observe: 'Watched and compared, never written, until the message observe turns it off. By default false.',
} as const;

export const ENVELOPE_WORDS = {
  event_id:
    'Id of the event in your system: a known one gets its first answer again. Made by library and command where it lacks.',
  version:
    'Grows per policy in your system: one not above the last accepted is answered superseded, and changes nothing.',
  by: 'Who asked, for the history of commands.',
} as const;
