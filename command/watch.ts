import type { Command } from 'commander';
import { live } from './live.ts';
import { merchantIfSaid, policyOf } from './merchant.ts';
import { milliseconds, type OfPolicy, withCommon } from './options.ts';
import { withClient } from './session.ts';
import { withMongodb } from './storage.ts';

interface Options extends OfPolicy {
  every?: number;
}

/** A look at a fleet reads every record; one at a policy asks a worker. */
const EVERY_MS = { fleet: 5_000, policy: 1_000 };

export function addWatch(program: Command): void {
  withCommon(program.command('watch [NO]'))
    .description('show how the fleet, or one policy, stands, live, until Ctrl-C; in a pipe a line for what is new')
    .option('--mchid <id>', 'merchant (of NO by default as ever; else: all)')
    .option('--every <duration>', 'look so often (default: 5s, of one policy 1s)', milliseconds)
    .action((number: string | undefined, options: Options) =>
      number === undefined ? watchFleet(options) : watchPolicy(number, options),
    );
}

async function watchFleet({ every = EVERY_MS.fleet, json, ...options }: Options): Promise<void> {
  const mchid = options.mchid === undefined ? undefined : await merchantIfSaid(options.mchid);
  const { fleetLook } = await import('./watch_fleet.ts');
  await withMongodb('watch', (storage) => live(fleetLook(storage, mchid), { every, json }));
}

async function watchPolicy(number: string, { every = EVERY_MS.policy, ...options }: Options): Promise<void> {
  const policy = await policyOf(number, options.mchid);
  const { policyLook } = await import('./watch_policy.ts');
  await withClient(options, (client) => live(policyLook(client, policy), { every, json: options.json }));
}
