import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { until } from './client_namespace.ts';
import { policySync } from './command_process.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';
import { type Answered, ask } from './gateway_fixture.ts';
import { type Story, start } from './story_process.ts';

/** A record that WeChat Pay knows nothing of: the engine uploads it. */
function newPolicy() {
  const out_insurance_no = uniqueNumber();
  const record = recordOf(
    { out_insurance_no, insurance_company_code: 'DEMO', free_insurance: false },
    { upload: { appid: 'wx0000000000000000', openid: 'oDemo0000000000000000000000' } },
  );
  return { out_insurance_no, record };
}

describe('what a plain npm start starts carries a policy through its whole life', () => {
  let story: Story;
  before(() => {
    story = start();
  });
  after(async () => {
    const { exitCode, signalCode } = story.process;
    story.process.kill('SIGINT');
    await story.exit;
    assert.deepEqual([exitCode, signalCode], [null, null], `ended by itself:\n${story.lines.join('\n')}`);
  });

  /** What a line of its names, once it is there. */
  const said = async (pattern: RegExp): Promise<string> => pattern.exec(await story.says(pattern))?.[1] ?? '';

  it('by HTTP and JSON alone', async () => {
    const url = await said(/^HTTP and JSON, and a console: (\S+)\/console\/$/);
    const { out_insurance_no, record } = newPolicy();
    const path = `/policies/${MCHID}/${out_insurance_no}`;
    const get = async (of: string) => (await ask(url, `GET ${path}${of}`)).body;
    const post = (message: string, body?: object) => ask(url, `POST ${path}/${message}`, { body });
    /** What MongoDB keeps is there a moment after the policy itself says it. */
    const comes = async (look: () => Promise<unknown>, expected: unknown): Promise<void> => {
      let found: unknown;
      const isSo = async (): Promise<boolean> => {
        found = await look();
        return isDeepStrictEqual(found, expected);
      };
      await until(isSo).catch(() => assert.deepEqual(found, expected));
    };
    const stands = ({ status, body }: Answered) => [status, body.status?.state, body.status?.sync];

    const opened = await ask(url, `PUT ${path}?wait=60s`, { body: record });
    assert.deepEqual(stands(opened), [201, 'ISSUING', 'SYNCED'], opened.text);
    assert.deepEqual(stands(await post('approve?wait=60s', { policy_code: 'P-1' })), [200, 'APPROVED', 'SYNCED']);
    assert.deepEqual(stands(await post('amend?wait=60s', { pet_name: '大狗' })), [200, 'APPROVED', 'SYNCED']);

    assert.equal((await post('hold', { reason: 'an incident' })).status, 200);
    const held = await post('amend?wait=60s', { address: '北京市海淀区中关村大街27号' });
    assert.deepEqual([held.status, held.body.not_synced.reason], [202, 'HELD'], held.text);
    const planned = async () =>
      (await get('/plan')).fields.map(({ field, fate }: Record<string, string>) => [field, fate]);
    await comes(planned, [['address', 'held']]);
    assert.deepEqual(stands(await post('unhold?wait=60s')), [200, 'APPROVED', 'SYNCED']);

    assert.deepEqual(stands(await post('cancel?wait=60s', { cause: 'SURRENDER' })), [200, 'INACTIVE', 'SYNCED']);
    const kept = async () => {
      const { remote, differing } = (await get('')).kept;
      return [remote.policy_state, differing];
    };
    await comes(kept, ['POLICY_STATE_INACTIVE', []]);
    const messages = async () => (await get('/changes')).changes.map(({ command }: { command: string }) => command);
    await comes(messages, ['cancel', 'unhold', 'amend', 'hold', 'amend', 'approve', 'open']);
    const writing = async () => {
      const { calls } = (await get('/calls')) as { calls: { method: string; outcome?: string }[] };
      return calls
        .filter(({ method, outcome }) => outcome === 'confirmed' && method !== 'GET')
        .map(({ method }) => method);
    };
    await comes(writing, ['PATCH', 'PATCH', 'PATCH', 'PATCH', 'POST']);
  });

  it('by policy-sync, with the settings that it names', async (context) => {
    const folder = await mkdtemp(join(tmpdir(), 'policy-sync-newcomer-'));
    context.after(() => rm(folder, { recursive: true, force: true }));
    const named = await readFile(await said(/^policy-sync, in another terminal: \. (\S+);/), 'utf8');
    const settings = Object.fromEntries(
      [...named.matchAll(/^export (\w+)='(.*)'$/gm)].map(([, name, is]) => [name, is]),
    );
    const { out_insurance_no: number, record } = newPolicy();
    const file = join(folder, 'policy.json');
    await writeFile(file, JSON.stringify(record));
    const run = async (...words: string[]): Promise<string> => {
      const { code, stdout, stderr } = await policySync(words, { ...process.env, ...settings });
      assert.equal(code, 0, `${words.join(' ')}: ${stdout}${stderr}`);
      return stdout;
    };
    const holds = /WeChat Pay holds it$/m;
    assert.match(await run('open', file, '--wait'), holds);
    assert.match(await run('approve', number, '--policy-code', 'P-1', '--wait'), holds);
    assert.match(await run('amend', number, 'pet_name=大狗', '--wait'), holds);
    await run('hold', number, '--reason', 'an incident');
    assert.match(await run('show', number), /^sync +HELD$/m);
    await run('unhold', number);
    assert.match(await run('cancel', number, '--wait'), holds);
    assert.match(await run('show', number), /^state +INACTIVE$/m);
  });
});
