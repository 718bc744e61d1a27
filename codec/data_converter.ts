import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DataConverter } from '@temporalio/common';
import type { Keyring } from './keys.ts';
import { type PayloadCodecOptions, payloadCodec } from './payload_codec.ts';

/**
 * What client, worker, replayer and workflow bundle must all be given. Without keys payloads and failures are
 * in the clear, as JSON, and what is sealed does not open; with keys every payload and failure is sealed.
 */
export function dataConverter(keyring: Keyring | undefined, options: PayloadCodecOptions): DataConverter {
  const payloadConverterPath = pathOf('payload_converter');
  const payloadCodecs = [payloadCodec(keyring, options)];
  if (!keyring) return { payloadConverterPath, payloadCodecs };
  return { payloadConverterPath, failureConverterPath: pathOf('failure_converter'), payloadCodecs };
}

/** The SDK loads converters by path: TypeScript in a checkout, JavaScript in the package, as this file itself is. */
function pathOf(module: string): string {
  return fileURLToPath(new URL(`./${module}${extname(import.meta.url)}`, import.meta.url));
}
