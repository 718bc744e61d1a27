import { randomUUID } from 'node:crypto';
import { connect as connectTo, createServer, type Server, type Socket } from 'node:net';
import { MongoClient } from 'mongodb';
import { type Keyring, makeKey, parseKeys } from '../codec/keys.ts';
import { startMongo } from '../embedded/mongodb.ts';
import { parsedRecord } from '../policy/record.ts';
import type { NewPolicy } from '../storage/policies.ts';

/** A MongoDB server and a database of this run's own. */
export interface Database {
  uri: string;
  /** Host and port, for a proxy in between. */
  address: { host: string; port: number };
  /** The same database through the driver alone. */
  client: MongoClient;
  stop(): Promise<void>;
}

export async function startDatabase(): Promise<Database> {
  const given = process.env.TEST_MONGODB_URI;
  const server = given ? { uri: given, stop: async () => {} } : await startMongo({ log: () => {} });
  const uri = withDatabase(server.uri, `policy_sync_test_${randomUUID().slice(0, 8)}`);
  const client = new MongoClient(uri);
  const { host = '127.0.0.1', port = 27017 } = client.options.hosts[0] ?? {};
  return {
    uri,
    address: { host, port },
    client,
    async stop() {
      await client.db().dropDatabase();
      await client.close();
      await server.stop();
    },
  };
}

export function withDatabase(uri: string, name: string): string {
  return uri.replace(/^(mongodb(?:\+srv)?:\/\/[^/?]+)\/?[^?]*/, `$1/${name}`);
}

/** Stands between driver and server: `cut` refuses and resets, `hang` takes and never answers, `mend` goes on. */
export interface Line {
  port: number;
  cut(): Promise<void>;
  hang(): void;
  mend(): Promise<void>;
}

export async function lineTo({ host, port }: Database['address']): Promise<Line> {
  const sockets = new Set<Socket>();
  let hanging = false;
  const server: Server = createServer((near) => {
    const far = connectTo(port, host);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (bytes) => hanging || to.write(bytes));
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  const listen = (at: number) => new Promise<void>((resolve) => server.listen(at, '127.0.0.1', resolve));
  await listen(0);
  const own = (server.address() as { port: number }).port;
  return {
    port: own,
    cut: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
    hang: () => {
      hanging = true;
    },
    mend: async () => {
      if (!server.listening) await listen(own);
      for (const socket of hanging ? sockets : []) socket.destroy();
      hanging = false;
    },
  };
}

export const entries = [makeKey('k1'), makeKey('k2')] as const;

export function keyring(...given: string[]): Keyring {
  const keys = parseKeys(given.join(','));
  if (!keys) throw new Error('no keys');
  return keys;
}

/** Every personal value of the fixture. */
export const PERSONAL = [
  '张三',
  '粤B·AB123',
  '小狗',
  '上海市浦东新区晨晖路1001号',
  '可保190种疾病',
  'openid-of-a-person',
  '未知字段',
];

export const record = parsedRecord({
  mchid: '1900000001',
  policy: {
    out_insurance_no: 'Auisihsiahishishi4hihsid123418id',
    insurance_name: '微医保·百万医疗险',
    insured_name_list: ['张三'],
    effective_time: '2025-09-21T17:11:12+08:00',
    expired_time: '2026-09-21T17:11:12+08:00',
    coverage_detail: '可保190种疾病,确诊一次性赔付',
    support_renewal: true,
    policy_type: 'POLICY_TYPE_OTHER',
    car_number: '粤B·AB123',
    pet_name: '小狗',
    address: '上海市浦东新区晨晖路1001号',
    policy_state: 'POLICY_STATE_ISSUING',
    policy_code: 'Coisihsiaxishishi4hihsid1ii411co',
    plan_id: 12535,
    out_contract_code: 'wxwtdk20200910100000',
    policy_periods: [1],
    field_of_tomorrow: { 'a.b': '未知字段' },
  },
  upload: { appid: 'wx0000000000000000', openid: 'openid-of-a-person' },
  extra_fields: ['field_of_tomorrow'],
});

/** A policy just opened, of a number of its own unless told. */
export function opened(changes: Partial<NewPolicy> = {}): NewPolicy {
  const out_insurance_no = changes.out_insurance_no ?? randomUUID().replaceAll('-', '');
  return {
    mchid: record.mchid,
    out_insurance_no,
    record: { ...record, policy: { ...record.policy, out_insurance_no } },
    policy_state: record.policy.policy_state,
    policy_type: record.policy.policy_type,
    sync: 'PENDING',
    revision: 1,
    synced_revision: 0,
    step: 1,
    remote: null,
    observed_at: null,
    block: null,
    attention: [],
    due: null,
    verified_at: null,
    next_verification_at: null,
    version: null,
    digest: null,
    window: 'planned',
    cancellation: null,
    life: `life-of-${out_insurance_no}`,
    workflow_run: `run-of-${out_insurance_no}`,
    opened_at: new Date('2025-09-20T00:00:00Z'),
    carried: { events: [['e1', { outcome: 'accepted', by: '张三' }]] },
    ...changes,
  };
}
