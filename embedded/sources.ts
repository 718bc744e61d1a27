import { EmbeddedServerError, messageOf } from './errors.ts';
import type { Log } from './log.ts';

/** One place a program may come from. */
export type Source = {
  /** As the log names it, for example `the official download`. */
  name: string;
  /** The program's file or folder; undefined when the place has none. May throw: the next source is then tried. */
  find(): Promise<string | undefined> | string | undefined;
};

export type Found = { file: string; source: string };

/**
 * The first source that has the program. The log says which, and why those before it were passed over.
 * @param otherwise what the user can do when no source has it; ends the error's one line
 * @throws EmbeddedServerError when none has it
 */
export async function firstOf(program: string, sources: Source[], otherwise: string, log: Log): Promise<Found> {
  const failures: string[] = [];
  for (const { name, find } of sources) {
    try {
      const file = await find();
      if (file !== undefined) return { file, source: name };
    } catch (error) {
      failures.push(`${name}: ${messageOf(error)}`);
      log(`${program}: passed over ${name} (${messageOf(error)})`);
    }
  }
  throw new EmbeddedServerError(
    [`no ${program} found: ${otherwise}`, failures.length ? ` (${failures.join('; ')})` : ''].join(''),
  );
}
