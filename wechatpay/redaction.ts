import { isPersonal } from '../policy/fields.ts';

const LONGEST = 300;
// Of a value that long, its beginning is cut out too: a message may quote it shortened.
const HEAD = 6;

/** Every value of a personal field in `body`, nested ones too, as text of two characters or more. */
export function personalValues(body: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(body).flatMap(([field, value]) => (isPersonal(field) ? textsIn(value) : []));
}

function textsIn(value: unknown): string[] {
  if (typeof value === 'object' && value !== null) return Object.values(value).flatMap(textsIn);
  if (typeof value !== 'string' && typeof value !== 'number') return [];
  const text = String(value);
  // The echo of a body carries a value as JSON writes it, and some quote it without its blanks.
  return [...new Set([text, text.trim(), JSON.stringify(text).slice(1, -1)])].map(oneLine).filter((t) => t.length >= 2);
}

/** `text` fit to be shown and stored: `values` replaced by `…`, one line, at most 300 characters. */
export function redact(text: string, values: readonly string[]): string {
  // The longest first, lest a name inside an address leave the rest of the address behind.
  const longestFirst = [...values].sort((a, b) => b.length - a.length);
  const clean = longestFirst.reduce(cut, oneLine(text));
  const characters = [...clean];
  return characters.length > LONGEST ? `${characters.slice(0, LONGEST - 1).join('')}…` : clean;
}

// Format characters go with the control characters: an invisible one inside a value would hide it from the cutting.
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '');
}

function cut(text: string, value: string): string {
  const head = value.slice(0, HEAD);
  let kept = '';
  let from = 0;
  for (let at = text.indexOf(head); at !== -1; at = text.indexOf(head, from)) {
    let end = at + head.length;
    while (end < text.length && text[end] === value[end - at]) end++;
    kept += `${text.slice(from, at)}…`;
    from = end;
  }
  return kept + text.slice(from);
}
