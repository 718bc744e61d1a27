import { METADATA_ENCODING_KEY, type Payload, type PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';
import { type Keyring, keyOf, UnknownKey } from './keys.ts';
import { ENCRYPTED, LOCKED_METADATA, PLAIN_METADATA } from './payload_converter.ts';
import { open, SealBroken, seal } from './seal.ts';

const { Payload: PayloadMessage } = proto.temporal.api.common.v1;

const NOTHING = 'binary/null';
const KEY_ID = 'encryption-key-id';
// Payloads move between workflows, activities, clients and the codec server, so they are bound to no place.
const ASSOCIATED = 'policy-sync/payload';

export interface PayloadCodecOptions {
  /** Takes payloads in the clear as they are (`POLICY_SYNC_ALLOW_PLAIN=1`); otherwise they arrive as `Unfit`. */
  allowPlain: boolean;
  /**
   * Of a worker: what is sealed and does not open arrives in a workflow as `Unfit`, so that it can be refused. Elsewhere,
   * and for results of activities, it is thrown.
   */
  marksLocked?: boolean;
}

/**
 * Seals whole payloads, metadata included. The first key seals, every key opens. A payload in the clear is marked,
 * never thrown at: an exception here would fail the workflow task for ever, and anyone could send one. Without keys
 * payloads are left as they are, and a sealed one does not open.
 * @throws UnknownKey, SealBroken from `decode`
 */
export function payloadCodec(
  keyring: Keyring | undefined,
  { allowPlain, marksLocked = false }: PayloadCodecOptions,
): PayloadCodec {
  return {
    encode: async (payloads) => (keyring ? payloads.map((payload) => sealPayload(keyring, payload)) : payloads),
    decode: async (payloads, context) => {
      const marks = marksLocked && context?.type === 'workflow';
      return payloads.map((payload) => openOrMark(keyring, payload, { allowPlain: allowPlain || !keyring, marks }));
    },
  };
}

function openOrMark(
  keyring: Keyring | undefined,
  payload: Payload,
  { allowPlain, marks }: { allowPlain: boolean; marks: boolean },
): Payload {
  try {
    return openPayload(keyring, payload, allowPlain);
  } catch (error) {
    if (!marks || !(error instanceof UnknownKey || error instanceof SealBroken)) throw error;
    return { metadata: { ...payload.metadata, [LOCKED_METADATA]: Buffer.from(error.message) } };
  }
}

function sealPayload({ active }: Keyring, payload: Payload): Payload {
  return {
    metadata: { [METADATA_ENCODING_KEY]: Buffer.from(ENCRYPTED), [KEY_ID]: Buffer.from(active.id) },
    data: seal(active, PayloadMessage.encode(payload).finish(), ASSOCIATED),
  };
}

function openPayload(keyring: Keyring | undefined, payload: Payload, allowPlain: boolean): Payload {
  const encoding = metadataOf(payload, METADATA_ENCODING_KEY);
  if (encoding === ENCRYPTED) {
    const key = keyOf(keyring, metadataOf(payload, KEY_ID) ?? '');
    return PayloadMessage.decode(open(key, payload.data ?? new Uint8Array(), ASSOCIATED));
  }
  // `undefined` carries nothing; servers and other SDKs write it by themselves.
  if (allowPlain || encoding === NOTHING) return payload;
  return { ...payload, metadata: { ...payload.metadata, [PLAIN_METADATA]: Buffer.from('1') } };
}

function metadataOf(payload: Payload, name: string): string | undefined {
  const value = payload.metadata?.[name];
  return value ? Buffer.from(value).toString() : undefined;
}
