import type { Storage } from './connection.ts';
import type { StoredDelivery, StoredEvent, StoredFinding } from './documents.ts';
import { documentId } from './policies.ts';

/** What others were told, or are to be told, of a policy. */
export interface ToldOf {
  /** The first first. */
  events: StoredEvent[];
  deliveries: StoredDelivery[];
  findings: StoredFinding[];
}

/**
 * All that is kept of what was told of a policy: nothing personal but its number.
 * @throws StorageError
 */
export async function toldOf(storage: Storage, of: { mchid: string; out_insurance_no: string }): Promise<ToldOf> {
  const { mchid, out_insurance_no } = of;
  const policy = documentId(mchid, out_insurance_no);
  const [events, deliveries, findings] = await Promise.all([
    storage.readPage(() => storage.events.find({ policy }).sort({ sequence: 1 }).toArray()),
    storage.readPage(() => storage.deliveries.find({ policy }).sort({ sequence: 1, _id: 1 }).toArray()),
    storage.readPage(() => storage.findings.find({ mchid, out_insurance_no }).sort({ _id: 1 }).toArray()),
  ]);
  return { events, deliveries, findings };
}
