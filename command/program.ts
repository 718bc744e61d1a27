import { createRequire } from 'node:module';
import { Command, Help, type Option } from 'commander';
import { addAudit } from './audit.ts';
import { addCodecServer } from './codec_server.ts';
import { addDoctor } from './doctor.ts';
import { addErase } from './erase.ts';
import { addEvents } from './events.ts';
import { EXIT_CODES } from './exit_code.ts';
import { addExport } from './export.ts';
import { addHolding } from './holding.ts';
import { addImport } from './import.ts';
import { addKeys } from './keys.ts';
import { addList } from './list.ts';
import { addMessages } from './messages.ts';
import { addOpen } from './open.ts';
import { addPlan } from './plan.ts';
import { addReconcile } from './reconcile.ts';
import { addReport } from './report.ts';
import { addResume } from './resuming.ts';
import { addSandbox } from './sandbox.ts';
import { takeSecretFiles } from './secret_files.ts';
import { addServe } from './serve.ts';
import { addShow } from './show.ts';
import { addToken } from './token.ts';
import { startTraces } from './traces.ts';
import { addWatch } from './watch.ts';
import { addWorker } from './worker.ts';

const EXITS = Object.entries(EXIT_CODES)
  .map(([code, says]) => `${code} ${says}`)
  .join(', ');

const EPILOGUE = `
Settings: TEMPORAL_* (as Temporal's own tools have them), MONGODB_URI and POLICY_SYNC_KEYS (or …_FILE, the path of a
file), POLICY_SYNC_ALLOW_PLAIN, POLICY_SYNC_MCHID, WECHATPAY_MERCHANTS. All of it, word by word: docs/reference.`;

/** An option that a command cannot do without says so. */
function optionDescription(this: Help, option: Option): string {
  const description = Help.prototype.optionDescription.call(this, option);
  return option.mandatory ? `${description} (required)` : description;
}

/** The whole command line. Rooms are loaded by the commands that need them, so that help and errors come at once. */
export function makeProgram(): Command {
  const program = new Command('policy-sync')
    .description("Keeps WeChat Pay's copy of every insurance policy true.")
    .version(version())
    .exitOverride()
    // Whoever runs it says what was wrong, as of every other error.
    .configureOutput({ outputError: () => {} })
    .configureHelp({ optionDescription })
    .addHelpText('after', EPILOGUE)
    .addHelpText('afterAll', `\nExit codes: ${EXITS}.`)
    .hook('preAction', async (_program, command) => {
      takeSecretFiles(process.env);
      await startTraces(command.name());
    });
  for (const add of [
    addOpen,
    addImport,
    addMessages,
    addResume,
    addHolding,
    addShow,
    addList,
    addPlan,
    addReport,
    addReconcile,
    addWatch,
    addExport,
    addErase,
    addEvents,
    addAudit,
    addDoctor,
    addWorker,
    addServe,
    addToken,
    addCodecServer,
    addSandbox,
    addKeys,
  ])
    add(program);
  return program;
}

function version(): string {
  // By name: it is nearer to the sources than to what is compiled from them.
  const about = createRequire(import.meta.url)('wechatpay-policy-sync/package.json') as { version: string };
  return about.version;
}
