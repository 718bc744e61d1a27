import type { KeyObject, X509Certificate } from 'node:crypto';

/** WeChat Pay's host and the one for disaster recovery: same paths, same signature, since the host is not signed. */
export const OFFICIAL_HOSTS: readonly string[] = ['https://api.mch.weixin.qq.com', 'https://api2.mch.weixin.qq.com'];

/** A key of the merchant's: signs requests, opens what WeChat Pay sealed for its certificate. */
export interface MerchantKey {
  /** Serial of the API certificate that belongs to the key, hexadecimal in upper case. */
  serial_no: string;
  private_key: KeyObject;
  certificate?: X509Certificate;
}

/** A key of WeChat Pay's: seals names going out, verifies answers. */
export interface WechatPayKey {
  /** As `Wechatpay-Serial` names it: `PUB_KEY_ID_…`, or the serial of a platform certificate. */
  id: string;
  public_key: KeyObject;
  /** End of the platform certificate; a bare public key has none. */
  valid_to?: Date;
}

/** A certificate whose end can be known, by its serial or id. */
export interface Ending {
  mchid: string;
  serial_no: string;
  valid_to: Date;
}

/** The merchant's own certificates, where they are named, and WeChat Pay's platform certificates. */
export function certificatesOf({ mchid, merchant_keys, wechatpay_keys }: Merchant): Ending[] {
  const own = merchant_keys.flatMap(({ serial_no, certificate }) =>
    certificate ? [{ mchid, serial_no, valid_to: new Date(certificate.validTo) }] : [],
  );
  const platform = wechatpay_keys.flatMap(({ id, valid_to }) => (valid_to ? [{ mchid, serial_no: id, valid_to }] : []));
  return [...own, ...platform];
}

/** A merchant as the client uses it: keys parsed once, since parsing a PEM costs twice what a signature does. */
export interface Merchant {
  mchid: string;
  /** The first one signs; all open names. */
  merchant_keys: readonly MerchantKey[];
  /** The first one seals, and is named on every call; all verify. */
  wechatpay_keys: readonly WechatPayKey[];
  /** 32 bytes; opens notifications. */
  api_v3_key?: Buffer;
  requests_per_second: number;
  /** Origins, the main host first. */
  base_urls: readonly string[];
  /** Holds the merchant's calls. Kept by whoever schedules calls, not by the client. */
  paused: boolean;
}
