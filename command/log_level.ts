import { InvalidSetting } from '../client/errors.ts';
import { LOG_LEVELS } from '../worker/settings.ts';

/** How much a server of the command line logs. @throws {InvalidSetting} */
export function logLevelOf({ POLICY_SYNC_LOG_LEVEL: level = 'info' }: NodeJS.ProcessEnv): string {
  const levels: readonly string[] = LOG_LEVELS;
  if (levels.includes(level)) return level;
  throw new InvalidSetting(`POLICY_SYNC_LOG_LEVEL: expected ${levels.join(', ')}, found ${JSON.stringify(level)}`);
}
