import { z } from 'zod';
import { foundKind, OWN_WORDS } from '../policy/expected.ts';

/** Ways to answer with a signature that must not be believed; `forge` of a fault. */
export const FORGERIES = ['signature', 'timestamp', 'signtest', 'unsigned', 'serial'] as const;
export type Forgery = (typeof FORGERIES)[number];

const LONGEST_DELAY_MS = 600_000;

const delay_ms = z.number().int().min(0).max(LONGEST_DELAY_MS);
const status = z.number().int().min(200).max(599);
const headerText = z.string().regex(/^[\x20-\x7e]*$/);
// What frames the answer is Node's to say.
const headerName = z.string().regex(/^(?!(content-length|transfer-encoding|connection|trailer)$)[\w!#$%&'*+.^`|~-]+$/i);
const delayed = { delay_ms: delay_ms.optional() };
const instead = { ...delayed, effect: z.literal(true).optional() };

const actionSchema = z.union(
  [
    z.strictObject({ delay_ms }),
    z.strictObject({
      ...instead,
      status,
      code: z.string(),
      message: z.string().optional(),
      retry_after: z.union([z.number().min(0), headerText]).optional(),
      unsigned: z.boolean().optional(),
      forge: z.enum(FORGERIES).optional(),
    }),
    z.strictObject({
      ...instead,
      status,
      body: z.string(),
      headers: z.record(headerName, headerText).optional(),
      signed: z.literal(true).optional(),
    }),
    z.strictObject({ ...delayed, drop: z.enum(['before', 'after', 'late']) }),
    z.strictObject({ ...delayed, forge: z.enum(FORGERIES) }),
    z.strictObject({ ...delayed, truncate: z.literal(true) }),
    z.strictObject({ ...instead, redirect: z.string().regex(/^[\x21-\x7e]+$/) }),
    z.strictObject({ ...delayed, answer_of: z.string() }),
    z.strictObject({ ...delayed, names: z.literal('unreadable') }),
  ],
  {
    error: `expected delay_ms (0 to ${LONGEST_DELAY_MS}), alone or with one of: status (200 to 599) and code, with retry_after, message, unsigned, forge, effect: true; status and body, with headers, signed: true, effect: true; redirect, with effect: true; drop: before, after, late; forge: ${FORGERIES.join(', ')}; truncate: true; answer_of; names: unreadable`,
  },
);

export const faultRuleSchema = z.strictObject({
  match: z
    .strictObject({ method: z.enum(['GET', 'PATCH', 'POST']).optional(), out_insurance_no: z.string().optional() })
    .default({}),
  times: z.number().int().min(0).optional(),
  probability: z.number().min(0).max(1).optional(),
  do: actionSchema,
});

export type FaultRule = z.output<typeof faultRuleSchema>;

/**
 * What one request gets instead of, or on top of, what it would have got. The design's: `delay_ms`, `status` with `code`,
 * `drop`, `forge`. Ours beside them: `drop: late` (the connection is cut at once, the effect comes after the delay, unless WeChat
 * Pay refuses it by then), `status` with `body` (raw, unsigned unless `signed`), `truncate` (the answer's second
 * half is cut off), `redirect` (a 307, unsigned), `answer_of` (signed, but another policy), `names: unreadable` (sealed with
 * a key that is not the merchant's), and `delay_ms` together with any of them. `status` and `redirect` have no effect on
 * the policy unless `effect` says so; `drop: after`, `forge`, `truncate`, `answer_of` and `names` come after the effect; the
 * effect comes after the delay.
 */
export interface Fault {
  /** Milliseconds before anything happens. */
  delay_ms?: number | undefined;
  status?: number | undefined;
  code?: string | undefined;
  message?: string | undefined;
  retry_after?: number | string | undefined;
  unsigned?: boolean | undefined;
  body?: string | undefined;
  signed?: true | undefined;
  /** What is answered comes after the effect. */
  effect?: true | undefined;
  headers?: Record<string, string> | undefined;
  drop?: 'before' | 'after' | 'late' | undefined;
  forge?: Forgery | undefined;
  truncate?: true | undefined;
  redirect?: string | undefined;
  answer_of?: string | undefined;
  names?: 'unreadable' | undefined;
}

/** The faults that are to happen: the first rule that fits a request is the one; `times` of it are left. */
export class Faults {
  readonly #random: () => number;
  #rules: FaultRule[] = [];

  /** `random`: at least 0, below 1. */
  constructor(random: () => number) {
    this.#random = random;
  }

  list(): readonly FaultRule[] {
    return this.#rules;
  }

  /** Replaces the rules. Answers what is wrong with them, in one line, and then changes nothing. */
  replace(rules: unknown): string | undefined {
    return this.#keep(rules, []);
  }

  /** Adds rules behind those that are there. Answers like `replace`. */
  add(rules: unknown): string | undefined {
    return this.#keep(rules, this.#rules);
  }

  #keep(rules: unknown, before: readonly FaultRule[]): string | undefined {
    const { data, error } = z.array(faultRuleSchema).safeParse(rules, OWN_WORDS);
    const issue = error?.issues[0];
    if (issue) return `${['faults', ...issue.path].map(String).join('.')}: ${issue.message}${foundKind(issue, rules)}`;
    this.#rules = [...before, ...(data ?? [])];
    return undefined;
  }

  /** The fault of a request, counted as happened; none for most. */
  take(method: string, out_insurance_no: string | undefined): Fault | undefined {
    const rule = this.#rules.find(
      ({ match, times, probability }) =>
        (match.method ?? method) === method &&
        (match.out_insurance_no ?? out_insurance_no) === out_insurance_no &&
        times !== 0 &&
        (probability === undefined || this.#random() < probability),
    );
    if (rule?.times !== undefined) rule.times--;
    return rule?.do;
  }
}
