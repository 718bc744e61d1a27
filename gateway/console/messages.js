// What happens to policies, told by a person: the forms of who has the role `write`.
import { ask } from './api.js';
import { asked, h, say } from './dom.js';
import { words } from './words.js';

/** How long a form waits for WeChat Pay before it says that the message was taken, and no more. */
const WAIT = '?wait=10s';
const CAUSES = ['SURRENDER', 'HESITATION', 'LAPSE', 'TERMINATED'];

/** Each message: the states in which it may be legal, and what it asks for. The gateway has the last word. */
const TELLS = {
  approve: { of: ['ISSUING'], fields: [{ name: 'policy_code', required: true }] },
  decline: { of: ['ISSUING'], fields: [{ name: 'reason', required: true, long: true }] },
  amend: { of: ['ISSUING', 'APPROVED', 'DECLINED', 'INACTIVE'], fields: [] },
  renew: { of: ['APPROVED'], fields: [{ name: 'expired_time', required: true }, { name: 'policy_code' }] },
  cancel: {
    of: ['ISSUING', 'APPROVED'],
    fields: [
      { name: 'cause', choices: CAUSES },
      { name: 'at' },
      { name: 'policy_code' },
      { name: 'reason', long: true },
    ],
  },
  withdraw: { of: ['ISSUING', 'APPROVED'], fields: [] },
  reinstate: {
    of: ['INACTIVE'],
    fields: [{ name: 'reason', required: true, long: true }, { name: 'expired_time' }],
  },
};

/** The buttons by which something is told of a policy, those that its state allows. */
export function tellings(path, { status, kept }, again) {
  const w = words();
  const state = status?.state ?? kept?.document.policy_state.replace(/^POLICY_STATE_/, '');
  const names = Object.keys(TELLS).filter(
    (name) => TELLS[name].of.includes(state) && (name !== 'withdraw' || status?.cancellation),
  );
  const tell = (name) => async () => {
    const body = name === 'amend' ? await amendment(kept?.desired ?? {}) : await message(name);
    if (body) await again(async () => told(await ask('POST', `${path}/${name}${WAIT}`, body)), { back: name });
  };
  return h(
    'div',
    { class: 'row', role: 'group', 'aria-label': w.tell },
    names.map((name) => h('button', { type: 'button', id: name, click: tell(name) }, w.tells[name])),
  );
}

async function message(name) {
  const w = words();
  const given = await asked(w.tells[name], w.tellHint[name] ?? w.tellSure, TELLS[name].fields);
  return given && Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ''));
}

async function amendment(ours) {
  const w = words();
  const given = await asked(w.tells.amend, w.tellHint.amend, [
    { name: 'field', required: true, known: Object.keys(ours) },
    { name: 'value', required: true },
  ]);
  return given && { [given.field]: meant(given.value, ours[given.field]) };
}

/** JSON where it is JSON, else the text: of a field that holds a text, digits are a text, too. */
function meant(text, ours) {
  try {
    const value = JSON.parse(text);
    if (value === null || typeof value === 'string') return value;
    // A number that would lose digits.
    if (typeof value === 'number' && !Number.isSafeInteger(value)) return text;
    return typeof ours === 'string' ? text : value;
  } catch {
    return text;
  }
}

/** What was typed last and not taken: a record that is refused is corrected, and not typed again. */
let draft;

/** The button that opens a policy, from its record; its page is shown then. */
export function opening({ merchants }, again) {
  const w = words();
  const open = async () => {
    const value = draft ?? template(merchants);
    const given = await asked(w.open, w.openHint, [{ name: 'record', required: true, long: true, value }]);
    if (!given) return;
    draft = given.record;
    await again(() => opened(given.record), { back: 'open' });
  };
  return h('div', { class: 'row' }, h('button', { type: 'button', id: 'open', click: open }, w.open));
}

async function opened(record) {
  const path = pathOf(record);
  const answer = await ask('PUT', `${path}${WAIT}`, JSON.parse(record));
  draft = undefined;
  // A new page begins with nothing said.
  addEventListener('hashchange', () => told(answer), { once: true });
  location.hash = `#${path}`;
}

function pathOf(text) {
  let record;
  try {
    record = JSON.parse(text);
  } catch (error) {
    throw new Error(`${words().notJson} ${error.message}`);
  }
  return `/policies/${encodeURIComponent(record?.mchid)}/${encodeURIComponent(record?.policy?.out_insurance_no)}`;
}

/** A record to begin with: what an upload needs, and cover for a year from tomorrow. */
function template(merchants) {
  const begins = new Date(Date.now() + 86_400_000).toLocaleDateString('sv-SE', { timeZone: 'Asia/Shanghai' });
  const policy = {
    out_insurance_no: '',
    insurance_name: '',
    insured_name_list: [''],
    insurance_company_code: '',
    effective_time: `${begins}T00:00:00+08:00`,
    expired_time: `${Number(begins.slice(0, 4)) + 1}${begins.slice(4)}T00:00:00+08:00`,
    coverage_detail: '',
    support_renewal: true,
    policy_type: 'POLICY_TYPE_OTHER',
    policy_state: 'POLICY_STATE_ISSUING',
    plan_id: '',
    out_contract_code: '',
    policy_periods: [1],
    free_insurance: false,
  };
  const mchid = Array.isArray(merchants) && merchants.length === 1 ? merchants[0] : '';
  return JSON.stringify({ mchid, upload: { appid: '', openid: '' }, policy }, null, 2);
}

function told({ not_synced: lacking }) {
  say(lacking ? `${words().toldNotYet} ${lacking.detail}` : words().toldDone);
}
