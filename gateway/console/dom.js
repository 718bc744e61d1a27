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
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
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

/** Asks before something is done; with a reason where `asks` says so. Undefined where it is called off. */
export function confirmed(title, text, asks) {
  return new Promise((resolve) => {
    const reason = h('textarea', { required: true, maxlength: '500', id: 'reason', 'aria-label': words().reason });
    const dialog = h(
      'dialog',
      { 'aria-label': title },
      h('h2', null, title),
      h('p', null, text),
      asks ? reason : undefined,
      h(
        'div',
        { class: 'row' },
        h(
          'button',
          {
            type: 'button',
            class: 'first',
            id: 'go',
            click: () => (!asks || reason.value.trim()) && end(reason.value.trim()),
          },
          words().go,
        ),
        h('button', { type: 'button', click: () => end(undefined) }, words().cancel),
      ),
    );
    const end = (answer) => {
      dialog.close();
      dialog.remove();
      resolve(answer);
    };
    dialog.addEventListener('cancel', () => end(undefined));
    document.body.append(dialog);
    dialog.showModal();
  });
}
