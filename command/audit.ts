import { type Command, InvalidArgumentError } from 'commander';
import { InvalidSetting } from '../client/errors.ts';
import { explained } from '../client/explained.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import { durationOf } from '../policy/duration.ts';
import { endWith } from './exit_code.ts';
import { type Common, withCommon } from './options.ts';
import { note, print, tableOf } from './output.ts';
import { withClient } from './session.ts';
import { withStorage } from './storage.ts';
import { UsageError } from './usage.ts';

interface Options extends Common {
  fix?: boolean;
  adoptNamespace?: boolean;
  every?: number | 'off';
}

/** So many findings are printed; JSON has all. */
const SHOWN = 100;

export function addAudit(program: Command): void {
  withCommon(program.command('audit'))
    .description('hold the records in MongoDB against the workflows in Temporal; exit 4 when findings are left')
    .option('--fix', 'restart policies that lost their workflow, and write records that are missing')
    .option(
      '--adopt-namespace',
      'with --fix: take over what another Temporal namespace kept, once nothing runs there any more',
    )
    .option(
      '--every <duration|off>',
      'have Temporal audit at this interval, say 6h, instead of now; off ends that',
      period,
    )
    .action((options: Options) => {
      checkAdoption(options);
      return withClient(options, (client) => run(client, options));
    });
}

function period(text: string): number | 'off' {
  if (text === 'off') return text;
  const every = durationOf(text);
  if (every === undefined || every < 60_000)
    throw new InvalidArgumentError('Expected a minute at least, say 6h, or off.');
  return every;
}

function spoken(every: number): string {
  return every % 3_600_000 === 0 ? `${every / 3_600_000} h` : `${every / 60_000} min`;
}

function checkAdoption({ adoptNamespace, fix, every }: Options): void {
  if (!adoptNamespace || (fix && every === undefined)) return;
  throw new UsageError(
    '--adopt-namespace goes with --fix, and without --every: no schedule takes over what another namespace keeps',
  );
}

function run(client: PolicyClient, options: Options): Promise<void> {
  return options.every === undefined ? auditNow(client, options) : schedule(client, options.every, options);
}

async function schedule(client: PolicyClient, every: number | 'off', { fix = false, json }: Options): Promise<void> {
  const { scheduleAudit, unscheduleAudit } = await import('./audit_schedule.ts');
  if (every === 'off') {
    const was = await client.ask(undefined, () => unscheduleAudit(client.temporal));
    print(json, { scheduled: false }, () => (was ? 'no audit is scheduled any more' : 'no audit was scheduled'));
    return;
  }
  await client.ask(undefined, () => scheduleAudit(client.temporal, { every, fix }));
  const how = fix ? 'and fixes what it finds' : 'and fixes nothing: add --fix for that';
  print(json, { scheduled: true, every, fix }, () => `Temporal audits all policies every ${spoken(every)}, ${how}`);
}

async function auditNow(client: PolicyClient, { fix = false, adoptNamespace: adopt, json }: Options): Promise<void> {
  const [{ audit }, { default: ora }] = await Promise.all([import('../worker/audit.ts'), import('ora')]);
  const spinner = ora({ text: 'auditing', stream: process.stderr, isSilent: !process.stderr.isTTY }).start();
  const progress = ({ records, workflows }: { records: number; workflows: number }): void => {
    spinner.text = `auditing: ${records} records, ${workflows} workflows`;
  };
  const place = { temporal: client.temporal };
  const audited = await withStorage((storage) => audit({ ...place, storage }, { fix, adopt, progress }))
    .catch(async (error) => {
      throw await explained(error, { client: client.temporal, timeout: client.timeout });
    })
    .finally(() => spinner.stop());
  if (!audited) throw new InvalidSetting('MONGODB_URI: expected the MongoDB that has the records, found nothing');
  const { findings, ...result } = audited;
  const fixed = Object.values(result.fixed).reduce((sum, count) => sum + count, 0);
  print(json, { ...result, findings }, () => {
    const shown = findings
      .slice(0, SHOWN)
      .map((one) => [one.kind, one.mchid ?? '', one.out_insurance_no ?? '', one.reason]);
    const summary = `${result.records} records and ${result.workflows} workflows: ${fixed} findings fixed, ${findings.length} left`;
    return shown.length === 0 ? summary : `${tableOf(['FINDING', 'MERCHANT', 'NUMBER', 'REASON'], shown)}\n${summary}`;
  });
  if (findings.length > SHOWN) note(`${findings.length - SHOWN} more findings are not shown: use --json`);
  if (findings.length > 0) endWith(4);
}
