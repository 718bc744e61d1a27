import { setTimeout as delay } from 'node:timers/promises';
import proto from '@temporalio/proto';
import type { NativeConnection } from '@temporalio/worker';
import type { Log } from '../activities/log.ts';
import { SEARCH_ATTRIBUTES } from '../workflows/messages.ts';
import { isRefusal, reasonOf } from './grpc.ts';

// A namespace just made is known to every part of the server after some seconds.
const TRIES = 40;
const AGAIN_MS = 500;

const { IndexedValueType } = proto.temporal.api.enums.v1;
const TYPES = {
  KEYWORD: { number: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD, name: 'Keyword' },
  DATETIME: { number: IndexedValueType.INDEXED_VALUE_TYPE_DATETIME, name: 'Datetime' },
} as const;
const WANTED = Object.values(SEARCH_ATTRIBUTES).map(({ name, type }) => ({
  name,
  type: TYPES[type as keyof typeof TYPES],
}));

/**
 * Registers the search attributes that the namespace lacks. Where that is not allowed (Temporal Cloud, no
 * permission), says which lack and how to add them: policies cannot start without.
 */
export async function ensureSearchAttributes(
  connection: NativeConnection,
  namespace: string,
  { log, signal }: { log: Log; signal: AbortSignal },
): Promise<void> {
  let lacking = WANTED;
  for (let tries = 1; ; tries++) {
    let reason = 'the server has not taken them';
    try {
      lacking = await lackingIn(connection, namespace);
      if (lacking.length === 0) return;
      const searchAttributes = Object.fromEntries(lacking.map(({ name, type }) => [name, type.number]));
      await connection.operatorService.addSearchAttributes({ namespace, searchAttributes });
      log.info({ names: lacking.map(({ name }) => name) }, 'search attributes registered');
    } catch (error) {
      // Another worker may have been faster: that shows at the next try.
      reason = reasonOf(error);
      if (isRefusal(error)) tries = TRIES;
    }
    if (tries >= TRIES) {
      const create = createCommand(namespace, lacking);
      log.warn({ reason }, `search attributes could not be registered; policies cannot start without: ${create}`);
      return;
    }
    await delay(AGAIN_MS, undefined, { signal });
  }
}

/** How somebody who may registers them. */
export function createCommand(namespace: string, lacking: typeof WANTED): string {
  const pairs = lacking.map(({ name, type }) => `--name ${name} --type ${type.name}`).join(' ');
  return `temporal operator search-attribute create --namespace ${namespace} ${pairs}`;
}

/** Those of ours that the namespace has not. */
export async function lackingIn(
  { operatorService }: { operatorService: Pick<NativeConnection['operatorService'], 'listSearchAttributes'> },
  namespace: string,
): Promise<typeof WANTED> {
  const { customAttributes } = await operatorService.listSearchAttributes({ namespace });
  return WANTED.filter(({ name }) => !(name in (customAttributes ?? {})));
}
