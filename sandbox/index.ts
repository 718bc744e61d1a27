// `wechatpay-policy-sync/sandbox`: a WeChat Pay to develop and test against.
export { KeysFolderError, makeKeys, merchantsFile, type SandboxKeys } from './keys.ts';
export { type Sandbox, type SandboxOptions, startSandbox } from './server.ts';
