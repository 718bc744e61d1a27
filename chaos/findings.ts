import type { PolicyFields } from '../policy/record.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { unlike } from './model.ts';
import type { Shown } from './witness.ts';

/** What MongoDB says of a policy. */
export interface Said {
  sync: string;
  revision: number;
  synced_revision: number;
  /** How its life was over; null while it goes on. */
  end: string | null;
  /** As WeChat Pay last showed it. */
  remote: PolicyFields | null;
}

/** What a run left behind, by number of the policy where it is of one. */
export interface Evidence {
  /** What the merchant wanted in the end. */
  wanted: ReadonlyMap<string, PolicyFields>;
  /** What the sandbox holds. */
  held: ReadonlyMap<string, PolicyFields>;
  /** Those that did not come to rest, with what they were at. */
  unsettled: ReadonlyMap<string, string>;
  /** Those that did not take the message that came when all was over, with how it was answered. */
  deaf: ReadonlyMap<string, string>;
  /** Answers to commands that the model does not give. */
  unexpected: readonly Finding[];
  requests: readonly LoggedRequest[];
  /** By Request-ID: the genuine answers. */
  shown: ReadonlyMap<string, Shown>;
  said: ReadonlyMap<string, Said>;
  /** Request-IDs by which the engine took something for confirmed: in `calls` and in `commands`. */
  taken: readonly { number: string; request_id: string; where: string }[];
}

export interface Finding {
  number: string;
  /** One line. */
  what: string;
}

export interface Findings {
  /** WeChat Pay holds something else than the merchant decided, or the engine does not know that it holds it. */
  lost: Finding[];
  /** Commands answered otherwise than they should be. */
  unexpected: Finding[];
  /** Requests that the strict sandbox refused by a rule of its own. */
  illegal: Finding[];
  /** Requests of a policy that came while another of it was under way. */
  overlapping: Finding[];
  /** What the engine takes for confirmed without a genuine answer that shows it. */
  unverified: Finding[];
  /** A message sent when nothing went wrong any more was not accepted. That it reached WeChat Pay, `lost` tells. */
  deaf: Finding[];
}

export function findingsOf(evidence: Evidence): Findings {
  return {
    lost: lost(evidence),
    unexpected: [...evidence.unexpected],
    illegal: illegal(evidence),
    overlapping: overlapping(evidence),
    unverified: unverified(evidence),
    deaf: [...evidence.deaf].map(([number, what]) => ({ number, what })),
  };
}

function lost({ wanted, held, unsettled }: Evidence): Finding[] {
  return [...wanted].flatMap(([number, fields]) => {
    const { out_insurance_no: _, ...theirs } = held.get(number) ?? {};
    const otherwise = unlike(fields, theirs);
    const left = unsettled.get(number);
    if (otherwise.length === 0 && left === undefined) return [];
    return [
      { number, what: [otherwise.length ? `differs in ${otherwise}` : '', left ?? ''].filter(Boolean).join('; ') },
    ];
  });
}

function illegal({ requests }: Evidence): Finding[] {
  // That a policy is unknown is no refusal: it is asked for before it is uploaded.
  return requests
    .filter(({ refused }) => refused !== null && refused !== 'NOT_FOUND')
    .filter((request) => !overtaken(request, requests))
    .map((request) => ({ number: numberOf(request), what: `request ${request.n}: ${request.refused}` }));
}

/** By a late landing that no answer could tell of before the request was made, or that came while the request was under way. */
function overtaken(request: LoggedRequest, requests: readonly LoggedRequest[]): boolean {
  const others = requests.filter(({ n, path }) => n < request.n && path === request.path);
  const until = request.ended_at ?? request.at;
  const landed = others
    .flatMap(({ landed_at }) => (landed_at && landed_at <= until ? [landed_at] : []))
    .sort()
    .at(-1);
  return landed !== undefined && !others.some(({ ended_at, status }) => status === 200 && (ended_at ?? '') >= landed);
}

function overlapping({ requests }: Evidence): Finding[] {
  const ends = new Map<string, { n: number; until: string }>();
  return requests.flatMap((request) => {
    const number = numberOf(request);
    const former = ends.get(number);
    const until = request.ended_at ?? '9999';
    if (!former || until > former.until) ends.set(number, { n: request.n, until });
    if (!former || request.at >= former.until) return [];
    return [{ number, what: `request ${request.n} came at ${request.at}, ${former.n} went on until ${former.until}` }];
  });
}

function unverified({ wanted, requests, shown, said, taken, held }: Evidence): Finding[] {
  const findings = taken
    .filter(({ request_id }) => !shown.has(request_id))
    .map(({ number, request_id, where }) => ({ number, what: `${where}: no genuine answer ${request_id}` }));
  const answers = new Map<string, Shown[]>();
  for (const request of requests) {
    const answer = shown.get(request.request_id);
    if (!answer || request.status !== 200) continue;
    const number = numberOf(request);
    answers.set(number, [...(answers.get(number) ?? []), answer]);
  }
  for (const [number, fields] of wanted) {
    const document = said.get(number);
    if (document?.sync !== 'SYNCED') continue;
    const same = (policy: PolicyFields): boolean => shows(policy, document.remote, fields);
    if (!answers.get(number)?.some(({ policy }) => same(policy)))
      findings.push({ number, what: `SYNCED with revision ${document.synced_revision} that no genuine answer shows` });
    else if (!same(held.get(number) ?? {}))
      findings.push({ number, what: `MongoDB has another record as confirmed than the sandbox holds` });
  }
  return findings;
}

/** Whether all that MongoDB keeps of an answer is in this one, and no field that the merchant gave lacks in it. */
function shows(policy: PolicyFields, kept: PolicyFields | null, given: PolicyFields): boolean {
  if (kept === null) return false;
  const otherwise = new Set(unlike(kept, policy));
  return (
    Object.keys(given).every((field) => field in kept) && Object.keys(kept).every((field) => !otherwise.has(field))
  );
}

/** The policy that a request is about. */
export function numberOf({ method, path, body }: Pick<LoggedRequest, 'method' | 'path' | 'body'>): string {
  if (method === 'POST') return String((JSON.parse(body) as PolicyFields).out_insurance_no);
  return path.slice(path.lastIndexOf('/') + 1);
}
