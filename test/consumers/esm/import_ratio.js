// How much longer the client takes to import than the SDK's client that it stands on: processor time of new processes, the
// least of each, taken in turn. Other work on the machine only adds to it, so more turns come nearer to what each takes:
// where nine are not enough, there are up to fifty.
import { spawnSync } from 'node:child_process';

const [ours, peer] = ['wechatpay-policy-sync-client', '@temporalio/client'];
const least = { [ours]: Number.POSITIVE_INFINITY, [peer]: Number.POSITIVE_INFINITY };
const ratio = () => least[ours] / least[peer];
let turns = 0;
while (turns < 9 || (turns < 50 && ratio() > 1.3)) {
  for (const name of [ours, peer]) least[name] = Math.min(least[name], importTime(name));
  turns++;
}
const told = `${ours} ${least[ours]} ms, ${peer} ${least[peer]} ms: ${ratio().toFixed(2)} times, of ${turns} turns`;
console.log(told);
if (ratio() > 1.3) throw new Error(`expected at most 1.3 times: ${told}`);

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
