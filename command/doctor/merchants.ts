import { WechatPay } from '../../wechatpay/client.ts';
import { WechatPayError } from '../../wechatpay/errors.ts';
import type { Merchant } from '../../wechatpay/merchant.ts';
import { MerchantsFileError, readMerchants } from '../../wechatpay/merchants_file.ts';
import { messageOf } from '../error_text.ts';
import { about, type Finding } from './finding.ts';

const DAY_MS = 24 * 60 * 60_000;
const SOON_DAYS = 30;
/** WeChat Pay refuses a time stamp that is five minutes off. */
const CLOCK_MS = { most: 300_000, fine: 60_000 };
/** No policy has it: WeChat Pay signs that it knows none, which proves keys, ids and clock of both sides. */
const NO_POLICY = 'POLICYSYNCDOCTOR';

/** The merchants file, and of each merchant in it keys, certificates, and a call that changes nothing. */
export async function merchantsFindings(file: string): Promise<{ mchids: string[]; findings: Finding[] }> {
  const { fault, warning } = about('merchants');
  try {
    const { merchants, faults, warnings } = await readMerchants(file);
    const of = await Promise.all([...merchants.values()].map(merchantFindings));
    const unusable = faults.map(({ message }) => fault(message));
    const findings = [...unusable, ...warnings.map((message) => warning(message)), ...of.flat()];
    return { mchids: [...merchants.keys()], findings };
  } catch (error) {
    if (!(error instanceof MerchantsFileError)) throw error;
    return { mchids: [], findings: [fault(error.message)] };
  }
}

async function merchantFindings(merchant: Merchant): Promise<Finding[]> {
  const { warning, ok } = about(`merchant ${merchant.mchid}`);
  const keys = ok(
    `${merchant.merchant_keys.length} own and ${merchant.wechatpay_keys.length} WeChat Pay keys are usable`,
  );
  const paused = merchant.paused ? [warning('paused in the merchants file: none of its calls is made')] : [];
  return [keys, ...paused, ...certificateFindings(merchant), ...(await callFindings(merchant))];
}

function certificateFindings({ mchid, merchant_keys, wechatpay_keys }: Merchant): Finding[] {
  const { ok, warning, fault } = about(`merchant ${mchid}`);
  const own = merchant_keys.map(({ serial_no, certificate }) => ({
    serial: serial_no,
    ends: certificate && new Date(certificate.validTo),
  }));
  const platform = wechatpay_keys.flatMap(({ id, valid_to }) => (valid_to ? [{ serial: id, ends: valid_to }] : []));
  return [...own, ...platform].map(({ serial, ends }) => {
    if (!ends) return warning(`nobody watches the end of certificate ${serial}: name its certificate_file`);
    const days = Math.floor((ends.getTime() - Date.now()) / DAY_MS);
    if (days < 0)
      return fault(`certificate ${serial} has ended ${-days} days ago: put a new one into the merchants file`);
    if (days < SOON_DAYS) return warning(`certificate ${serial} ends in ${days} days: have a new one made`);
    return ok(`certificate ${serial} ends in ${days} days`);
  });
}

/** At each host: one may be reached, and another not. */
async function callFindings(merchant: Merchant): Promise<Finding[]> {
  const found = await Promise.all(merchant.base_urls.map((base) => callFinding(merchant, base)));
  return found.flat();
}

async function callFinding(merchant: Merchant, base: string): Promise<Finding[]> {
  const { ok, fault } = about(`merchant ${merchant.mchid}`);
  let date: string | null = null;
  const client = new WechatPay(
    { ...merchant, base_urls: [base] },
    {
      fetch: async (...request) => {
        const answer = await fetch(...request);
        date = answer.headers.get('date');
        return answer;
      },
    },
  );
  const answered = await client.queryPolicy(NO_POLICY).catch((error: unknown) => error);
  const clock = clockFindings(merchant.mchid, base, date);
  if (!(answered instanceof WechatPayError))
    return [ok(`a signed call to ${base} was answered, and verified`), ...clock];
  if (answered.reason === 'not-found') return [ok(`a signed call to ${base} was answered, and verified`), ...clock];
  return [fault(`a call to ${base}: ${messageOf(answered)}${adviceFor(answered)}`), ...clock];
}

const ADVICE: Partial<Record<string, string>> = {
  'signature-refused': ': compare mchid, serial_no and private_key_file with the API certificate at WeChat Pay',
  'no-permission': ': have the policy service (保单管理) opened for this merchant',
  'unknown-serial': ': name the key in wechatpay_keys',
  'wrong-signature': ': the public key is not the one of its id',
  stale: ': set the clock of this machine, or of the box that answers',
  unsigned: ': is it WeChat Pay that answers? See base_urls, and the proxy',
  'not-connected': ': see base_urls, DNS and the firewall',
};

function adviceFor({ reason }: WechatPayError): string {
  return ADVICE[reason] ?? '';
}

function clockFindings(mchid: string, base: string, date: string | null): Finding[] {
  const { ok, warning, fault } = about(`merchant ${mchid}`);
  const theirs = date === null ? Number.NaN : Date.parse(date);
  if (Number.isNaN(theirs)) return [];
  const away = Math.abs(Date.now() - theirs);
  const said = `the clock of this machine is ${Math.round(away / 1000)} s away from that of ${base}`;
  if (away >= CLOCK_MS.most) return [fault(`${said}: WeChat Pay refuses every call; set it`)];
  return [away > CLOCK_MS.fine ? warning(`${said}: set it`) : ok(said)];
}
