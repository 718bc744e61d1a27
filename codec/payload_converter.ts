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
/** Metadata entry by which the codec says why a sealed payload does not open. */
export const LOCKED_METADATA = 'policy-sync-locked';
/** Encoding of a sealed payload. */
export const ENCRYPTED = 'binary/encrypted';

// A registered symbol: the SDK loads this file by `require`, our code by `import`, and the two copies must agree.
const UNFIT = Symbol.for('policy-sync/unfit');

/**
 * What arrives in place of a value that is not to be trusted (`plain`: it came in the clear though keys are set), that
 * is none (`unreadable`: an unknown encoding, no JSON), or that the keys here do not open (`locked`, and why).
 */
export interface Unfit {
  readonly [UNFIT]: 'plain' | 'unreadable' | 'locked';
  readonly why?: string;
}

const plain: Unfit = Object.freeze({ [UNFIT]: 'plain' as const });
const unreadable: Unfit = Object.freeze({ [UNFIT]: 'unreadable' as const });

/** Whether an argument, result or signal is none that can be used: refuse or ignore it. */
export function isUnfit(value: unknown): value is Unfit {
  return typeof value === 'object' && value !== null && UNFIT in value;
}

class PayloadConverter extends DefaultPayloadConverter {
  override fromPayload<T>(payload: Payload, context?: SerializationContext, hint?: ConverterHint<T>): T {
    const { metadata } = payload;
    if (metadata && PLAIN_METADATA in metadata) return plain as T;
    // An entry of that name comes with no other payload than what is sealed.
    if (metadata?.[LOCKED_METADATA] && isSealed(payload))
      return Object.freeze({ [UNFIT]: 'locked', why: textOf(metadata[LOCKED_METADATA]) }) as T;
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
  return encoding !== undefined && encoding !== null && textOf(encoding) === ENCRYPTED;
}

function textOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.slice(0, 200));
}

export const payloadConverter = new PayloadConverter();
