import type { Command } from 'commander';
import { explained } from '../client/explained.ts';
import { policyOf } from './merchant.ts';
import { type OfPolicy, ofPolicy } from './options.ts';
import { note, print } from './output.ts';
import { withClient } from './session.ts';
import { withMongodb } from './storage.ts';
import { UsageError } from './usage.ts';

interface Options extends OfPolicy {
  yes?: boolean;
  by: string;
  force?: boolean;
}

/** Temporal deletes a run some time after it was asked to. */
const PATIENCE_MS = 180_000;

export function addErase(program: Command): void {
  ofPolicy(program.command('erase <NO>'), '3m')
    .description(
      'erase the personal data of a policy from MongoDB and Temporal, and end its sync, for good; its number stays used. Killed, it is run again',
    )
    .option('--yes', 'it cannot be undone, and is to be done')
    .requiredOption('--by <name>', 'who has it done: kept in `commands`')
    .option('--force', 'of a policy that is in force, or has changes on their way, too')
    .action(async (number: string, options: Options) => {
      const policy = await policyOf(number, options.mchid);
      const _id = `${policy.mchid}/${policy.out_insurance_no}`;
      if (!options.yes) throw new UsageError(`erase: the personal data of ${_id} cannot be brought back: add --yes`);
      const { timeout: patience = PATIENCE_MS, ...rest } = options;
      const { erase } = await import('../worker/erasure.ts');
      const erased = await withMongodb('erase', (storage) =>
        withClient(rest, async ({ temporal, timeout }) => {
          const { by, force = false } = options;
          const progress = options.json ? undefined : (step: string) => note(step);
          return erase({ temporal, storage }, { ...policy, _id }, { by, force, patience, progress }).catch(
            async (error) => {
              throw await explained(error, { client: temporal, timeout });
            },
          );
        }),
      );
      print(options.json, erased, () => {
        const { commands, discrepancies, runs } = erased;
        return `${_id} is erased: its record, ${commands} commands, ${discrepancies} discrepancies, ${runs} runs of its workflow`;
      });
    });
}
