import { setTimeout as delay } from 'node:timers/promises';
import { PolicySyncError } from '../../client/errors.ts';
import type { Status } from '../../workflows/messages.ts';
import type { Life } from './lives.ts';
import type { Narration, Row } from './narration.ts';
import type { Stage } from './stage.ts';

const EVERY_MS = 700;

/** Shows how the lives stand until it is told to end; while no worker runs, how they last stood. */
export async function watch(stage: Stage, lives: Life[], narration: Narration, end: AbortSignal): Promise<void> {
  const last = new Map<Life, Status>();
  while (!end.aborted) {
    const rows = await Promise.all(lives.map((life) => rowOf(stage, life, last)));
    narration.show(rows);
    await delay(EVERY_MS, undefined, { signal: end }).catch(() => {});
  }
  narration.show(await Promise.all(lives.map((life) => rowOf(stage, life, last))));
}

async function rowOf(stage: Stage, life: Life, last: Map<Life, Status>): Promise<Row> {
  if (life.isOpen()) {
    const status = await stage.glance.status(life.policy).catch((error) => {
      if (!(error instanceof PolicySyncError)) throw error;
      return last.get(life);
    });
    if (status) last.set(life, status);
  }
  const held = await stage.wechatpay.policy(life.policy.out_insurance_no);
  const status = last.get(life);
  return {
    title: life.title,
    number: life.policy.out_insurance_no,
    state: status?.state ?? '',
    sync: status?.sync ?? '',
    revision: status ? String(status.revision) : '',
    wechatpay: held ? shownState(held) : '',
    next: status?.next ? `${status.next.what} in ${spanUntil(status.next.at)}` : '',
  };
}

function spanUntil(time: string): string {
  const seconds = Math.max(0, Math.round((Date.parse(time) - Date.now()) / 1000));
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 86_400)} d`;
}

function shownState(held: Record<string, unknown>): string {
  const state = String(held.policy_state).replace(/^POLICY_STATE_/, '');
  return held.start_renewal_time && held.support_renewal ? `${state}, renewal open` : state;
}
