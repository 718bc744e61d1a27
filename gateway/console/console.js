// The operators' pages: which one is shown, who is signed in, in what language.
import { ask, Refused, signIn, signOut } from './api.js';
import { fault, h, say } from './dom.js';
import { fleet } from './fleet.js';
import { policy } from './policy.js';
import { tagOf, turnLanguage, words } from './words.js';

const main = document.getElementById('main');
/** What the token is for; undefined while nobody is signed in. */
let me;

/** Shows the page of the address; the newest question wins. */
let asked = 0;
async function show({ focus = false, reveal = false } = {}) {
  const own = ++asked;
  main.setAttribute('aria-busy', 'true');
  try {
    me ??= await ask('GET', '/me');
    const page = await pageOf(location.hash, reveal);
    if (own !== asked) return;
    main.replaceChildren(...page.filter(Boolean));
  } catch (error) {
    if (own !== asked) return;
    if (error instanceof Refused && error.status === 401) me = undefined;
    if (me === undefined) main.replaceChildren(signInForm());
    if (me !== undefined || sessionStorage.length > 0) fault(error.message);
  }
  frame();
  main.removeAttribute('aria-busy');
  if (focus) main.focus();
}

async function pageOf(hash, reveal) {
  const [, path = '', query = ''] = /^#([^?]*)\??(.*)$/.exec(hash) ?? [];
  if (!path.startsWith('/policies/')) return fleet(new URLSearchParams(query), me, again);
  return policy(path, me, again, reveal);
}

/** Does something, tells what is wrong with it, shows the page anew, and brings the keyboard back to where it was. */
async function again(work, { reveal, back } = {}) {
  try {
    await work?.();
  } catch (error) {
    fault(error.message);
  }
  await show({ reveal });
  (document.getElementById(back) ?? main).focus();
}

/** What stands around the page, in the language of the moment. */
function frame() {
  const w = words();
  document.documentElement.lang = tagOf();
  document.getElementById('skip').textContent = w.skip;
  const language = document.getElementById('language');
  language.textContent = w.other;
  language.lang = tagOf() === 'en' ? 'zh-CN' : 'en';
  document.getElementById('search').replaceChildren(...(me ? searchFields() : []));
  document.getElementById('who').replaceChildren(...(me?.name ? whoIsThere(me.name) : []));
}

function searchFields() {
  const w = words();
  const merchants = Array.isArray(me.merchants) && me.merchants.length === 1 ? me.merchants[0] : '';
  return [
    h(
      'label',
      null,
      w.merchant,
      h('input', { name: 'mchid', id: 'mchid', inputmode: 'numeric', size: '11', required: true, value: merchants }),
    ),
    h('label', null, w.number, h('input', { name: 'number', id: 'number', size: '24', required: true })),
    h('button', { type: 'submit' }, w.find),
  ];
}

function whoIsThere(name) {
  const leave = () => {
    signOut();
    me = undefined;
    say('');
    void show({ focus: true });
  };
  return [`${words().as} ${name} `, h('button', { type: 'button', click: leave }, words().leave)];
}

function signInForm() {
  const w = words();
  const enter = (event) => {
    event.preventDefault();
    signIn(new FormData(event.currentTarget).get('token').trim());
    say('');
    void show({ focus: true });
  };
  return h(
    'form',
    { submit: enter },
    h('h1', null, w.enter),
    h('p', null, w.signIn),
    h(
      'div',
      { class: 'row' },
      h(
        'label',
        null,
        w.token,
        h('input', { name: 'token', id: 'token', type: 'password', required: true, autocomplete: 'off', size: '44' }),
      ),
      h('button', { type: 'submit', class: 'first' }, w.enter),
    ),
  );
}

document.getElementById('search').addEventListener('submit', (event) => {
  event.preventDefault();
  const form = new FormData(event.currentTarget);
  location.hash = `#/policies/${form.get('mchid').trim()}/${form.get('number').trim()}`;
});
document.getElementById('language').addEventListener('click', () => {
  turnLanguage();
  void show();
});
document.getElementById('skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener('hashchange', () => {
  say('');
  void show({ focus: true });
});
void show();
