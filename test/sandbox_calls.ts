import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { type Sandbox, type SandboxOptions, startSandbox } from '../sandbox/server.ts';
import { sealName } from '../wechatpay/sealing.ts';
import { type Authorization, authorization, requestMessage, signMessage } from '../wechatpay/signature.ts';
import { keysIn } from './made_keys.ts';

export const POLICIES = '/v3/inspolicymgr/deduct/policies';

/** The seed's own example: the policy that its PATCH and GET speak of. Its four times are equal. */
export const SEED = {
  out_insurance_no: 'Auisihsiahishishi4hihsid123418id',
  insurance_name: '微医保·百万医疗险',
  insured_name_list: ['张三'],
  effective_time: '2025-09-21T17:11:12+08:00',
  expired_time: '2025-09-21T17:11:12+08:00',
  coverage_detail: '可保190种疾病，确诊一次性赔付',
  support_renewal: true,
  start_renewal_time: '2025-09-21T17:11:12+08:00',
  end_renewal_time: '2025-09-21T17:11:12+08:00',
  policy_type: 'POLICY_TYPE_OTHER',
  car_number: '粤B·AB123',
  pet_name: '小狗',
  address: '上海市浦东新区晨晖路1001号',
  policy_state: 'POLICY_STATE_ISSUING',
  policy_code: 'Coisihsiaxishishi4hihsid1ii411co',
  plan_id: 12535,
  out_contract_code: 'wxwtdk20200910100000',
  policy_periods: [1],
};

/** A policy that keeps the official rules too. */
export const REGULAR = {
  out_insurance_no: 'P1',
  insurance_name: '微医保·百万医疗险',
  insured_name_list: ['张三'],
  effective_time: '2025-09-21T17:11:12+08:00',
  expired_time: '2026-09-21T17:11:12+08:00',
  coverage_detail: '可保190种疾病,确诊一次性赔付',
  support_renewal: false,
  policy_type: 'POLICY_TYPE_OTHER',
  policy_state: 'POLICY_STATE_ISSUING',
  plan_id: 12535,
  out_contract_code: 'wxwtdk20200910100000',
};

/** What an upload of a policy adds to it. */
export const UPLOAD = { insurance_company_code: 'PICC', appid: 'wx1', openid: 'o1', free_insurance: false };

export interface Overrides {
  /** Replaces what the request is signed with. */
  authorization?: Partial<Authorization> | string | null;
  /** Replaces headers; `null` leaves one out. */
  headers?: Record<string, string | null>;
  /** Sent in the place of the bytes that were signed. */
  sent?: string | Buffer;
  signal?: AbortSignal;
}

export interface Reply {
  status: number;
  headers: Headers;
  text: string;
  json: Record<string, unknown>;
}

/** A sandbox with a folder of its own, and calls to it that are signed by hand. */
export interface Bench {
  sandbox: Sandbox;
  dir: string;
  call(method: string, path: string, body?: unknown, overrides?: Overrides): Promise<Reply>;
  query(no: string): Promise<Reply>;
  patch(no: string, fields: unknown, overrides?: Overrides): Promise<Reply>;
  control<T = unknown>(method: string, path: string, body?: unknown): Promise<{ status: number; json: T }>;
  put(policy: Record<string, unknown> & { out_insurance_no: string }): Promise<void>;
  /** The policy as the sandbox holds it. */
  held(no: string): Promise<Record<string, unknown>>;
  faults(...rules: unknown[]): Promise<void>;
  requests(after?: number): Promise<LoggedRequest[]>;
  sealed(name: string): string;
  close(): Promise<void>;
}

export async function startBench(options: Omit<SandboxOptions, 'keys'> = {}, keys?: string): Promise<Bench> {
  const dir = keys ?? (await keysIn(await mkdtemp(join(tmpdir(), 'sandbox-'))));
  const sandbox = await startSandbox({ keys: dir, ...options });
  const now = options.now ?? Date.now;

  const call: Bench['call'] = async (method, path, body, overrides = {}) => {
    const bytes =
      body === undefined ? '' : body instanceof Buffer || typeof body === 'string' ? body : JSON.stringify(body);
    const headers: Record<string, string | null> = {
      Accept: 'application/json',
      'Content-Type': body === undefined ? null : 'application/json',
      'Wechatpay-Serial': sandbox.keys.wechatpay_public_key_id,
      Authorization: await signed(sandbox, now(), method, path, bytes, overrides.authorization),
      ...overrides.headers,
    };
    const present = Object.entries(headers).filter((header): header is [string, string] => header[1] !== null);
    const sent = overrides.sent ?? (body === undefined ? undefined : bytes);
    const init = {
      method,
      headers: Object.fromEntries(present),
      redirect: 'manual' as const,
      signal: overrides.signal ?? null,
    };
    return replyOf(await fetch(sandbox.url + path, sent === undefined ? init : { ...init, body: sent }));
  };

  const control: Bench['control'] = async (method, path, body) => {
    const response = await fetch(`${sandbox.url}/_sandbox${path}`, {
      method,
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, json: text === '' ? undefined : JSON.parse(text) };
  };

  const expected = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const { status, json } = await control<T>(method, path, body);
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(json)}`);
    return json;
  };

  return {
    sandbox,
    dir,
    call,
    query: (no) => call('GET', `${POLICIES}/${no}`),
    patch: (no, fields, overrides) => call('PATCH', `${POLICIES}/${no}`, fields, overrides),
    control,
    put: (policy) => expected('PUT', `/policies/${policy.out_insurance_no}`, policy),
    held: (no) => expected('GET', `/policies/${no}`),
    faults: (...rules) => expected('PUT', '/faults', rules),
    requests: (after = 0) => expected('GET', `/requests?after=${after}`),
    sealed: (name) => sealName(sandbox.keys.wechatpay_public_key, name),
    close: async () => {
      await sandbox.close();
      if (keys === undefined) await rm(dir, { recursive: true });
    },
  };
}

async function signed(
  { keys }: Sandbox,
  now: number,
  method: string,
  path: string,
  body: string | Buffer,
  overrides: Overrides['authorization'],
): Promise<string | null> {
  if (overrides === null || typeof overrides === 'string') return overrides;
  const nonce_str = overrides?.nonce_str ?? randomBytes(16).toString('hex');
  const timestamp = overrides?.timestamp ?? Math.floor(now / 1000);
  const message = requestMessage({ method, path, timestamp, nonce: nonce_str, body });
  const signature = await signMessage(keys.merchant_private_key, message);
  const { mchid, merchant_serial_no: serial_no } = keys;
  return authorization({ mchid, serial_no, nonce_str, timestamp, signature, ...overrides });
}

async function replyOf(response: Response): Promise<Reply> {
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json');
  return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : {} };
}
