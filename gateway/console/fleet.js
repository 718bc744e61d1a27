import { ask } from './api.js';
import { cells, h, stateText, syncText, table } from './dom.js';
import { opening } from './messages.js';
import { time, words } from './words.js';

const STATES = ['ISSUING', 'APPROVED', 'DECLINED', 'INACTIVE'];
const SYNCS = ['SYNCED', 'PENDING', 'RETRYING', 'BLOCKED', 'DIVERGED', 'HELD', 'OBSERVED', 'STOPPED'];

/** The fleet: how many stand how, what concerns many, and a page of policies. */
export async function fleet(query, me, again) {
  const w = words();
  const asked = new URLSearchParams([...query].filter(([, value]) => value !== ''));
  const [{ counts }, wide, page] = await Promise.all([
    ask('GET', '/counts'),
    ask('GET', '/attention'),
    ask('GET', `/policies?${new URLSearchParams([...asked, ['limit', '50']])}`),
  ]);
  document.title = `${w.title} · policy-sync`;
  return [
    h('h1', null, w.title),
    me.roles.includes('write') && opening(me, again),
    countsTable(counts),
    h('h2', null, w.wide),
    wideTable(wide),
    filters(asked),
    page.policies.length === 0 ? h('p', { class: 'quiet' }, w.none) : list(page.policies),
    page.next &&
      h(
        'p',
        null,
        h('a', { href: `#/?${new URLSearchParams([...without(asked, 'cursor'), ['cursor', page.next]])}` }, w.next),
      ),
  ];
}

function without(query, name) {
  return [...query].filter(([key]) => key !== name);
}

function countsTable(counts) {
  const w = words();
  const sum = (such) => counts.filter(such).reduce((all, { policies }) => all + policies, 0);
  const number = (found, query) =>
    h(
      'td',
      { class: 'count' },
      found === 0 ? '0' : h('a', { href: `#/?${new URLSearchParams(query)}` }, String(found)),
    );
  const rows = SYNCS.filter((sync) => sum((one) => one.sync === sync) > 0).map((sync) =>
    h(
      'tr',
      null,
      h('th', { scope: 'row' }, syncText(sync)),
      STATES.map((state) =>
        number(
          sum((one) => one.sync === sync && one.state === state),
          { state, sync },
        ),
      ),
      number(
        sum((one) => one.sync === sync),
        { sync },
      ),
    ),
  );
  return table(w.counts, [w.sync, ...STATES.map(stateText), w.total], rows);
}

function wideTable({ merchants, findings }) {
  const w = words();
  if (merchants.length + findings.length === 0) return h('p', { class: 'quiet' }, w.wideNone);
  const rows = [...merchants, ...findings].map(({ mchid, out_insurance_no: number, code, reason, since }) =>
    h('tr', null, cells(number ? link(mchid, number) : (mchid ?? w.all), code, reason, time(since))),
  );
  return table(w.wide, [w.about, w.code, w.reason, w.since], rows);
}

function link(mchid, number) {
  return h('a', { href: `#/policies/${mchid}/${number}` }, `${mchid}/${number}`);
}

function filters(query) {
  const w = words();
  const go = (event) => {
    event.preventDefault();
    const given = [...new FormData(event.currentTarget)].filter(([, value]) => value !== '');
    location.hash = `#/?${new URLSearchParams(given)}`;
  };
  const select = (name, label, choices, textOf) =>
    h(
      'label',
      null,
      label,
      h(
        'select',
        { name },
        h('option', { value: '' }, w.all),
        choices.map((one) => h('option', { value: one, selected: query.get(name) === one }, textOf(one))),
      ),
    );
  return h(
    'form',
    { class: 'row', submit: go },
    select('state', w.state, STATES, stateText),
    select('sync', w.sync, SYNCS, (sync) => `${sync} · ${w.syncs[sync]}`),
    h(
      'label',
      null,
      w.merchant,
      h('input', { name: 'mchid', inputmode: 'numeric', size: '11', value: query.get('mchid') ?? '' }),
    ),
    h(
      'label',
      null,
      h('input', { type: 'checkbox', name: 'attention', value: 'true', checked: query.get('attention') === 'true' }),
      w.attention,
    ),
    h('button', { type: 'submit' }, w.filter),
  );
}

function list(policies) {
  const w = words();
  const rows = policies.map((one) =>
    h(
      'tr',
      null,
      cells(
        link(one.mchid, one.out_insurance_no),
        stateText(one.state) + (one.end ? ` (${w.over})` : ''),
        syncText(one.sync),
        one.type.replace(/^POLICY_TYPE_/, ''),
        time(one.expires_at),
        [one.code, one.reason].filter(Boolean).join(': '),
        time(one.since),
      ),
    ),
  );
  return table(w.title, [`${w.merchant}/${w.number}`, w.state, w.sync, w.type, w.ends, w.reason, w.since], rows);
}
