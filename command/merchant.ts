import { readFile } from 'node:fs/promises';
import type { PolicyId } from '../client/start_operation.ts';
import { UsageError } from './usage.ts';

/**
 * The policy that a command names: `NO` of the merchant in question, or `MCHID/NO`.
 * @throws {UsageError} where it does not say, and settings do not either, which merchant is meant, or that is no merchant's id
 */
export async function policyOf(text: string, mchid: string | undefined, env = process.env): Promise<PolicyId> {
  const [number = '', ...merchants] = text.split('/').reverse();
  if (!/^[0-9A-Za-z]{1,32}$/.test(number))
    throw new UsageError(`expected a policy number of 1 to 32 letters and digits, found ${JSON.stringify(text)}`);
  const merchant = merchants.length > 0 ? merchants.reverse().join('/') : (mchid ?? (await merchantInQuestion(env)));
  return { mchid: checkedMerchant(merchant), out_insurance_no: number };
}

/** The merchant of policies that name none; undefined where neither the command nor settings say which. */
export async function merchantIfSaid(mchid: string | undefined, env = process.env): Promise<string | undefined> {
  try {
    return checkedMerchant(mchid ?? (await merchantInQuestion(env)));
  } catch (error) {
    if (mchid !== undefined) throw error;
    return undefined;
  }
}

function checkedMerchant(merchant: string): string {
  if (/^\d{8,10}$/.test(merchant)) return merchant;
  throw new UsageError(`expected a merchant id of 8 to 10 digits, found ${JSON.stringify(merchant)}`);
}

async function merchantInQuestion({ POLICY_SYNC_MCHID, WECHATPAY_MERCHANTS }: NodeJS.ProcessEnv): Promise<string> {
  if (POLICY_SYNC_MCHID) return POLICY_SYNC_MCHID;
  const merchants = WECHATPAY_MERCHANTS ? await merchantsIn(WECHATPAY_MERCHANTS) : [];
  const [only] = merchants;
  if (only !== undefined && merchants.length === 1) return only;
  const found = merchants.length > 1 ? ` (WECHATPAY_MERCHANTS has ${merchants.length})` : '';
  throw new UsageError(`which merchant?${found} give --mchid, write MCHID/NO, or set POLICY_SYNC_MCHID`);
}

// Only the names: the keys are the worker's, and may not be readable for whoever runs a command.
async function merchantsIn(file: string): Promise<string[]> {
  try {
    return Object.keys(JSON.parse(await readFile(file, 'utf8'))).filter((mchid) => mchid !== '$schema');
  } catch {
    throw new UsageError(`WECHATPAY_MERCHANTS: expected a readable JSON file, found none at ${file}; or give --mchid`);
  }
}
