/** What a refused request is answered: WeChat Pay's error body, and the status that goes with it. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly code: string;
  readonly detail: object | undefined;

  constructor(status: number, code: string, message: string, detail?: object) {
    super(message);
    this.status = status;
    this.code = code;
    this.detail = detail;
  }
}

/** 400 PARAM_ERROR. `field` as a path with dots, `issue` says what was expected of it. */
export function paramError(field: string, issue: string, location: 'body' | 'header' = 'body'): Refusal {
  const named = location === 'body' ? `/${field.replaceAll('.', '/')}` : field;
  return new Refusal(400, 'PARAM_ERROR', `${field}: ${issue}`, { field: named, issue, location });
}

/** 400 INVALID_REQUEST: well-formed, but against a rule of the service's. */
export function invalidRequest(message: string): Refusal {
  return new Refusal(400, 'INVALID_REQUEST', message);
}

/** 404 NOT_FOUND. */
export function notFound(message: string): Refusal {
  return new Refusal(404, 'NOT_FOUND', message);
}
