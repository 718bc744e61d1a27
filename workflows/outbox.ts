import type { TellsEvents } from '../activities/types/results.ts';
import type { Snapshot } from '../activities/types/snapshot.ts';
import type { Life } from '../policy/life.ts';
import { Debts } from './debts.ts';
import { Events } from './events.ts';
import { Journal } from './journal.ts';
import { plainCopy } from './plain_copy.ts';
import type { Position } from './reconciler/position.ts';
import { toldOf } from './reconciler/settled.ts';

/** Everything that MongoDB may lack, and by which numbers it is told. */
export class Outbox {
  /** The first run of this life, which MongoDB knows it by. */
  lifeId = '';
  /** Raised with each activity scheduled; never begins again. */
  step = 0;
  journal = new Journal();
  debts = new Debts();
  events = new Events();
  /** MongoDB has not got the latest snapshot. */
  owesRecord = false;
  /** It may lack WeChat Pay's last answer, too. */
  owesAnswer = false;
  /** A record is being written beside the loop. */
  recording = false;

  owe({ answer = false } = {}): void {
    this.owesRecord = true;
    this.owesAnswer ||= answer;
  }

  /** Notes for the history of who did what that a message or a due time was accepted. */
  note({ life, standing }: Position, command: string, message: unknown, before?: Life): void {
    const change = { ...(before && { before }), after: life };
    this.journal.note(this.lifeId, { command, message, ...change, revision: standing.revision, at: Date.now() });
  }

  noteConfirmation({ standing, isInStep }: Position, request_id?: string): void {
    const { synced_revision } = standing;
    const told = { ...(request_id !== undefined && { request_id }), still: isInStep };
    if (synced_revision > 0) this.journal.confirmed(synced_revision, Date.now(), told);
  }

  /** What MongoDB has not got yet, as far as is known. */
  pending({
    standing,
  }: Position): Pick<Snapshot, 'commands' | 'confirmation' | 'discrepancies' | 'owed' | 'answer' | 'events'> {
    const { confirmed, confirmed_at } = standing;
    const discrepancies = plainCopy(standing.discrepancies);
    // In every snapshot until one is known to be written: of two that are under way the newer may be the only one taken.
    const answer = this.owesAnswer && confirmed ? { policy: confirmed, at: confirmed_at } : undefined;
    const { entries } = this.events.state;
    const events = entries.length > 0 && { events: [...entries] };
    return { ...this.journal.pending, discrepancies, owed: this.debts.owed, ...(answer && { answer }), ...events };
  }

  /** MongoDB has what was pending then; events only where the worker knows of them. */
  recorded(position: Position, written: Partial<Snapshot>, told: TellsEvents): void {
    if (told.events) this.events.recorded(written.events);
    toldOf(position, written.discrepancies ?? []);
    this.journal.recorded(written);
    this.debts.settle(written.owed);
    if (written.answer?.at === position.standing.confirmed_at) this.owesAnswer = false;
  }
}
