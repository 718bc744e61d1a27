import { words } from './words.js';

/** An element. What is a function is a listener; texts are texts, never HTML. */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (name === 'value') element.value = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(2).filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

export function table(caption, head, rows) {
  const top = h(
    'tr',
    null,
    head.map((text) => h('th', { scope: 'col' }, text)),
  );
  return h(
    'div',
    { class: 'wide', tabindex: '0', role: 'region', 'aria-label': caption },
    h('table', null, h('caption', null, caption), h('thead', null, top), h('tbody', null, rows)),
  );
}

export function cells(...values) {
  return values.map((value) => h('td', null, value ?? ''));
}

export function syncText(sync) {
  return h('span', { class: `sync ${sync}` }, `${sync} · ${words().syncs[sync] ?? ''}`);
}

export function stateText(state) {
  return `${state} · ${words().states[state] ?? ''}`;
}

export function valueText(value) {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** What was done, for everybody: screen readers say it too. */
export function say(text) {
  document.getElementById('said').textContent = text;
  document.getElementById('fault').textContent = '';
}

export function fault(text) {
  document.getElementById('fault').textContent = text;
  document.getElementById('said').textContent = '';
}

/**
 * Asks before something is done, and for what it needs. Undefined where it is called off.
 * @param fields `name`, whether it is `required` or `long`, its `choices`, names that are `known`, the `value` it begins with
 */
export function asked(title, text, fields = []) {
  return new Promise((resolve) => {
    const w = words();
    const go = (event) => {
      event.preventDefault();
      end(Object.fromEntries([...new FormData(event.currentTarget)].map(([name, value]) => [name, value.trim()])));
    };
    const form = h(
      'form',
      { submit: go },
      h('h2', null, title),
      h('p', null, text),
      fields.map(field),
      h(
        'div',
        { class: 'row' },
        h('button', { type: 'submit', class: 'first', id: 'go' }, w.go),
        h('button', { type: 'button', click: () => end(undefined) }, w.cancel),
      ),
    );
    const dialog = h('dialog', { 'aria-label': title }, form);
    const end = (answer) => {
      dialog.close();
      dialog.remove();
      resolve(answer);
    };
    dialog.addEventListener('cancel', () => end(undefined));
    document.body.append(dialog);
    dialog.showModal();
    // What is long is read from its beginning.
    form.querySelector('textarea')?.setSelectionRange(0, 0);
  });
}

function field({ name, required, long, choices, known, value }) {
  const id = `asked-${name}`;
  const own = { name, id, required, value };
  const input = choices
    ? h(
        'select',
        own,
        choices.map((one) => h('option', null, one)),
      )
    : long
      ? h('textarea', { ...own, rows: value ? '16' : '3', spellcheck: 'false' })
      : h('input', { ...own, list: known && `${id}-known`, autocomplete: 'off' });
  return [
    h(
      'label',
      { class: 'asked', for: id },
      `${words().asks[name] ?? name}${required || choices ? '' : words().optional}`,
    ),
    input,
    known &&
      h(
        'datalist',
        { id: `${id}-known` },
        known.map((one) => h('option', { value: one })),
      ),
  ];
}
