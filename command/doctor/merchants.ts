import { DAY } from '../../policy/duration.ts';
import { WechatPay } from '../../wechatpay/client.ts';
import { WechatPayError } from '../../wechatpay/errors.ts';
import { certificatesOf, type Merchant } from '../../wechatpay/merchant.ts';
import { MerchantsFileError, readMerchants } from '../../wechatpay/merchants_file.ts';
import { messageOf } from '../error_text.ts';
import { about, type Finding } from './finding.ts';

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

function certificateFindings(merchant: Merchant): Finding[] {
  const { ok, warning, fault } = about(`merchant ${merchant.mchid}`);
  const unwatched = merchant.merchant_keys
    .filter(({ certificate }) => !certificate)
    .map(({ serial_no }) => warning(`nobody watches the end of certificate ${serial_no}: name its certificate_file`));
  const watched = certificatesOf(merchant).map(({ serial_no: serial, valid_to }) => {
    const days = Math.floor((valid_to.getTime() - Date.now()) / DAY);
    if (days < 0)
      return fault(`certificate ${serial} has ended ${-days} days ago: put a new one into the merchants file`);
    if (days < SOON_DAYS) return warning(`certificate ${serial} ends in ${days} days: have a new one made`);
    return ok(`certificate ${serial} ends in ${days} days`);
  });
  return [...unwatched, ...watched];
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
  if (!(answered instanceof WechatPayError) || answered.reason === 'not-found')
    return [ok(`a signed call to ${base} was answered, and verified`), ...clock];
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
