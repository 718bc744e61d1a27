import type { Envelope } from '../policy/commands.ts';
import { changes } from '../policy/difference.ts';
import type { CommandEntry, Confirmation } from '../policy/entries.ts';
import { fitting } from '../policy/fitting.ts';
import { CAUSES, type Cause, heldPolicy, type Life } from '../policy/life.ts';
import type { PolicyFields } from '../policy/record.ts';
import { instantOf } from '../policy/time.ts';

/** Entries kept until they are known to be in MongoDB: a policy with more of them in one outage loses the oldest. */
const MOST_ENTRIES = 200;
/** From so many on they are brought to MongoDB by themselves, for every call carries them all. */
const CROWDED = 20;

/** What survives of the journal from run to run: plain JSON. */
export interface Journaled {
  /** Makes the ids of entries unique where it is not the life: the run that a reset brought back. */
  of?: string;
  /** Not yet known to be in MongoDB. */
  entries: CommandEntry[];
  /** How many there ever were: numbers their ids. */
  count: number;
  /** Which revision WeChat Pay confirmed last; `told` once MongoDB knows. */
  confirmation: (Confirmation & { told: boolean }) | null;
  /** Something was noted since at a revision that WeChat Pay held by then: that it does is to be told again. */
  late?: true;
}

/** What came of a message or due time. */
export interface Noted {
  command: string;
  message?: unknown;
  rule?: string;
  before?: Life;
  after?: Life;
  revision: number;
  at: number;
}

/** What the merchant wants of WeChat Pay: of the upload too, where it is to make one. */
function wanted(life: Life): PolicyFields {
  return { ...heldPolicy(life), ...life.record.upload };
}

/** Who did what: written to MongoDB with the calls, at no event of its own. */
export class Journal {
  readonly state: Journaled;

  constructor(state: Journaled = { entries: [], count: 0, confirmation: null }) {
    this.state = state;
  }

  /** @param life the first run of this life, which makes ids unique over restarts */
  note(life: string, { command, message, rule, before, after, revision, at }: Noted): void {
    const { state } = this;
    state.count += 1;
    const told = messageOf(message);
    const changed = after ? changes(before ? wanted(before) : {}, wanted(after)) : { before: {}, after: {} };
    const due = after?.cancellation !== before?.cancellation ? after?.cancellation : undefined;
    const entry: CommandEntry = {
      id: `${state.of ?? life}.${state.count}`,
      command,
      ...told,
      ...(due && { business_date: new Date(due.at).toISOString() }),
      ...(told.business_date !== undefined && { business_date: told.business_date }),
      ...(rule !== undefined && { rule }),
      ...changed,
      revision,
      at,
    };
    state.entries = fitting([...state.entries, entry].slice(-MOST_ENTRIES), withoutValues);
    if (rule === undefined && revision <= (state.confirmation?.revision ?? 0)) state.late = true;
  }

  /**
   * After a reset of Temporal's: the run counts anew what another has counted, so its ids are its own from now on. What it has
   * not yet known to be told is told by them.
   */
  restart(run: string): void {
    const { state } = this;
    const from = state.count - state.entries.length;
    state.of = run;
    state.entries = state.entries.map((entry, index) => ({ ...entry, id: `${run}.${from + index + 1}` }));
  }

  /**
   * WeChat Pay holds this revision whole.
   * @param still it is known to do so now, and not since a time gone by alone: then it holds, too, what was noted since and changed nothing
   */
  confirmed(revision: number, at: number, { request_id, still }: { request_id?: string; still: boolean }): void {
    if (this.state.confirmation?.revision === revision && !(this.state.late && still)) return;
    delete this.state.late;
    this.state.confirmation = { revision, at, ...(request_id !== undefined && { request_id }), told: false };
  }

  /** So many that no call tells of, say in a flood of messages that supersede each other's: a record of its own brings them. */
  get isCrowded(): boolean {
    return this.state.entries.length >= CROWDED;
  }

  /** What the next snapshot carries. */
  get pending(): { commands: CommandEntry[]; confirmation: Confirmation | null } {
    const { entries, confirmation } = this.state;
    if (!confirmation || confirmation.told) return { commands: [...entries], confirmation: null };
    const { told: _own, ...news } = confirmation;
    return { commands: [...entries], confirmation: news };
  }

  /** MongoDB has what was pending then. */
  recorded({ commands = [], confirmation }: { commands?: CommandEntry[]; confirmation?: Confirmation | null }): void {
    const written = new Set(commands.map(({ id }) => id));
    this.state.entries = this.state.entries.filter(({ id }) => !written.has(id));
    const last = this.state.confirmation;
    if (last && confirmation?.revision === last.revision && confirmation.at === last.at) last.told = true;
  }
}

function withoutValues(entry: CommandEntry): CommandEntry {
  return { ...entry, before: {}, after: {} };
}

type Told = Pick<CommandEntry, 'by' | 'event_id' | 'version' | 'cause' | 'reason' | 'business_date'>;

/** What a message says of itself; of an illegal one what is right: what rests in the clear is no free text. */
function messageOf(message: unknown): Told {
  if (typeof message !== 'object' || message === null) return {};
  const { by, event_id, version, cause, reason, at } = message as Envelope & Record<string, unknown>;
  return {
    ...(isText(by) && { by }),
    ...(isText(event_id) && { event_id }),
    ...(typeof version === 'number' && { version }),
    ...(CAUSES.some((known) => known === cause) && { cause: cause as Cause }),
    ...(isText(reason) && { reason }),
    ...(instantOf(at) !== undefined && { business_date: at as string }),
  };
}

/** An illegal signal may hold anything of any length. */
function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 500;
}
