import { Command, CommanderError } from 'commander';
import { messageOf } from './error_text.ts';
import { runStory } from './story/run_story.ts';

interface Options {
  once?: boolean;
  keep?: string;
}

const EPILOGUE = `
TEMPORAL_ADDRESS and MONGODB_URI, where they are set, name servers of yours to use. There it lives in a namespace and a
database of its own (policy-sync-demo-…, policy_sync_demo_…), which it removes at the end, unless --keep is given. What
else is there is not touched, and no other setting of yours is used, but for the rest of TEMPORAL_*.`;

const program = new Command('npm start --')
  .description(
    'shows the engine at work: servers, a WeChat Pay sandbox, a worker, and policies lived through in a minute',
  )
  .option('--once', 'end when the policies have been lived through: exit 0 only when WeChat Pay holds what it should')
  .option('--keep <dir>', 'keep data and logs in this folder (default: a temporary one, removed at the end)')
  .addHelpText('after', EPILOGUE)
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
