/** Whether V8 says of a text by this error that it begins like JSON and has no end. */
function isCutShort(error: unknown, text: string): boolean {
  const [, position] = / at position (\d+)/.exec(String(error)) ?? [];
  return /unexpected end|unterminated string/i.test(String(error)) || Number(position) >= text.length;
}

/**
 * The first line of a text with which it is no JSON any more; undefined where it only ends too soon. V8 names a place for some
 * faults alone, and quotes the text, which may hold anything.
 */
export function brokenLine(text: string): number | undefined {
  const lines = text.split('\n');
  const isBroken = (count: number): boolean => {
    const part = `${lines.slice(0, count).join('\n')}${count < lines.length ? '\n' : ''}`;
    try {
      JSON.parse(part);
      return false;
    } catch (error) {
      return !isCutShort(error, part);
    }
  };
  let [good, broken] = [0, lines.length];
  if (!isBroken(broken)) return undefined;
  while (broken - good > 1) {
    const middle = Math.floor((good + broken) / 2);
    if (isBroken(middle)) broken = middle;
    else good = middle;
  }
  return broken;
}
