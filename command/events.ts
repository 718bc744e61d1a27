import { type Command, Option } from 'commander';
import { EVENT_TYPES, type EventType } from '../policy/events.ts';
import { timeForPeople } from '../policy/time.ts';
import type { DeliveryFilter } from '../storage/deliveries.ts';
import type { DeliveryState, StoredDelivery } from '../storage/documents.ts';
import { policyOf } from './merchant.ts';
import { type OfPolicy, wholeNumber } from './options.ts';
import { note, print, tableOf } from './output.ts';
import { withStorage } from './storage.ts';
import { UsageError } from './usage.ts';

interface Options extends OfPolicy {
  state?: DeliveryState | 'all';
  endpoint?: string;
  type?: EventType;
  sendAgain?: boolean;
  limit: number;
}

/** An event on its way to an endpoint, as it is listed. */
export type ListedDelivery = Pick<
  StoredDelivery,
  'endpoint' | 'event' | 'type' | 'mchid' | 'out_insurance_no' | 'sequence' | 'state' | 'attempts'
> & { at: string; due_at: string | null; tried_at: string | null; reason: string | null };

/** What `--send-again` did. */
export interface SentAgain {
  sent_again: number;
}

const EVERY: readonly DeliveryState[] = ['waiting', 'delivered', 'failed'];
/** What a person looks for: what has not arrived. */
const NOT_ARRIVED: readonly DeliveryState[] = ['waiting', 'failed'];

export function addEvents(program: Command): void {
  program
    .command('events [NO]')
    .description('list events that endpoints have not taken, of all policies or one; send them again')
    .option('--json', 'write JSON, for programs')
    .option('--mchid <id>', 'merchant (default: all; of NO: POLICY_SYNC_MCHID, or the only one of WECHATPAY_MERCHANTS)')
    .addOption(
      new Option('--state <state>', 'only those in this state (default: waiting and failed)').choices([
        ...EVERY,
        'all',
      ]),
    )
    .option('--endpoint <name>', 'only those to this endpoint')
    .addOption(new Option('--type <type>', 'only events of this type').choices(Object.keys(EVENT_TYPES)))
    .option('--limit <n>', 'list at most so many', wholeNumber, 100)
    .option('--send-again', 'send all that the filters find, once more; without --state those that failed')
    .action((number: string | undefined, options: Options) => events(number, options));
}

async function events(number: string | undefined, options: Options): Promise<void> {
  const filter = await filterOf(number, options);
  const done = await withStorage(async (storage) => {
    const { listDeliveries, sendAgain } = await import('../storage/deliveries.ts');
    if (options.sendAgain) return printSent(options, await sendAgain(storage, filter));
    return printList(options, await listDeliveries(storage, filter, options.limit + 1));
  });
  if (!done) throw new UsageError('events are kept in MongoDB: set MONGODB_URI');
}

async function filterOf(number: string | undefined, options: Options): Promise<DeliveryFilter> {
  const { endpoint, type, state, sendAgain } = options;
  const usual: readonly DeliveryState[] = sendAgain ? ['failed'] : NOT_ARRIVED;
  const states = state === undefined ? usual : state === 'all' ? EVERY : [state];
  if (number === undefined) return { states, endpoint, type, mchid: options.mchid };
  const { mchid, out_insurance_no } = await policyOf(number, options.mchid);
  return { states, endpoint, type, policy: `${mchid}/${out_insurance_no}` };
}

function printSent({ json }: Options, sent_again: number): true {
  print(
    json,
    { sent_again } satisfies SentAgain,
    () => `${sent_again} ${sent_again === 1 ? 'event is' : 'events are'} sent again`,
  );
  return true;
}

function printList({ json, limit }: Options, found: readonly StoredDelivery[]): true {
  const rows = found.slice(0, limit).map(listed);
  if (json) for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`);
  else if (rows.length === 0) note('no event found');
  else process.stdout.write(`${textOf(rows)}\n`);
  if (found.length > limit) note(`there are more than --limit ${limit} lets through: a higher one shows them`);
  return true;
}

function listed(delivery: StoredDelivery): ListedDelivery {
  const { endpoint, event, type, mchid, out_insurance_no, sequence, state, attempts } = delivery;
  const time = (at: Date | undefined): string | null => at?.toISOString() ?? null;
  return {
    ...{ endpoint, event, type, mchid, out_insurance_no, sequence, state, attempts },
    at: delivery.at.toISOString(),
    due_at: state === 'waiting' ? time(delivery.due_at) : null,
    tried_at: time(delivery.tried_at),
    reason: state === 'delivered' ? null : (delivery.reason ?? null),
  };
}

function textOf(rows: readonly ListedDelivery[]): string {
  const head = ['ENDPOINT', 'MERCHANT', 'NUMBER', 'EVENT', 'AT', 'STATE', 'TRIES', 'REASON', 'NEXT'];
  return tableOf(
    head,
    rows.map((row) => [
      row.endpoint,
      row.mchid,
      row.out_insurance_no,
      row.type,
      timeForPeople(row.at),
      row.state,
      String(row.attempts),
      row.reason ?? '',
      row.due_at === null ? '' : timeForPeople(row.due_at),
    ]),
  );
}
