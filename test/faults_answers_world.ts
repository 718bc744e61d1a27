import { after, before } from 'node:test';
import { APPROVED } from '../policy/state.ts';
import { type FaultWorld, startFaultWorld } from './faults_fixture.ts';

/** Of the file whose tests run. */
export let world: FaultWorld;
/** A policy of somebody else's, whose answer comes in the place of the one asked for. */
export const STRANGER = 'STRANGER1';

/** The world of the file that asks for it, while its tests run. */
export function faultWorld(): () => FaultWorld {
  before(async () => {
    world = await startFaultWorld();
    await world.put({ out_insurance_no: STRANGER, policy_state: APPROVED, address: 'a stranger’s' });
  });
  after(() => world?.close());
  return () => world;
}

export const CODE = 'C1';

export function inSeconds(seconds: number): string {
  return new Date(Date.now() + seconds * 1000).toUTCString();
}

export function elsewhere(): string {
  return `${world.sandbox.url}/elsewhere`;
}
