import { type Fault, FORGERIES, faultRuleSchema } from '../../../sandbox/faults.ts';
import type { LoggedRequest } from '../../../sandbox/requests.ts';
import { jsonSchemaOf } from './json_schemas.ts';
import { code, table, words } from './markdown.ts';

const RULE: Record<string, string> = {
  match: '`method` (`GET`, `PATCH`, `POST`) and `out_insurance_no`, both optional: which requests. Without it: all.',
  times: 'How many requests get it; it is counted down. Without it: all. 0: none any more.',
  probability: '0 to 1: how many of them. Without it: all.',
  do: 'What happens, see below. Required.',
};

const FAULT: Record<keyof Fault, string> = {
  delay_ms: 'Waits so long before anything happens, 600,000 at most. Alone, or with any other.',
  status: 'Answers with this status, 200 to 599, instead; needs `code`, or `body`.',
  code: "WeChat Pay's code, in a body like WeChat Pay's.",
  message: 'Its message.',
  retry_after: 'Header `Retry-After`: seconds, or a text.',
  unsigned: 'true: without a signature.',
  body: 'With `status`: this body as it is, unsigned.',
  signed: 'With `body`: true signs it.',
  effect: 'With `status` or `redirect`: true has the request take effect before it is answered so.',
  headers: 'With `body`: headers of the answer.',
  drop: '`before`: cuts the connection without effect. `after`: takes effect, then cuts it. `late`: cuts it at once, and takes effect after `delay_ms`.',
  forge: `Takes effect, and answers with a signature that must not be believed: ${FORGERIES.map(code).join(', ')}.`,
  truncate: 'true: takes effect, and cuts the second half of the answer off.',
  redirect: 'Answers 307 to this address, unsigned.',
  answer_of: 'Takes effect, and answers with the policy of this number, signed.',
  names: "`unreadable`: takes effect, and seals the names with a key that is not the merchant's.",
};

const REQUEST: Record<keyof Required<LoggedRequest>, string> = {
  n: 'From 1 on.',
  at: 'When it arrived, ISO 8601 with milliseconds.',
  ended_at: 'When it was done; null while it is under way.',
  method: '`GET`, `PATCH`, `POST`.',
  path: 'Path and query.',
  body: 'As received: names are sealed.',
  status: 'Null where none was answered.',
  code: 'Of an error.',
  request_id: 'Its Request-ID.',
  signature_ok: 'Whether its signature was right.',
  refused: 'By which code the service itself refused it; null where it did not.',
  landed_at: 'When it took effect, where that was after it had ended (`drop: late`); absent otherwise.',
};

export function faultRule(): string {
  const { properties = {} } = jsonSchemaOf(faultRuleSchema);
  const names = Object.keys(properties);
  if (names.join() !== Object.keys(RULE).join())
    throw new Error(`a fault rule has ${names.join(', ')}: say what each is`);
  return words(['field', ''], RULE);
}

/** What a fault can do, and the fields that go together. */
export function fault(): string {
  const kinds = jsonSchemaOf(faultRuleSchema).properties?.do?.anyOf ?? [];
  const together = kinds.map(({ properties = {}, required = [] }) => [
    required.map(code).join(', '),
    Object.keys(properties)
      .filter((field) => !required.includes(field))
      .map(code)
      .join(', '),
  ]);
  return `${words(['field', ''], FAULT)}\n\nWhat goes together:\n\n${table(['a fault has', 'and may have'], together)}`;
}

export function request(): string {
  return words(['field', ''], REQUEST);
}
