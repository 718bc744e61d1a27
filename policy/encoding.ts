const LINE_END = 0x0a;

/**
 * Text of bytes in UTF-8, without its byte order mark. `wrongLine`: the first line, from 1, that is not UTF-8, as texts in
 * GB18030 or UTF-16 are not; the text is then empty, for what could be read of it would be other text.
 */
export function utf8In(bytes: Uint8Array): { text: string; wrongLine?: number } {
  const text = decoded(bytes);
  if (text !== undefined) return { text };
  let line = 1;
  for (let from = 0; from <= bytes.length; line++) {
    const end = bytes.indexOf(LINE_END, from);
    if (decoded(bytes.subarray(from, end < 0 ? bytes.length : end)) === undefined) break;
    if (end < 0) break;
    from = end + 1;
  }
  return { text: '', wrongLine: line };
}

function decoded(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    // Not UTF-8 is an answer to the question.
    return undefined;
  }
}
