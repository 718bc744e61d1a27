import { Command, CommanderError } from 'commander';
import { messageOf } from './error_text.ts';
import { runStory } from './story/run_story.ts';

interface Options {
  once?: boolean;
  keep?: string;
}

const program = new Command('npm start --')
  .description(
    'shows the engine at work: servers, a WeChat Pay sandbox, a worker, and policies lived through in a minute',
  )
  .option('--once', 'end when the policies have been lived through: exit 0 only when WeChat Pay holds what it should')
  .option('--keep <dir>', 'keep data and logs in this folder (default: a temporary one, removed at the end)')
  .exitOverride();

try {
  const { once = false, keep } = program.parse().opts<Options>();
  process.exitCode = await runStory({ once, keep });
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else {
    process.stderr.write(`npm start: ${messageOf(error)}\n`);
    process.exitCode = 1;
  }
}

// A server that was still being built when Ctrl-C came keeps nobody waiting.
process.exit();
