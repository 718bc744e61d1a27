/** A document of `merchants`: the calls of a merchant are held, for whatever reason lies with the merchant. */
export interface StoredHold {
  /** The mchid. */
  _id: string;
  /** WeChat Pay's code, or the client's word for what is wrong. */
  code: string;
  status: number | null;
  request_id: string | null;
  /** One line for people, nothing personal. */
  message: string;
  since: Date;
  /** The last probe that met the fault. */
  probed_at: Date;
}
