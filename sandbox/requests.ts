const MOST_KEPT = 200_000;

/** A service call, as `/_sandbox/requests` shows it. */
export interface LoggedRequest {
  /** From 1 on. */
  n: number;
  /** Its arrival, ISO 8601 with milliseconds. */
  at: string;
  /** When the sandbox was done with it, just before the answer's first byte; `null` while it is under way. */
  ended_at: string | null;
  method: string;
  path: string;
  /** As received. */
  body: string;
  /** `null` where none was answered. */
  status: number | null;
  /** Of an error. */
  code: string | null;
  request_id: string;
  signature_ok: boolean;
  /** By which code the service itself refused it, though a fault may have kept the answer back; `null` where it did not. */
  refused: string | null;
  /** When it took effect, where that was after it had ended: `drop: late`. */
  landed_at?: string;
}

/** Every service call from its arrival on; the last 200,000 of them. */
export class RequestLog {
  readonly #now: () => number;
  readonly #kept = new Map<number, LoggedRequest>();
  #last = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  arrived(method: string, path: string, request_id: string): LoggedRequest {
    const n = ++this.#last;
    const request: LoggedRequest = {
      ...{ n, at: this.#time(), ended_at: null, method, path, body: '' },
      ...{ status: null, code: null, request_id, signature_ok: false, refused: null },
    };
    this.#kept.set(n, request);
    this.#kept.delete(n - MOST_KEPT);
    return request;
  }

  ended(request: LoggedRequest, status: number | null, code: string | null): void {
    request.status = status;
    request.code = code;
    request.ended_at = this.#time();
  }

  landed(request: LoggedRequest): void {
    request.landed_at = this.#time();
  }

  /** Those whose `n` is above `n`, in order. */
  after(n: number): LoggedRequest[] {
    const found: LoggedRequest[] = [];
    for (let at = Math.max(n + 1, this.#last - MOST_KEPT + 1); at <= this.#last; at++) {
      const request = this.#kept.get(at);
      if (request) found.push(request);
    }
    return found;
  }

  #time(): string {
    return new Date(this.#now()).toISOString();
  }
}
