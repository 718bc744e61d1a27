import { ask } from './api.js';
import { asked, cells, h, say, stateText, syncText, table, valueText } from './dom.js';
import { tellings } from './messages.js';
import { time, words } from './words.js';

/** The button that stands in the place of another once that was pressed. */
const BACK = { hold: 'unhold', unhold: 'hold' };

/** A policy: where it stands, ours beside WeChat Pay's, what happened, and what an operator may do. */
export async function policy(path, { roles }, again, reveal) {
  const [shown, plan] = await Promise.all([
    ask('GET', `${path}${reveal ? '?reveal=true' : ''}`),
    ask('GET', `${path}/plan`).catch(() => undefined),
  ]);
  document.title = `${shown.out_insurance_no} · policy-sync`;
  return [
    h('h1', null, `${shown.mchid}/${shown.out_insurance_no}`),
    shown.notes.map((note) => h('p', { class: 'quiet' }, note)),
    buttons(path, shown, roles, again),
    roles.includes('write') && tellings(path, shown, again),
    standing(shown),
    shown.kept && fields(shown.kept),
    plan && planned(plan),
    shown.kept && line(shown.kept),
  ].flat();
}

function buttons(path, { status, kept }, roles, again) {
  const w = words();
  const may = roles.includes('operate');
  const sync = status?.sync ?? kept?.document.sync;
  const act = (message, prepared) => async (event) => {
    const button = event.currentTarget;
    const body = await prepared?.();
    if (prepared && body === undefined) return;
    button.disabled = true;
    await again(async () => told(message, await ask('POST', `${path}/${message}`, body)), {
      back: BACK[message] ?? message,
    });
  };
  const button = (message, prepared, first) =>
    may &&
    h('button', { type: 'button', id: message, class: first && 'first', click: act(message, prepared) }, w[message]);
  const reason = () => asked(w.hold, w.sure, [{ name: 'reason', required: true, long: true }]);
  const sure = () => asked(w.accept, w.acceptSure);
  const shows = async () => (await asked(w.reveal, w.revealSure)) && again(undefined, { reveal: true, back: 'reveal' });
  return h(
    'div',
    { class: 'row' },
    button('verify', undefined, true),
    button('resume'),
    button('accept', sure),
    sync === 'HELD' ? button('unhold') : button('hold', reason),
    roles.includes('reveal') && h('button', { type: 'button', id: 'reveal', click: shows }, w.reveal),
  );
}

function told(message, { differences }) {
  const w = words();
  if (differences === undefined) return say(w.done[message]);
  const names = differences.map(({ field }) => field).join(', ');
  say(names === '' ? w.verifiedSame : `${w.verifiedDiffers} ${names}`);
}

function standing({ status, workflow, kept }) {
  const w = words();
  const document = kept?.document;
  const block = (one) =>
    one &&
    `${one.code} ${one.message}, ${w.since} ${time(one.at)}${one.request_id ? `, Request-ID ${one.request_id}` : ''}`;
  const pending = (workflow?.pending ?? []).map(
    ({ activity, attempt, next_attempt_at: next, last_failure: last }) =>
      `${activity} #${attempt} ${time(next)} ${last ?? ''}`,
  );
  const sync = status?.sync ?? document?.sync;
  const rows = [
    [w.state, stateText(status?.state ?? document?.policy_state.replace(/^POLICY_STATE_/, '') ?? '')],
    [w.sync, sync && syncText(sync)],
    [w.revision, String(status?.revision ?? document?.revision)],
    [w.holds, String(status?.synced_revision ?? document?.synced_revision)],
    [w.due, status?.next && `${status.next.what}, ${time(status.next.at)}`],
    [w.block, block(status?.block)],
    [w.unverified, block(status?.unverified)],
    [w.differs, status?.diverged.join(', ')],
    [w.marks, (status?.attention ?? document?.attention ?? []).join(', ')],
    [w.held, time(status?.on_hold_since)],
    [w.cancellation, status?.cancellation && `${status.cancellation.cause}, ${time(status.cancellation.at)}`],
    [w.window, status?.window],
    [w.call, pending.join('; ')],
    [w.verified, time(document?.verified_at)],
    [w.nextVerified, time(document?.next_verification_at)],
    [w.ended, document?.end && `${document.end}, ${time(document.ended_at)}`],
    [w.workflow, workflow?.status],
  ];
  return h(
    'dl',
    null,
    rows.filter(([, value]) => value).flatMap(([name, value]) => [h('dt', null, name), h('dd', null, value)]),
  );
}

function fields({ desired, remote, differing }) {
  const w = words();
  const names = [...new Set([...Object.keys(desired), ...Object.keys(remote ?? {})])];
  const rows = names.map((name) => {
    const differs = differing.includes(name);
    return h(
      'tr',
      { class: differs && 'differs' },
      h('th', { scope: 'row' }, name),
      cells(valueText(desired[name]), valueText(remote?.[name]), differs ? w.mark : ''),
    );
  });
  return table(differing.length === 0 ? `${w.fields}. ${w.same}` : w.fields, [w.field, w.ours, w.theirs, ''], rows);
}

function planned({ fields }) {
  const w = words();
  if (fields.length === 0) return h('p', { class: 'quiet' }, w.planNone);
  const rows = fields.map(({ field, ours, theirs, fate }) =>
    h('tr', null, cells(field, valueText(ours), valueText(theirs), w.fate[fate] ?? fate)),
  );
  return table(w.plan, [w.field, w.ours, w.theirs, ''], rows);
}

/** Messages, calls and findings, the latest first. */
function line({ commands, calls, discrepancies }) {
  const w = words();
  const events = [
    ...commands.map((one) => [one.at, one.command, one.by, ofCommand(one)]),
    ...calls.map((one) => [one.at, one.method ?? '', '', ofCall(one)]),
    ...discrepancies.map((one) => [one.found_at, `${w.found}: ${one.kind}`, '', ofFinding(one)]),
  ].sort(([a], [b]) => (a < b ? 1 : -1));
  const rows = events.map(([at, ...rest]) =>
    h('tr', null, cells(h('span', { class: 'at' }, time(at)), ...rest.map(valueText))),
  );
  return table(w.line, [w.at, w.what, w.who, w.told], rows);
}

function ofCommand({ command, rule, reason, cause, before, after, confirmed_at: at, revision, request_id: id }) {
  const w = words();
  const names = command === 'open' ? [] : [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const changes = names.map((name) => `${name}: ${valueText(before[name])} → ${valueText(after[name])}`);
  const state = rule
    ? `${w.refused}: ${rule}`
    : at
      ? `${w.confirmed} ${time(at)}${id ? `, Request-ID ${id}` : ''}`
      : w.waits;
  return [`${w.revision} ${revision}`, cause, reason, ...changes, state].filter(Boolean).map(valueText).join('; ');
}

function ofCall({ outcome, status, code, request_id: id, count, last_code: last }) {
  if (count !== undefined) return `× ${count} ${last ?? ''}`;
  return [outcome, status, code, id && `Request-ID ${id}`].filter(Boolean).join(' ');
}

function ofFinding({ field, ours, theirs, became }) {
  const w = words();
  return `${field}: ${w.ours} ${valueText(ours)}, ${w.theirs} ${valueText(theirs)}; ${w.became}: ${became}`;
}
