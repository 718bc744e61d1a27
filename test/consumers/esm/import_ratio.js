// How much longer the client takes to import than the SDK's client that it stands on: processor time of new processes, the
// least of nine each, taken in turn.
import { spawnSync } from 'node:child_process';

const [ours, peer] = ['wechatpay-policy-sync-client', '@temporalio/client'];
const times = { [ours]: [], [peer]: [] };
for (let turn = 0; turn < 9; turn++) for (const name of [ours, peer]) times[name].push(importTime(name));
const [our, their] = [ours, peer].map((name) => Math.min(...times[name]));
console.log(`${ours} ${our} ms, ${peer} ${their} ms: ${(our / their).toFixed(2)} times`);
if (our > 1.3 * their) throw new Error(`expected at most 1.3 times, found ${(our / their).toFixed(2)}`);

function importTime(name) {
  const script = `const from = process.cpuUsage();
    await import('${name}');
    const { user, system } = process.cpuUsage(from);
    console.log(Math.round((user + system) / 1000));`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return Number(stdout);
}
