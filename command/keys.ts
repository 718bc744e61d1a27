import type { Command } from 'commander';
import { print } from './output.ts';

export function addKeys(program: Command): void {
  program
    .command('keys <DIR>')
    .description('make a set of keys for the sandbox and its merchant, in a folder')
    .option('--json', 'write JSON, for programs')
    .action(async (directory: string, { json }: { json?: boolean }) => {
      const { makeKeys } = await import('../sandbox/keys.ts');
      const { mchid, merchant_serial_no, wechatpay_public_key_id } = await makeKeys(directory);
      print(
        json,
        { directory, mchid, merchant_serial_no, wechatpay_public_key_id },
        () => `${directory}: keys of ${mchid}`,
      );
    });
}
