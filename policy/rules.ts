/**
 * Every rule by which a record or a message is refused: what breaks it, and what to do. Names are stable, callers branch on
 * them. docs/reference/errors.md is made of this list; a rule that is not on it does not compile.
 */
export const RULES = {
  // Of the shape of a record or a message.
  type: ['a value of another type than the field has', 'give the type that the message names'],
  enum: ['a value that the field does not take', 'give one of those that the message names'],
  'unknown-field': [
    'a name that is none of this object, or of the contract',
    'correct it; a field that WeChat Pay has added is named in `extra_fields`',
  ],
  format: ['a text of another form than the field has', 'give the form that the message names'],
  'too-short': ['too short a text or list, or too small a number', 'give what the message names'],
  'too-long': ['too long a text or list, or too large a number', 'shorten it to what the message names'],
  'too-large': ['more than 16,384 characters of JSON, or 20,000 values', 'leave out what WeChat Pay does not need'],
  'too-deep': ['lists and objects within each other, more than 32', 'send the record alone'],
  'ill-formed': [
    'half of a surrogate pair, or NUL, in a text; a number too large for JSON to be written again',
    'find the program that cut the text, or give the number as text',
  ],
  blank: ['a text of blanks or invisible characters', 'give a text that can be seen, or leave the field out'],
  empty: ['an empty text', 'give a text, or leave the field out'],
  invalid: ['anything else that a schema refuses', 'correct what the message names'],
  'wide-character': ['a character of 4 bytes in UTF-8, such as an emoji', 'replace it: WeChat Pay takes 3 at most'],
  'insurance-number': [
    'an out_insurance_no that is not 1 to 32 letters and digits',
    'give the number as WeChat Pay has it',
  ],
  time: ['a time that is not RFC 3339 with an offset', 'write it like 2025-09-21T17:11:12+08:00'],
  duration: ['a duration of another form, or out of bounds', 'write it like 60d or 15m, within what the message names'],
  amount: ['an amount that is not a whole number of fen', 'give fen, not yuan'],
  // Of a policy as a whole, after a message too.
  missing: ['no expired_time, without cover for life', 'give it, or coverage_term_type COVERAGE_TERM_TYPE_LIFETIME'],
  'expired-after-effective': ['cover that ends before it begins', 'correct expired_time or effective_time'],
  'car-number': ['POLICY_TYPE_CAR without car_number', 'give car_number'],
  'pet-name': ['POLICY_TYPE_PET without pet_name', 'give pet_name'],
  'policy-code': ['APPROVED, or a cancellation, without policy_code', 'give policy_code'],
  'renewal-window': [
    'a window more than 60 days from expired_time, that begins before cover, or ends before it begins',
    'correct start_renewal_time and end_renewal_time, or leave them out',
  ],
  // Of a message, where the policy stands now.
  'illegal-transition': [
    'a message that the state of the policy does not allow',
    'look at the policy: the message names the states',
  ],
  'not-amendable': [
    'an amendment of the number, the state, or of upload data once WeChat Pay has the policy',
    'states have messages of their own; what was uploaded stays as it is',
  ],
  'cannot-clear': [
    'an amendment that empties a field which WeChat Pay holds, or may hold',
    'give another value: WeChat Pay cannot empty a field; one that it does not hold is taken back by null',
  ],
  lifetime: ['a renewal of cover for life', 'nothing: it has no terms'],
  'renewal-term': ['a renewal that does not end later than the term before', 'give a later expired_time'],
  'continued-by-itself': [
    'a renewal by another policy that names its own number',
    'name the other policy in `as`, or renew with expired_time',
  ],
  'cancellation-pending': [
    'a renewal, while a cancellation of before the end of the term waits',
    'withdraw the cancellation, then renew',
  ],
  expired: ['a term whose end is past already', 'give an expired_time to come'],
  'nothing-to-accept': [
    'accept, while WeChat Pay holds no record of a policy that is not over',
    'resume, or amend what hinders the upload; or cancel or decline the policy, then accept: it can end',
  ],
  'unknown-outcome': [
    'accept, or an amendment of upload data, while it is not known what WeChat Pay holds',
    'wait for its answer, or verify; then send it again',
  ],
  held: ['verify, while the policy is on hold', 'unhold it, then verify'],
  // Of the policy's number and its workflow.
  exists: ['open, while another record has the number', 'amend the policy, or correct the number'],
  ended: ['open of a number whose life is over', 'reinstate it, or give another number'],
  'unknown-policy': ['reinstate or resume of a policy that is not on record', 'open it'],
  erased: ['reinstate or resume of a policy whose personal data were erased', 'nothing: use another number'],
  stopped: ['a message to a policy that is stopped, or being stopped', 'resume it; then send the message again'],
  Unavailable: ['verify, which WeChat Pay did not answer within 60 s', 'try again; see `policy-sync show NO`'],
  'workflow-id': [
    'a workflow started by hand under an id that is not policy/{mchid}/{out_insurance_no}',
    'start it under that id',
  ],
  carried: ['a workflow started by hand with what only a run hands to the next', 'leave options.carried out'],
  'locked-payload': [
    'a sealed start or update that no payload key of the workers opens',
    'seal it with a key that they have, or add its key to their POLICY_SYNC_KEYS',
  ],
  'plain-payload': [
    'a payload in the clear, where payload keys are set',
    'send it with the keys, or set POLICY_SYNC_ALLOW_PLAIN=1',
  ],
  'unreadable-payload': ['a payload that is no JSON', 'send JSON'],
} as const satisfies Record<string, readonly [refuses: string, todo: string]>;

/** Name of a rule. */
export type RuleName = keyof typeof RULES;
