import ky from 'ky';

/** A policy as the sandbox holds it, names in the clear. */
export type Held = Record<string, unknown>;

/** A call that reached the sandbox. */
export interface Received {
  n: number;
  method: string;
  status: number | null;
  body: Record<string, unknown>;
}

/** What happens at WeChat Pay behind the merchant's back, and what is seen there: the sandbox's `/_sandbox`. */
export class WechatPay {
  readonly #api: ReturnType<typeof ky.create>;

  constructor(url: string) {
    this.#api = ky.create({ prefixUrl: `${url}/_sandbox`, retry: 0, timeout: 20_000 });
  }

  /** `undefined` where it has none of that number. */
  async policy(number: string): Promise<Held | undefined> {
    const answer = await this.#api.get(`policies/${number}`, { throwHttpErrors: false });
    return answer.ok ? answer.json<Held>() : undefined;
  }

  async put(number: string, policy: Held): Promise<void> {
    await this.#api.put(`policies/${number}`, { json: policy });
  }

  async change(number: string, fields: Held): Promise<void> {
    await this.#api.patch(`policies/${number}`, { json: fields });
  }

  /** The PATCHes and POSTs of a policy that were done, in order. */
  async changesOf(number: string): Promise<Received[]> {
    const requests = await this.#api
      .get('requests')
      .json<{ n: number; method: string; path: string; status: number | null; body: string }[]>();
    return requests
      .filter(({ method, status }) => method !== 'GET' && status === 200)
      .map(({ n, method, status, path, body }) => ({ n, method, status, path, body: JSON.parse(body) as Held }))
      .filter(({ path, body }) => path.endsWith(`/${number}`) || body.out_insurance_no === number);
  }
}
