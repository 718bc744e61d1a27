import type { Log } from '../activities/log.ts';
import { type Fleet, fleetOf, isServed, standstill } from '../client/fleet.ts';
import type { Version } from './deployment.ts';
import { reasonOf } from './grpc.ts';
import { pause } from './pause.ts';

/**
 * Looks again and again whether anybody takes the tasks of the current version: policies of a version whose workers have
 * gone stand still, and no error comes of it anywhere.
 */
export class CurrentVersion {
  readonly #version: Version;
  readonly #log: Log;
  #idle = false;
  /** By the last look; undefined where Temporal did not tell. */
  #fleet: Fleet | undefined;

  constructor(version: Version, log: Log) {
    this.#version = version;
    this.#log = log;
  }

  /** The current version, and whether workers of it poll; undefined while none is, or Temporal does not tell. */
  get served(): { buildId: string; served: boolean } | undefined {
    const { current } = this.#fleet ?? {};
    return current === undefined ? undefined : { buildId: current, served: !this.#isIdle(this.#fleet) };
  }

  async keepLooking(every: number, signal: AbortSignal): Promise<void> {
    for (; !signal.aborted; await pause(every, signal)) await this.look();
  }

  async look(): Promise<void> {
    const { connection, namespace } = this.#version;
    this.#fleet = await fleetOf(connection.workflowService, namespace).catch((error: unknown) => {
      this.#log.debug({ reason: reasonOf(error) }, 'Temporal does not tell who polls');
      return undefined;
    });
    const { current } = this.#fleet ?? {};
    // That no version is the current one is told at the start.
    if (this.#fleet === undefined || current === undefined) return;
    const idle = this.#isIdle(this.#fleet);
    if (idle && !this.#idle) this.#log.error({ current }, standstill(this.#fleet) ?? '');
    if (!idle && this.#idle) this.#log.info({ current }, 'the current version has workers again');
    this.#idle = idle;
  }

  /** This worker itself polls, though Temporal may not list it yet. */
  #isIdle(fleet: Fleet | undefined): boolean {
    return fleet !== undefined && fleet.current !== this.#version.buildId && !isServed(fleet);
  }
}
