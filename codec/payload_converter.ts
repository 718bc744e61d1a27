import {
  type ConverterHint,
  DefaultPayloadConverter,
  METADATA_ENCODING_KEY,
  type Payload,
  type SerializationContext,
} from '@temporalio/common';

// Runs in the workflow sandbox too: @temporalio/common and nothing else.

/** Metadata entry by which the codec tells the converter that a payload came in the clear where keys are set. */
export const PLAIN_METADATA = 'policy-sync-plain';
/** Encoding of a sealed payload. */
export const ENCRYPTED = 'binary/encrypted';

// A registered symbol: the SDK loads this file by `require`, our code by `import`, and the two copies must agree.
const UNFIT = Symbol.for('policy-sync/unfit');

/**
 * What arrives in place of a value that is not to be trusted (`plain`: it came in the clear though keys are set), or that
 * is none (`unreadable`: an unknown encoding, no JSON).
 */
export interface Unfit {
  readonly [UNFIT]: 'plain' | 'unreadable';
}

const plain: Unfit = Object.freeze({ [UNFIT]: 'plain' as const });
const unreadable: Unfit = Object.freeze({ [UNFIT]: 'unreadable' as const });

/** Whether an argument, result or signal is none that can be used: refuse or ignore it. */
export function isUnfit(value: unknown): value is Unfit {
  return typeof value === 'object' && value !== null && UNFIT in value;
}

class PayloadConverter extends DefaultPayloadConverter {
  override fromPayload<T>(payload: Payload, context?: SerializationContext, hint?: ConverterHint<T>): T {
    if (payload.metadata && PLAIN_METADATA in payload.metadata) return plain as T;
    try {
      return super.fromPayload(payload, context, hint);
    } catch {
      // Anyone can send anything, and an exception would fail the workflow task for ever. But what is sealed is good, and
      // waits for a worker that has the keys.
      if (isSealed(payload)) throw new Error('a sealed payload, and no payload keys here: set POLICY_SYNC_KEYS');
      return unreadable as T;
    }
  }
}

function isSealed({ metadata }: Payload): boolean {
  const encoding = metadata?.[METADATA_ENCODING_KEY];
  return encoding !== undefined && encoding !== null && String.fromCharCode(...encoding.slice(0, 64)) === ENCRYPTED;
}

export const payloadConverter = new PayloadConverter();
