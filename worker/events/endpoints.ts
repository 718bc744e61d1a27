import type { Log } from '../../activities/log.ts';
import type { StoredEvent } from '../../storage/documents.ts';
import { stampOf } from '../file_stamp.ts';
import { SettingsError } from '../settings.ts';
import { type Endpoint, readEndpoints, secretFilesIn } from './endpoints_file.ts';

/**
 * The endpoints of a file, which the setting may not name.
 * @throws {SettingsError} when it cannot be used
 */
export async function endpointsOf(file: string | undefined, log: Log): Promise<Endpoints | undefined> {
  if (file === undefined) return undefined;
  const endpoints = new Endpoints(file, log);
  await endpoints.load();
  return endpoints;
}

/** The endpoints of the POLICY_SYNC_WEBHOOKS file as it is now. An edit that cannot be used keeps what was. */
export class Endpoints {
  readonly #file: string;
  readonly #log: Log;
  #all: readonly Endpoint[] = [];
  #seen = '';

  constructor(file: string, log: Log) {
    this.#file = file;
    this.#log = log;
  }

  all(): readonly Endpoint[] {
    return this.#all;
  }

  /** Changes with every reading: an endpoint that was given up is tried again. */
  get version(): string {
    return this.#seen;
  }

  /** Names of those that want an event. */
  wanting({ mchid, type }: Pick<StoredEvent, 'mchid' | 'type'>): string[] {
    return this.#all
      .filter(({ merchants, types }) => (merchants?.includes(mchid) ?? true) && (types?.includes(type) ?? true))
      .map(({ name }) => name);
  }

  /**
   * Reads the file for the first time.
   * @throws {SettingsError} when it cannot be used
   */
  async load(): Promise<void> {
    this.#seen = await stampOf(this.#file, secretFilesIn);
    this.#all = await readEndpoints(this.#file);
  }

  /** Reads the file again where it, or a secret that it names, is another than when last read. */
  async look(): Promise<void> {
    const stamp = await stampOf(this.#file, secretFilesIn);
    if (stamp === this.#seen) return;
    this.#seen = stamp;
    try {
      this.#all = await readEndpoints(this.#file);
      this.#log.info({ endpoints: this.#all.map(({ name }) => name) }, 'endpoints of events changed');
    } catch (error) {
      if (!(error instanceof SettingsError)) throw error;
      this.#log.error({ reason: error.message }, 'the webhooks file cannot be used; what was goes on');
    }
  }
}
