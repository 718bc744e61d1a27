import type { Command } from 'commander';
import { UnknownPolicy } from '../client/errors.ts';
import type { Planned } from '../gateway/planned.ts';
import type { PolicyState, Sync } from '../policy/state.ts';
import { timeForPeople } from '../policy/time.ts';
import type { Storage } from '../storage/connection.ts';
import type { PolicyFilter } from '../storage/policy_list.ts';
import { OUTLOOKS, type Outlook } from '../workflows/plan.ts';
import { endWith } from './exit_code.ts';
import { policyOf } from './merchant.ts';
import { type Filter, shortStateOf, withFilter } from './options.ts';
import { print, tableOf, valueText } from './output.ts';
import type { Progress } from './progress.ts';
import { withMongodb } from './storage.ts';
import { UsageError } from './usage.ts';

interface Options extends Filter {
  all?: boolean;
  mchid?: string;
  csv?: string;
  json?: boolean;
  resumed?: boolean;
  reveal?: boolean;
}

export function addPlan(program: Command): void {
  const command = program
    .command('plan [NO]')
    .description(
      'tell what the next PATCH would carry, and why, from what MongoDB keeps; sends nothing; exit 4 where something differs',
    )
    .option('--json', 'write JSON, for programs')
    .option('--mchid <id>', 'merchant (of NO by default as ever; with --all: all)')
    .option('--all', 'of all policies that go on: a summary, and each field that differs');
  withFilter(command, 'with --all: ')
    .option('--csv <file>', 'with --all: write the fields that differ into this file, as CSV')
    .option('--resumed', 'as it would be if somebody resumed the policy')
    .option('--reveal', 'show personal values')
    .action(async (number: string | undefined, options: Options) => {
      if ((number === undefined) !== (options.all === true)) throw new UsageError('plan: give a policy, or --all');
      await (number === undefined ? planAll(options) : planOne(number, options));
    });
}

async function planOne(number: string, options: Options): Promise<void> {
  const { mchid, out_insurance_no } = await policyOf(number, options.mchid);
  const planned = await withMongodb('plan', async (storage) => {
    const [{ findPolicy }, { plannedOf }] = await Promise.all([
      import('../storage/policies.ts'),
      import('../gateway/planned.ts'),
    ]);
    const found = await findPolicy(storage, mchid, out_insurance_no);
    if (!found) throw new UnknownPolicy(`${mchid}/${out_insurance_no}: no such policy is on record; open it first`);
    return plannedOf(storage, found, options);
  });
  print(options.json, planned, () => textOf(planned));
  if (planned.fields.length > 0) endWith(4);
}

const SAYS: Record<Outlook, string> = {
  identical: 'WeChat Pay holds it as it should',
  push: 'a PATCH is next',
  upload: 'WeChat Pay does not know it; it is uploaded next',
  differs: 'WeChat Pay holds otherwise, and nothing is sent',
  unknown: 'it is not known what WeChat Pay holds now',
};

function textOf({ mchid, out_insurance_no, outlook, sync, revision, observed_at, fields }: Planned): string {
  const seen = observed_at ? `, seen ${timeForPeople(observed_at)}` : '';
  const head = `${mchid}/${out_insurance_no}: ${SAYS[outlook]} (${sync}, revision ${revision}${seen})`;
  if (fields.length === 0) return head;
  const rows = fields.map((one) => [
    one.field,
    one.fate,
    valueText(one.ours),
    valueText(one.theirs),
    changeText(one.changed),
    timeText(one.changed?.at),
    timeText(one.found_at),
  ]);
  return `${head}\n${tableOf(['FIELD', 'FATE', 'OURS', 'WECHAT PAY', 'OURS BY', 'SINCE', 'THEIRS FOUND'], rows)}`;
}

function changeText(changed: Planned['fields'][number]['changed']): string {
  if (!changed) return changed === null ? 'as opened' : 'not known any more';
  return changed.by ? `${changed.command} by ${changed.by}` : changed.command;
}

function timeText(at: Date | null | undefined): string {
  return at ? timeForPeople(at) : '';
}

/** The numbers of a fleet. */
export interface Summary {
  policies: number;
  by_outlook: Record<Outlook, number>;
  /** How many policies would have the field sent. */
  to_push: Record<string, number>;
}

async function planAll(options: Options): Promise<void> {
  const table = options.csv === undefined ? undefined : (await import('./plan_csv.ts')).planFile(options.csv);
  const progress = (await import('./progress.ts')).startProgress('planned', undefined, options.csv);
  const summary = await withMongodb('plan', async (storage) => {
    const told: Summary = {
      policies: 0,
      by_outlook: Object.fromEntries(OUTLOOKS.map((one) => [one, 0])) as Summary['by_outlook'],
      to_push: {},
    };
    for await (const planned of plans(storage, options, progress)) {
      progress.count();
      told.policies++;
      told.by_outlook[planned.outlook]++;
      for (const { field, fate } of planned.fields)
        if (fate === 'sent') told.to_push[field] = (told.to_push[field] ?? 0) + 1;
      if (planned.fields.length > 0) {
        await table?.write(planned);
        if (options.json) progress.say(JSON.stringify(planned));
        else if (!table) progress.say(textOf(planned));
      }
    }
    return told;
  })
    .finally(() => progress.stop())
    .finally(() => table?.end());
  print(options.json, { summary }, () => summaryText(summary));
  if (summary.by_outlook.push + summary.by_outlook.differs > 0) endWith(4);
}

async function* plans(storage: Storage, options: Options, progress: Progress): AsyncGenerator<Planned> {
  const [{ listPolicies }, { StorageUnreadable }, { plannedOf }] = await Promise.all([
    import('../storage/policy_list.ts'),
    import('../storage/errors.ts'),
    import('../gateway/planned.ts'),
  ]);
  const { mchid, sync, type } = options;
  const state = shortStateOf(options);
  const filter: PolicyFilter = {
    ...(mchid !== undefined && { mchid }),
    ...(state !== undefined && { policy_state: `POLICY_STATE_${state}` as PolicyState }),
    ...(sync !== undefined && { sync: sync as Sync }),
    ...(type !== undefined && { policy_type: type }),
    end: null,
  };
  for await (const policy of listPolicies(storage, filter)) {
    try {
      yield await plannedOf(storage, policy, options);
    } catch (error) {
      if (!(error instanceof StorageUnreadable)) throw error;
      // What one record has sealed for another key must not hide the others.
      progress.note(error.message);
      endWith(1);
    }
  }
}

function summaryText({ policies, by_outlook, to_push }: Summary): string {
  const fields = Object.entries(to_push).sort(([, a], [, b]) => b - a);
  const rows = [
    ...OUTLOOKS.map((one) => [one, String(by_outlook[one])]),
    ...fields.map(([field, count]) => [`push ${field}`, String(count)]),
  ];
  return `${policies} policies\n${tableOf(['OUTLOOK', 'POLICIES'], rows)}`;
}
