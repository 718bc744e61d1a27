import type { MongoClient } from 'mongodb';

/** A client without a success for so long is replaced at its next failure. */
const USELESS_AFTER_MS = 5000;

/** The driver's client, replaced when it has been of no use for a while. */
export interface Renewed {
  current(): MongoClient;
  /** The server has answered through this client. */
  worked(client: MongoClient): void;
  /** It has not. */
  failed(client: MongoClient): void;
  close(): Promise<void>;
}

/**
 * Driver 7.9 can lose a server for good: a write to a socket just destroyed waits for a `drain` that never comes, and
 * when that write is the monitor's heartbeat, nothing looks for the server ever again. Only a new client does.
 */
export function renewed(open: () => MongoClient): Renewed {
  let client = open();
  let useful = performance.now();
  return {
    current: () => client,
    worked: (used) => {
      if (used === client) useful = performance.now();
    },
    failed: (used) => {
      if (used !== client || performance.now() - useful < USELESS_AFTER_MS) return;
      client = open();
      useful = performance.now();
      // Whether a client that is useless closes in good order changes nothing for anybody.
      used.close().catch(() => {});
    },
    close: () => client.close(),
  };
}
