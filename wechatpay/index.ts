// `wechatpay-policy-sync/wechatpay`: WeChat Pay's policy service, signed and verified. Usable alone, without Temporal.
export { type Answer, type Call, WechatPay, type WechatPayOptions } from './client.ts';
export {
  type ErrorDetails,
  MerchantFaultError,
  NoEffectError,
  type Outcome,
  type Reason,
  RefusedError,
  UnknownOutcomeError,
  WechatPayError,
} from './errors.ts';
export { type Merchant, type MerchantKey, OFFICIAL_HOSTS, type WechatPayKey } from './merchant.ts';
export { type MerchantSettings, merchantSettingsSchema } from './merchant_settings.ts';
export { type MerchantsFile, MerchantsFileError, readMerchants } from './merchants_file.ts';
