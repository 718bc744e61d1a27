import {
  type ConverterHint,
  DefaultPayloadConverter,
  type Payload,
  type SerializationContext,
} from '@temporalio/common';

// Runs in the workflow sandbox too: @temporalio/common and nothing else.

/** Metadata entry by which the codec tells the converter that a payload came in the clear where keys are set. */
export const PLAIN_METADATA = 'policy-sync-plain';

// A registered symbol: the SDK loads this file by `require`, our code by `import`, and the two copies must agree.
const PLAIN = Symbol.for('policy-sync/plain');

/** What arrives in place of a value that came in the clear where keys are set; the value itself is not to be trusted. */
export interface Plain {
  readonly [PLAIN]: true;
}

const plain: Plain = Object.freeze({ [PLAIN]: true as const });

/** Whether an argument, result or signal came in the clear although payload keys are set: refuse or ignore it. */
export function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && PLAIN in value;
}

class PayloadConverter extends DefaultPayloadConverter {
  override fromPayload<T>(payload: Payload, context?: SerializationContext, hint?: ConverterHint<T>): T {
    if (payload.metadata && PLAIN_METADATA in payload.metadata) return plain as T;
    return super.fromPayload(payload, context, hint);
  }
}

export const payloadConverter = new PayloadConverter();
