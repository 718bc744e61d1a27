import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { startServers } from '../embedded/servers.ts';
import { SEED } from './fixtures.ts';
import { leaksBelow, privateKeyOf, type Texts } from './leaks.ts';
import { assertAllLived, start } from './story_process.ts';
import { told } from './told.ts';

/** The telling parts of what the story's policies and messages hold: a value that is cut short is still found. */
const OF_THE_STORY: Texts = {
  name: '张三',
  'car number': SEED.car_number,
  'pet name': SEED.pet_name,
  address: '晨晖路1001号',
  'new address': '中关村大街27号',
  coverage: '可保190种疾病',
  openid: 'oDemo0000000000000000000000',
  'reason to decline': 'the risk is too high',
  'reason to cancel': 'asked for by the user',
};

it('npm start leaves nothing personal and no key in databases and logs, nor says it', async (context) => {
  const keep = await mkdtemp(join(tmpdir(), 'policy-sync-secrecy-'));
  context.after(() => rm(keep, { recursive: true, force: true }));
  const story = start('--once', '--keep', keep);
  assert.equal(await story.exit, 0, story.lines.join('\n'));
  assertAllLived(story);
  await writeFile(join(keep, 'said.log'), story.lines.join('\n'));
  const lives = await readFile(new URL('../command/story/lives.ts', import.meta.url), 'utf8');
  for (const text of Object.values(OF_THE_STORY)) assert.ok(lives.includes(text as string), `no life has ${text}`);

  const [entry = ''] = (await readFile(join(keep, 'payload_keys'), 'utf8')).split(',');
  const payloadKey = entry.slice(entry.indexOf(':') + 1);
  const secrets: Texts = {
    ...(await privateKeyOf(join(keep, 'sandbox/merchant_private_key.pem'))),
    ...(await privateKeyOf(join(keep, 'sandbox/wechatpay_private_key.pem'))),
    'APIv3 key': (await readFile(join(keep, 'sandbox/api_v3_key.txt'), 'utf8')).trim(),
    'payload key': payloadKey,
    'bytes of the payload key': Buffer.from(payloadKey, 'base64'),
  };
  const number = /one policy there: \S+%2F(approved\w+)/.exec(story.lines.join('\n'))?.[1] ?? '';
  assert.notEqual(number, '');
  const clear: Texts = { number, product: SEED.insurance_name };

  const servers = await startServers({ log: () => {}, directory: keep, ui: false, useEnvironment: false });
  await told(keep, servers).finally(() => servers.stop());
  const { leaks, files } = await leaksBelow(keep, { ...OF_THE_STORY, ...secrets, ...clear });

  const keyFiles = ['env', 'payload_keys', 'sandbox/api_v3_key.txt', 'sandbox/sandbox.json'];
  keyFiles.push('sandbox/merchant_private_key.pem', 'sandbox/wechatpay_private_key.pem');
  // The sandbox's own file is what WeChat Pay holds.
  const theirs = 'sandbox_policies.json';
  for (const file of [...keyFiles, theirs])
    assert.equal((await stat(join(keep, file))).mode & 0o077, 0, `${file} is for its owner`);
  assert.ok(files.includes(theirs));
  const found = leaks.filter(
    ({ file, what }) => !(what in clear || (what in secrets ? keyFiles.includes(file) : file === theirs)),
  );
  assert.deepEqual(found, []);

  // What may be read is found where it is: so the search reads what the servers wrote.
  const places = (what: string) => leaks.filter((leak) => leak.what === what).map(({ file }) => file);
  for (const place of [/^temporal\.db$/, /^mongodb\//, /^said\.log$/, /^told\/policy_sync\.policies\.json$/])
    assert.ok(
      places('number').some((file) => place.test(file)),
      `${place} in ${places('number')}`,
    );
  assert.ok(places('product').includes('told/policy_sync.policies.json'));
  assert.ok(files.filter((file) => /^told\/default\./.test(file)).length >= 7);
  assert.ok(files.includes('worker.log'));
  const secretFiles = leaks.filter(({ what }) => what in secrets).map(({ file }) => file);
  assert.deepEqual([...new Set(secretFiles)].sort(), [...keyFiles].sort());
});
