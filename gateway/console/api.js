const KEY = 'policy-sync-token';

export function signIn(token) {
  sessionStorage.setItem(KEY, token);
}

export function signOut() {
  sessionStorage.removeItem(KEY);
}

/** What the gateway refused: its line for people, and the status. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Asks the gateway that these pages come from. */
export async function ask(method, path, body) {
  const token = sessionStorage.getItem(KEY);
  const answer = await fetch(`..${path}`, {
    method,
    headers: {
      ...(token && { authorization: `Bearer ${token}` }),
      ...(body && { 'content-type': 'application/json' }),
      // Sent again by the browser or a proxy, it is done once.
      ...(method !== 'GET' && { 'idempotency-key': crypto.randomUUID?.() ?? String(Math.random()) }),
    },
    body: body && JSON.stringify(body),
  });
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok)
    throw new Refused(answer.status, `${told.rule ?? answer.status}: ${told.detail ?? answer.statusText}`);
  return told;
}
