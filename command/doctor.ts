import type { Command } from 'commander';
import { InvalidKeys } from '../codec/keys.ts';
import { about, type Finding } from './doctor/finding.ts';
import { endWith } from './exit_code.ts';
import { type Common, withCommon } from './options.ts';
import { print, tableOf } from './output.ts';

/** What the doctor found. */
export interface Diagnosis {
  faults: number;
  warnings: number;
  findings: Finding[];
}

const TIMEOUT_MS = 10_000;

export function addDoctor(program: Command): void {
  withCommon(program.command('doctor'), '10s')
    .description(
      'look at settings, merchants, Temporal and MongoDB, and say of each what is wrong and what to do; calls WeChat Pay once a host',
    )
    .action(async ({ json, timeout = TIMEOUT_MS }: Common) => {
      const findings = await diagnosed(process.env, timeout);
      const of = (grade: Finding['grade']): number => findings.filter((one) => one.grade === grade).length;
      const diagnosis: Diagnosis = { faults: of('fault'), warnings: of('warning'), findings };
      print(json, diagnosis, () => textOf(diagnosis));
      if (diagnosis.faults > 0) endWith(1);
    });
}

/** All of it, whatever else is wrong: what one part lacks hides no fault of another. */
async function diagnosed(env: NodeJS.ProcessEnv, timeout: number): Promise<Finding[]> {
  const settings = await settingsFindings(env);
  const { MONGODB_URI, WECHATPAY_MERCHANTS } = env;
  const { mchids, findings } = WECHATPAY_MERCHANTS
    ? await (await import('./doctor/merchants.ts')).merchantsFindings(WECHATPAY_MERCHANTS)
    : { mchids: [], findings: [] };
  const [temporal, mongodb] = await Promise.all([
    import('./doctor/temporal.ts').then(({ temporalFindings }) => temporalFindings(env, mchids, timeout)),
    MONGODB_URI ? mongodbFindings(MONGODB_URI, env) : [],
  ]);
  return [...settings, ...findings, ...temporal, ...mongodb];
}

async function settingsFindings(env: NodeJS.ProcessEnv): Promise<Finding[]> {
  const { ok, fault } = about('settings');
  const { readSettings, SettingsError } = await import('../worker/settings.ts');
  try {
    readSettings(env);
    return [ok('all that a worker needs are there')];
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    return error.faults.map((message) => fault(message));
  }
}

async function mongodbFindings(uri: string, env: NodeJS.ProcessEnv): Promise<Finding[]> {
  const [{ mongodbFindings: look }, { parseKeys }] = await Promise.all([
    import('./doctor/mongodb.ts'),
    import('../codec/keys.ts'),
  ]);
  try {
    return await look(uri, parseKeys(env.POLICY_SYNC_KEYS));
  } catch (error) {
    // It is among the settings that are wrong.
    if (error instanceof InvalidKeys) return look(uri, undefined);
    throw error;
  }
}

function textOf({ faults, warnings, findings }: Diagnosis): string {
  const rows = findings.map(({ about: what, grade, message }) => [grade, what, message]);
  return `${tableOf(['', '', ''], rows).trimStart()}\n${faults} faults, ${warnings} warnings`;
}
