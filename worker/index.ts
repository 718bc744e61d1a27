// `wechatpay-policy-sync/worker`: the worker as a process (`runWorker`), or inside one of yours (`startWorker`).
export type { Log } from '../activities/log.ts';
export { MerchantsFileError } from '../wechatpay/merchants_file.ts';
export { makeLog } from './log.ts';
export { runWorker } from './run.ts';
export { readSettings, type Settings, SettingsError } from './settings.ts';
export { type RunningWorker, startWorker, type WorkerOptions } from './worker.ts';
