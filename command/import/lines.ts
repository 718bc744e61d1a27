import { notUtf8 } from '../input.ts';
import type { Source } from './source.ts';

/** A line of a file, without its line feed. */
export interface Line {
  /** Its number, from 1. */
  line: number;
  text: string;
}

const LINE_FEED = 0x0a;
/** Many times what a record may hold; a file without line ends is no file of records. */
const LONGEST = 1024 * 1024;

const DECODERS = [false, true].map((ignoreBOM) => new TextDecoder('utf-8', { fatal: true, ignoreBOM }));

/** The lines of a file in UTF-8, a byte order mark allowed. Throws an error of one line. */
export async function* linesOf(source: Source): AsyncGenerator<Line> {
  let line = 1;
  let begun: Buffer = Buffer.alloc(0);
  const read = (bytes: Buffer): Line => {
    try {
      // A byte order mark is one at the beginning alone; further on it is a character of a cell.
      return { text: DECODERS[line === 1 ? 0 : 1]?.decode(bytes) ?? '', line: line++ };
    } catch {
      throw notUtf8(source.name, line);
    }
  };
  for await (const chunk of source.bytes()) {
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
      const bytes = chunk.subarray(from, end);
      yield read(begun.length === 0 ? bytes : Buffer.concat([begun, bytes]));
      begun = Buffer.alloc(0);
      from = end + 1;
    }
    begun = Buffer.concat([begun, chunk.subarray(from)]);
    if (begun.length > LONGEST)
      throw new Error(
        `${source.name}, line ${line}: expected a record a line, found more than ${LONGEST} bytes in one`,
      );
  }
  if (begun.length > 0) yield read(begun);
}
