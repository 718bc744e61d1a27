import type { AuditResult } from '../activities/types/activities.ts';
import type { Storage } from '../storage/connection.ts';
import { keepFindings } from '../storage/findings.ts';
import { adoptEnded, halfErased, otherNamespace, recorded, stoppedLives, unendedLives } from '../storage/lives.ts';
import { resealAll } from '../storage/resealing.ts';
import { type Audited, Findings } from './audit_findings.ts';
import { type AuditPlace, Scan } from './audit_scan.ts';
import { runningPolicies } from './policy_workflows.ts';

export type { Audited } from './audit_findings.ts';
export type { AuditPlace } from './audit_scan.ts';

/** Questions to Temporal at a time: an audit is in no hurry, and others use the server. */
const AT_ONCE = 10;
const YOUNG_MS = 60_000;

export interface AuditOptions {
  /** Restarts what has lost its workflow, and has records made that lack. */
  fix: boolean;
  /** With `fix`: has this namespace keep also what another one keeps by its record. */
  adopt?: boolean;
  /** Told after each page. May throw to end the audit. */
  progress?: (result: AuditResult) => void;
  /** A workflow so young, in ms, may have its record still to make, and a call its worker to find. @default 60000 */
  young?: number;
}

/** The records are another namespace's: restarted in this one, every policy would have a second engine. */
export class OtherNamespace extends Error {
  override readonly name = 'OtherNamespace';

  constructor(own: string, other: string) {
    super(
      `the records in MongoDB are kept by the Temporal namespace ${other}, and this is ${own}: set TEMPORAL_NAMESPACE=${other}, or, once no policy runs there any more, take them over by \`policy-sync audit --fix --adopt-namespace\``,
    );
  }
}

/**
 * Holds MongoDB's records against Temporal's workflows, both ways, and looks at each workflow: whether its tasks fail, or
 * its calls wait where nobody polls. One that cannot be looked at stops no other. What is left unfixed is kept in `findings`.
 * @throws OtherNamespace, before anything is looked at; StorageError, ServiceError when MongoDB or Temporal does not answer
 */
export async function audit(place: AuditPlace, options: AuditOptions): Promise<Audited> {
  const { fix, adopt = false, progress, young = YOUNG_MS } = options;
  const began = new Date();
  await checkNamespace(place, fix && adopt);
  const result: Audited = { records: 0, workflows: 0, found: {}, fixed: {}, findings: [] };
  const scan = new Scan(place, young, new Findings(place.temporal, fix, result));
  await scan.prepare();
  for await (const lives of unendedLives(place.storage)) {
    await each(lives, (life) => scan.life(life));
    result.records += lives.length;
    progress?.(result);
  }
  for await (const policies of runningPolicies(place.temporal, Date.now() - young)) {
    const known = await recorded(
      place.storage,
      policies.map(({ _id }) => _id),
    );
    await each(
      policies.filter(({ _id }) => !known.has(_id)),
      (policy) => scan.unrecorded(policy),
    );
    result.workflows += policies.length;
    progress?.(result);
  }
  for await (const lives of stoppedLives(place.storage)) {
    await each(lives, (life) => scan.stopped(life));
    progress?.(result);
  }
  for await (const lives of halfErased(place.storage)) {
    for (const life of lives) scan.halfErased(life);
    progress?.(result);
  }
  await resealed(place.storage, new Findings(place.temporal, fix, result), fix);
  await keepFindings(place.storage, result.findings, began);
  return result;
}

/** Only where a former key is still among the settings: once nothing rests under it, it is taken out. */
async function resealed(storage: Storage, findings: Findings, fix: boolean): Promise<void> {
  const { keyring } = storage;
  if (!keyring || keyring.byId.size < 2) return;
  const told = { resealed: 0, left: 0, locked: 0 };
  for await (const page of resealAll(storage, keyring, fix)) {
    told.resealed += page.resealed;
    told.left += page.left;
    told.locked += page.locked;
  }
  const about = { kind: 'old-key', mchid: null, out_insurance_no: null } as const;
  const reasons = [
    told.left > 0 &&
      `${told.left} documents rest under a payload key that is no longer the first: run \`policy-sync audit --fix\``,
    told.locked > 0 &&
      `${told.locked} documents have values under a payload key that POLICY_SYNC_KEYS has not: put it back, behind the first`,
  ];
  if (told.resealed > 0) findings.note({ ...about, reason: `${told.resealed} documents are sealed anew` }, true);
  const reason = reasons.filter(Boolean).join('; ');
  if (reason !== '') findings.note({ ...about, reason });
}

async function checkNamespace({ temporal, storage }: AuditPlace, adopt: boolean): Promise<void> {
  const { namespace } = temporal.options;
  if (adopt) return adoptEnded(storage, namespace);
  const other = await otherNamespace(storage, namespace);
  if (other !== undefined) throw new OtherNamespace(namespace, other);
}

async function each<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const left = all.values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const one of left) await work(one);
    }),
  );
}
