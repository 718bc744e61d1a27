import { fileURLToPath } from 'node:url';
import type { DataConverter } from '@temporalio/common';
import type { Keyring } from './keys.ts';
import { type PayloadCodecOptions, payloadCodec } from './payload_codec.ts';

/**
 * What client, worker, replayer and workflow bundle must all be given. Without keys payloads and failures are
 * in the clear, as JSON; with keys every payload and failure is sealed.
 */
export function dataConverter(keyring: Keyring | undefined, options: PayloadCodecOptions): DataConverter {
  const payloadConverterPath = fileURLToPath(new URL('./payload_converter.ts', import.meta.url));
  if (!keyring) return { payloadConverterPath };
  return {
    payloadConverterPath,
    failureConverterPath: fileURLToPath(new URL('./failure_converter.ts', import.meta.url)),
    payloadCodecs: [payloadCodec(keyring, options)],
  };
}
