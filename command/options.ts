import { type Command, InvalidArgumentError, Option } from 'commander';
import { durationOf } from '../policy/duration.ts';
import { POLICY_TYPES } from '../policy/fields.ts';
import { POLICY_STATES, type ShortState, SYNCS, shortState } from '../policy/state.ts';

/** Options of every command that asks Temporal. */
export interface Common {
  json?: boolean;
  /** In ms. */
  timeout?: number;
}

export interface OfPolicy extends Common {
  mchid?: string;
}

/** @param patience how long an answer is waited for by default, in words */
export function withCommon(command: Command, patience = '30s'): Command {
  return command
    .option('--json', 'write JSON, for programs')
    .option('--timeout <duration>', `how long to wait for an answer (default: ${patience})`, milliseconds);
}

/** For a command about one policy, named by its number or by MCHID/NO. */
export function ofPolicy(command: Command, patience?: string): Command {
  return withCommon(command, patience).option(
    '--mchid <id>',
    'merchant (default: POLICY_SYNC_MCHID, or the only one of WECHATPAY_MERCHANTS)',
  );
}

/** What `withFilter` adds. */
export interface Filter {
  state?: string;
  sync?: string;
  type?: string;
}

/** @param where what stands before the description of each, say when they count */
export function withFilter(command: Command, where = ''): Command {
  const states = POLICY_STATES.flatMap((state) => [shortState(state), state]);
  return command
    .addOption(new Option('--state <state>', `${where}only those in this state`).choices(states))
    .addOption(new Option('--sync <sync>', `${where}only those whose sync is this`).choices(SYNCS))
    .addOption(new Option('--type <type>', `${where}only those of this type`).choices([...POLICY_TYPES]));
}

/** `APPROVED`, written so or as WeChat Pay does. */
export function shortStateOf({ state }: Filter): ShortState | undefined {
  return state?.replace(/^POLICY_STATE_/, '') as ShortState | undefined;
}

/** A duration such as `90s`, in ms. */
export function milliseconds(text: string): number {
  const value = durationOf(text);
  if (value === undefined || value <= 0) throw new InvalidArgumentError('Expected a duration such as 30s or 5m.');
  return value;
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('Expected a whole number.');
  return Number(text);
}

export function port(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) throw new InvalidArgumentError('Expected a port, 0 to 65535.');
  return Number(text);
}

/** `1,2,3` */
export function wholeNumbers(text: string): number[] {
  return text.split(',').map((part) => wholeNumber(part.trim()));
}
