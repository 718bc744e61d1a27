import type { Client } from '@temporalio/client';
import { InvalidSetting } from './errors.ts';
import { type Fleet, fleetOf, standstill } from './fleet.ts';

/** For so long it is not asked again who polls. */
const KNOWN_MS = 60_000;
const LOOK_MS = 10_000;

export interface WorkersOptions {
  /** In ms: how long an answer is waited for. */
  timeout?: number;
  /** Given the identities of the workers that poll: which of our settings does not fit theirs, in one line. */
  misfit?: (identities: readonly string[]) => string | undefined;
}

/** What a client knows of the workers that it talks to. */
export class Workers {
  /** In ms: for so long Temporal is waited for. */
  readonly patience: number;
  readonly #temporal: Client;
  readonly #options: WorkersOptions;
  #asked: { at: number; fleet: Promise<Fleet> } | undefined;

  constructor(temporal: Client, options: WorkersOptions) {
    this.#temporal = temporal;
    this.#options = options;
    this.patience = Math.min(LOOK_MS, options.timeout ?? LOOK_MS);
  }

  /**
   * Before anything is sent: a worker would refuse it, and its answer could not be read. Where Temporal does not tell who
   * polls, or nobody does, what comes of the message tells itself.
   * @throws {InvalidSetting}
   */
  async check(): Promise<void> {
    const { misfit } = this.#options;
    if (!misfit) return;
    const faultOf = ({ workers }: Fleet) => misfit(workers.map(({ identity }) => identity));
    const fault = await this.#told(faultOf).catch(() => undefined);
    if (fault !== undefined) throw new InvalidSetting(fault);
  }

  /** @throws ServiceError where Temporal does not tell */
  async standstill(): Promise<string | undefined> {
    return this.#told(standstill);
  }

  /** What is wrong with the workers: never by an answer of before, for they may have come since. */
  async #told(faultOf: (fleet: Fleet) => string | undefined): Promise<string | undefined> {
    const known = this.#asked !== undefined;
    let fault = faultOf(await this.#fleet());
    if (fault === undefined) return undefined;
    this.#asked = undefined;
    if (known) fault = faultOf(await this.#fleet());
    if (fault !== undefined) this.#asked = undefined;
    return fault;
  }

  #fleet(): Promise<Fleet> {
    if (this.#asked && Date.now() - this.#asked.at < KNOWN_MS) return this.#asked.fleet;
    const { workflowService, options } = this.#temporal;
    const fleet = this.#temporal.withDeadline(Date.now() + this.patience, () =>
      fleetOf(workflowService, options.namespace),
    );
    this.#asked = { at: Date.now(), fleet };
    fleet.catch(() => {
      this.#asked = undefined;
    });
    return fleet;
  }
}
