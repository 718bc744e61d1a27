import { setTimeout as delay } from 'node:timers/promises';
import type { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import proto from '@temporalio/proto';
import { connectPolicyClient } from '../../client/connect.ts';
import type { PolicyClient } from '../../client/policy_client.ts';
import { searchAttributes } from '../../embedded/search_attributes.ts';
import { codeOf, isRefusal, reasonOf } from '../../worker/grpc.ts';
import { messageOf } from '../error_text.ts';

const ALREADY_EXISTS = 6;
const ANSWER_MS = 10_000;
// Every part of a cluster hears of a new namespace within some ten seconds.
const SERVED_MS = 60_000;
const AGAIN_MS = 500;

const { INDEXED_VALUE_TYPE_KEYWORD: Keyword, INDEXED_VALUE_TYPE_DATETIME: Datetime } =
  proto.temporal.api.enums.v1.IndexedValueType;
const TYPES = { Keyword, Datetime };
const ATTRIBUTES = Object.fromEntries(Object.entries(searchAttributes).map(([name, type]) => [name, TYPES[type]]));

/** A namespace that the story has to itself on the user's Temporal: what is production's there is never touched. */
export class OwnNamespace {
  readonly name: string;
  readonly #client: PolicyClient;
  readonly #connection: Connection;

  private constructor(name: string, client: PolicyClient) {
    this.name = name;
    this.#client = client;
    this.#connection = client.temporal.connection as Connection;
  }

  /**
   * Registers it, unless it is there from a former run with the same folder.
   * @param users `TEMPORAL_*` of the user's server
   * @throws an error of one line
   */
  static async register(name: string, users: NodeJS.ProcessEnv): Promise<OwnNamespace> {
    try {
      const env = { ...users, TEMPORAL_NAMESPACE: name };
      const own = new OwnNamespace(name, await connectPolicyClient({ env, timeout: ANSWER_MS }));
      await own.#register();
      return own;
    } catch (error) {
      throw notMade(messageOf(error));
    }
  }

  /**
   * Waits until policies can live in it.
   * @throws an error of one line
   */
  async served(interrupted: AbortSignal): Promise<void> {
    let reason = 'it is not served';
    for (const deadline = Date.now() + SERVED_MS; Date.now() < deadline; ) {
      try {
        if (await this.#isReady()) return;
      } catch (error) {
        reason = reasonOf(error);
        if (isRefusal(error)) break;
      }
      await delay(AGAIN_MS, undefined, { signal: interrupted });
    }
    throw notMade(reason);
  }

  /** With all that lives in it; says so where that is not allowed. */
  async remove(log: (line: string) => void): Promise<void> {
    const { operatorService } = this.#connection;
    await this.#ask(() => operatorService.deleteNamespace({ namespace: this.name })).catch((error) =>
      log(
        `the namespace ${this.name} is still there (${reasonOf(error)}): temporal operator namespace delete ${this.name}`,
      ),
    );
  }

  async #register(): Promise<void> {
    const { workflowService } = this.#connection;
    const description = 'A demo of wechatpay-policy-sync (npm start), which removes it when it ends.';
    const workflowExecutionRetentionPeriod = msToTs('1 day');
    await this.#ask(() =>
      workflowService.registerNamespace({ namespace: this.name, description, workflowExecutionRetentionPeriod }),
    ).catch((error) => {
      if (codeOf(error) !== ALREADY_EXISTS) throw error;
    });
  }

  async #isReady(): Promise<boolean> {
    const { operatorService } = this.#connection;
    const namespace = this.name;
    const { customAttributes } = await this.#ask(() => operatorService.listSearchAttributes({ namespace }));
    const lacking = Object.entries(ATTRIBUTES).filter(([name]) => !(name in (customAttributes ?? {})));
    if (lacking.length > 0) {
      await this.#ask(() =>
        operatorService.addSearchAttributes({ namespace, searchAttributes: Object.fromEntries(lacking) }),
      );
      return false;
    }
    // The part of the server that hands out tasks knows it, too.
    await this.#client.isServed('0');
    return true;
  }

  #ask<T>(question: () => Promise<T>): Promise<T> {
    return this.#connection.withDeadline(Date.now() + ANSWER_MS, question);
  }
}

function notMade(reason: string): Error {
  return new Error(
    `TEMPORAL_ADDRESS: the demo could not get a namespace of its own there (${reason}): unset TEMPORAL_ADDRESS, and npm start brings a Temporal server`,
  );
}
