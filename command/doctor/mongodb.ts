import type { Keyring } from '../../codec/keys.ts';
import { connect, type Storage } from '../../storage/connection.ts';
import { INDEXES } from '../../storage/indexes.ts';
import { keysInUse, LOOKED_AT } from '../../storage/keys_in_use.ts';
import { messageOf } from '../error_text.ts';
import { about, type Finding } from './finding.ts';

const { ok, warning, fault } = about('mongodb');
const CLOCK_MS = 60_000;

export async function mongodbFindings(uri: string, keyring: Keyring | undefined): Promise<Finding[]> {
  let storage: Storage | undefined;
  try {
    storage = await connect(uri, { keyring });
    const server = await storage.server();
    return [...serverFindings(server), ...(await indexFindings(storage)), ...(await keyFindings(storage, keyring))];
  } catch (error) {
    return [fault(`${messageOf(error)}: see MONGODB_URI`)];
  } finally {
    await storage?.close();
  }
}

function serverFindings({ topology, time }: Awaited<ReturnType<Storage['server']>>): Finding[] {
  const kept =
    topology === 'standalone'
      ? warning('a server by itself: what it has taken is lost with its disk; run a replica set in production')
      : ok(`answers; ${topology}`);
  const away = Math.abs(Date.now() - time.getTime());
  const said = `its clock is ${Math.round(away / 1000)} s away from this machine's`;
  return [kept, away > CLOCK_MS ? warning(`${said}: set both`) : ok(said)];
}

async function indexFindings(storage: Storage): Promise<Finding[]> {
  const lacking: string[] = [];
  for (const [name, wanted] of Object.entries(INDEXES)) {
    const there = await storage.readPage(() => storage[name as keyof typeof INDEXES].indexes().catch(noCollection));
    const keys = new Set(there.map(({ key }) => JSON.stringify(key)));
    for (const index of wanted) if (!keys.has(JSON.stringify(index))) lacking.push(`${name} ${JSON.stringify(index)}`);
  }
  if (lacking.length === 0) return [ok('all indexes are there')];
  return [warning(`indexes lack: ${lacking.join(', ')}: a worker makes them when it starts`)];
}

/** NamespaceNotFound: nothing was ever written to it. */
function noCollection(error: { code?: unknown }): { key: object }[] {
  if (error.code === 26) return [];
  throw error;
}

async function keyFindings(storage: Storage, keyring: Keyring | undefined): Promise<Finding[]> {
  const used = await keysInUse(storage);
  const clear = used.get(undefined) ?? 0;
  const lacking = [...used].filter(([id]) => id !== undefined && !keyring?.byId.has(id));
  const findings = lacking.map(([id, count]) =>
    fault(
      `${count} records are sealed with key "${id}", which POLICY_SYNC_KEYS has not: put it back, behind the first`,
    ),
  );
  if (keyring && clear > 0)
    findings.push(warning(`${clear} records rest in the clear: they are sealed when they are written next`));
  for (const id of keyring?.byId.keys() ?? [])
    if (id !== keyring?.active.id && !used.has(id))
      findings.push(ok(`key "${id}" seals none of the ${LOOKED_AT} records looked at, at most`));
  if (!keyring) findings.push(warning('POLICY_SYNC_KEYS is not set: payloads and records rest in the clear'));
  else if (lacking.length === 0) findings.push(ok(`every sealed record looked at opens with POLICY_SYNC_KEYS`));
  return findings;
}
