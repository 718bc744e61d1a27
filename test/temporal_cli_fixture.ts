import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { WorkflowHandle } from '@temporalio/client';
import { findTemporal } from '../embedded/temporal_program.ts';
import { type RecordInput, workflowIdOf } from '../policy/record.ts';
import { WORKFLOW_QUEUE, WORKFLOW_TYPE } from '../workflows/messages.ts';
import type { Ran } from './command_process.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import type { World } from './world.ts';

export const CODE = 'C0123456789';
let program: Promise<string> | undefined;

async function found(): Promise<string> {
  return (await findTemporal(() => {})).file;
}

/** Runs `temporal`, with no settings of this machine's; most subcommands end within a second. */
export async function temporal(world: World, ...words: string[]): Promise<Ran> {
  const where = ['--address', world.address, '--namespace', world.namespace];
  const own = ['--disable-config-file', '--disable-config-env', '--color', 'never'];
  program ??= found();
  const child = spawn(await program, [...words, ...where, ...own], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code, stdout, stderr };
}

export async function done(running: Promise<Ran>): Promise<Ran> {
  const ran = await running;
  assert.equal(ran.code, 0, ran.stderr || ran.stdout);
  return ran;
}

/** `temporal workflow start` as a person types it, with `input` in words: no search attributes, no second argument. */
export function started(world: World, workflowId: string, ...inputs: string[]): Promise<Ran> {
  return startedBy(world, [], workflowId, ...inputs);
}

/** The same with more words, those of a codec server. */
export function startedBy(world: World, more: string[], workflowId: string, ...inputs: string[]): Promise<Ran> {
  const what = ['--type', WORKFLOW_TYPE, '--task-queue', WORKFLOW_QUEUE, '--workflow-id', workflowId];
  return done(temporal(world, 'workflow', 'start', ...what, ...more, ...inputs.flatMap((input) => ['--input', input])));
}

/** Sends a message by the command line; the input as JSON, none where it is undefined. */
export function sent(
  world: World,
  kind: 'signal' | 'update',
  id: string,
  name: string,
  input?: unknown,
  more: string[] = [],
): Promise<Ran> {
  const words = kind === 'signal' ? ['signal'] : ['update', 'execute'];
  const given = input === undefined ? [] : ['--input', JSON.stringify(input)];
  return temporal(world, 'workflow', ...words, '--workflow-id', id, '--name', name, ...given, ...more);
}

/** The texts of all payloads of a history in JSON. */
export function payloadsIn({ stdout }: Ran): string {
  const data = [...stdout.matchAll(/"data": *"([^"]*)"/g)];
  assert.ok(data.length > 0, stdout);
  return data.map(([, base64 = '']) => Buffer.from(base64, 'base64').toString()).join('\n');
}

/** How a run that must have failed did. Its result comes from the server: no waiting for a time of ours. */
export async function failureOf(
  handle: WorkflowHandle,
): Promise<{ status: string; type: unknown; retryable: unknown }> {
  const error = (await handle.result().catch((reason) => reason)) as { cause?: Record<string, unknown> };
  const status = (await handle.describe()).status.name;
  return { status, type: error.cause?.type, retryable: error.cause?.nonRetryable === false };
}

export function policyOf(world: World, changes: Partial<RecordInput['policy']> = {}) {
  const number = uniqueNumber('X');
  const record = recordOf({ out_insurance_no: number, ...changes }, { mchid: world.mchid });
  const id = workflowIdOf(world.mchid, number);
  return { number, record, id, handle: world.temporal.workflow.getHandle(id) };
}
