import { CommanderError } from 'commander';
import { described, messageOf } from './error_text.ts';
import { type ExitCode, exitCodeOf } from './exit_code.ts';
import { makeProgram } from './program.ts';
import { endTraces } from './traces.ts';
import { UsageError } from './usage.ts';

/**
 * Runs one command line.
 * @param words without program and script
 * @returns the exit code, of `EXIT_CODES`. What failed is one line on standard error, and with `--json` an object
 * `{ error }` on standard output too.
 */
export async function run(words: string[]): Promise<ExitCode> {
  try {
    await makeProgram().parseAsync(words, { from: 'user' });
    return Number(process.exitCode ?? 0) as ExitCode;
  } catch (thrown) {
    if (thrown instanceof CommanderError && isHelp(thrown)) return thrown.exitCode === 0 ? 0 : 2;
    const error = thrown instanceof CommanderError ? usageError(thrown) : thrown;
    process.stderr.write(`policy-sync: ${messageOf(error)}\n`);
    if (words.includes('--json')) process.stdout.write(`${JSON.stringify({ error: described(error) })}\n`);
    return exitCodeOf(error);
  } finally {
    await endTraces();
  }
}

/** Shown already: because it was asked for, or because no command was named. */
function isHelp({ exitCode, code }: CommanderError): boolean {
  return exitCode === 0 || code === 'commander.help';
}

function usageError({ message }: CommanderError): UsageError {
  return new UsageError(
    message
      .replace(/^error: /, '')
      .trim()
      .replace(/\s*\n\s*/g, ' '),
  );
}
