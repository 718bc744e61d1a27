import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import axe, { type AxeResults } from 'axe-core';
import { type Browser, chromium, type Page } from 'playwright-core';
import type { WechatPay } from '../command/story/wechatpay.ts';
import { findOnPath } from '../embedded/path.mjs';
import { CAUSES } from '../policy/state.ts';
import { until } from './client_namespace.ts';
import { PERSONAL } from './command_policies_fixture.ts';
import { MCHID, recordOf, SEED, uniqueNumber } from './fixtures.ts';
import { gatewayStage, type TokensFile } from './gateway_fixture.ts';

// With SAVE_SCREENSHOTS=1 the pictures of the console in docs/images are made anew.
const program = process.env.CHROMIUM ?? findOnPath('chromium');
const missing = 'no browser: install Debian’s package `chromium`, or set CHROMIUM to the program of one';
const quiet = ['--disable-gpu', '--no-first-run', '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1'];
const PATIENCE_MS = 60_000;

describe('the console', { skip: program ? false : missing }, () => {
  const on = gatewayStage();
  let browser: Browser;
  let page: Page;
  let url: string;
  let tokens: TokensFile;
  let wechatpay: WechatPay;
  const complaints: string[] = [];

  before(async () => {
    const ready = await on.ready();
    ({ tokens, wechatpay } = ready);
    url = ready.gateway.url;
    browser = await chromium.launch({ executablePath: program, args: quiet });
    page = await (await browser.newContext({ viewport: { width: 1200, height: 900 }, locale: 'en-US' })).newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
  });
  after(() => browser?.close());

  const says = async (text: string | RegExp): Promise<void> => void (await page.getByText(text).first().waitFor());
  const picture = async (name: string): Promise<void> => {
    if (!process.env.SAVE_SCREENSHOTS) return;
    await page.screenshot({
      path: fileURLToPath(new URL(`../docs/images/${name}.png`, import.meta.url)),
    });
  };

  async function signedIn(token: string): Promise<void> {
    await page.goto(`${url}/console/`);
    await page.evaluate('sessionStorage.clear()');
    await page.goto('about:blank');
    await page.goto(`${url}/console/`);
    await page.getByLabel('Token').fill(token);
    await page.keyboard.press('Enter');
  }

  /** What axe finds against WCAG 2.2, levels A and AA, on the page as it stands. */
  async function barriers(): Promise<string[]> {
    await page.evaluate(axe.source);
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
    const found = await page.evaluate<AxeResults>(`axe.run(document, { runOnly: ${JSON.stringify(tags)} })`);
    return found.violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
  }

  it('weighs little', () => {
    const folder = fileURLToPath(new URL('../gateway/console/', import.meta.url));
    const bytes = readdirSync(folder).reduce((all, file) => all + statSync(folder + file).size, 0);
    assert.ok(bytes < 150 * 1024, `${bytes} bytes`);
  });

  it('refuses a token that is none, and shows the fleet to one that is', async () => {
    const diverged = await on.known(
      { policy_state: 'POLICY_STATE_APPROVED' },
      { verification: { on_drift: 'report' } },
    );
    await on.asked(`PUT ${diverged.path}?wait=60s`, { body: diverged.record });
    await wechatpay.change(diverged.number, { plan_id: 1 });
    await on.asked(`POST ${diverged.path}/verify`);
    await until(async () => (await on.asked(`GET ${diverged.path}`)).body.kept.document.sync === 'DIVERGED');
    const token = tokens.add('anna', ['read', 'operate', 'reveal']);
    await until(async () => (await on.asked('GET /me', { token })).status === 200);
    await signedIn('ps_wrong');
    await says(/token: there is no such token/);
    assert.deepEqual(await barriers(), []);
    await signedIn(token);
    await says('How many policies stand how');
    await says(/WeChat Pay holds otherwise: plan_id/);
    await says('as anna');
    assert.deepEqual(await barriers(), []);
    await picture('console-fleet');
    await page.getByRole('link', { name: `${MCHID}/${diverged.number}` }).click();
    await page
      .getByRole('row', { name: /plan_id.*≠ differs/ })
      .first()
      .waitFor();
  });

  it('lets an operator verify, hold, go on, accept and resume by keyboard and mouse, and keeps the name', async () => {
    const { record, path, number } = await on.known(
      { policy_state: 'POLICY_STATE_APPROVED' },
      { verification: { on_drift: 'report' } },
    );
    await on.asked(`PUT ${path}?wait=60s`, { body: record });
    await page.getByLabel('Merchant').first().fill(MCHID);
    await page.getByLabel('Number').fill(number);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: `${MCHID}/${number}` }).waitFor();
    await page.getByRole('button', { name: 'Verify now' }).press('Enter');
    await says('Verified: nothing differs.');
    await page.getByRole('button', { name: 'Hold' }).click();
    await page.getByLabel('Reason').fill('an incident');
    await page.getByRole('button', { name: 'Go on' }).click();
    await says('On hold.');
    await says(/HELD/);
    await page.getByRole('button', { name: 'Unhold' }).click();
    await says('Goes on.');
    // The answer of the GET by which it goes on.
    await until(async () => (await on.asked(`GET ${path}`)).body.status.sync === 'SYNCED');
    await wechatpay.change(number, { plan_id: 1 });
    await page.getByRole('button', { name: 'Verify now' }).click();
    await says(/Verified: it differs in plan_id/);
    await until(async () => (await on.asked(`GET ${path}`)).body.status.sync === 'DIVERGED');
    await page.getByRole('button', { name: 'Accept' }).click();
    await page.getByRole('button', { name: 'Go on' }).click();
    await says('Accepted.');
    await page.getByRole('button', { name: 'Resume' }).click();
    await says('Resumed.');
    const commands = async (): Promise<string[]> =>
      (await on.asked(`GET ${path}/changes`)).body.changes
        .filter(({ by }: { by: string | null }) => by === 'anna')
        .map(({ command }: { command: string }) => command);
    // MongoDB hears of what makes no call after the answer.
    await until(async () => (await commands()).includes('accept'));
    for (const one of ['hold', 'unhold']) assert.ok((await commands()).includes(one), `${one} of ${await commands()}`);
    assert.deepEqual(await barriers(), []);
    await picture('console-policy');
  });

  it('masks personal values, and notes who has them shown', async () => {
    const text = async (): Promise<string> => (await page.locator('main').textContent()) ?? '';
    for (const value of PERSONAL) assert.ok(!(await text()).includes(value), value);
    await page.getByRole('button', { name: 'Show personal values' }).click();
    await page.getByRole('button', { name: 'Go on' }).click();
    await says(SEED.address);
    await page
      .getByRole('row', { name: /reveal.*anna/ })
      .first()
      .waitFor();
  });

  it('speaks Chinese', async () => {
    await page.getByRole('button', { name: '中文' }).click();
    await page.getByRole('button', { name: '立即核对' }).waitFor();
    assert.equal(await page.locator('html').getAttribute('lang'), 'zh-CN');
    await page.getByRole('link', { name: 'policy-sync' }).click();
    await page.getByRole('heading', { name: '保单', exact: true }).waitFor();
    assert.deepEqual(await barriers(), []);
    await picture('console-zh');
    await page.getByRole('button', { name: 'English' }).click();
  });

  it('lets who may write open a policy, and carry it to its end, by keyboard', async () => {
    const token = tokens.add('li', ['read', 'write']);
    await until(async () => (await on.asked('GET /me', { token })).status === 200);
    await signedIn(token);
    const button = (name: string) => page.getByRole('button', { name, exact: true });
    const done = () => says('Taken, and WeChat Pay holds it.');
    const number = uniqueNumber();
    const upload = { appid: 'wx0000000000000000', openid: 'oDemo0000000000000000000000' };
    const fields = { out_insurance_no: number, insurance_company_code: 'DEMO', free_insurance: false };
    const record = recordOf(fields, { upload });

    await button('Open a policy').press('Enter');
    const template = JSON.parse(await page.getByLabel('Record').inputValue());
    assert.deepEqual(Object.keys(template), ['mchid', 'upload', 'policy']);
    assert.deepEqual(await barriers(), []);
    await page.getByLabel('Record').fill(JSON.stringify({ ...record, policy: { ...record.policy, plan_id: '' } }));
    await button('Go on').press('Enter');
    await says(/^empty: policy.plan_id: /);
    await button('Open a policy').press('Enter');
    assert.equal(JSON.parse(await page.getByLabel('Record').inputValue()).policy.out_insurance_no, number);
    await page.getByLabel('Record').fill(JSON.stringify(record));
    await button('Go on').press('Enter');
    await page.getByRole('heading', { name: `${MCHID}/${number}` }).waitFor();
    await done();

    await button('Approve').press('Enter');
    await page.getByLabel('Insurer’s number').fill('P-1');
    await page.keyboard.press('Enter');
    await says('APPROVED · approved');
    await button('Amend').press('Enter');
    await page.getByRole('combobox', { name: 'Field' }).fill('policy_periods');
    await page.getByLabel('New value').fill('[1, 2]');
    assert.deepEqual(await barriers(), []);
    await page.keyboard.press('Enter');
    await page.getByRole('row', { name: /policy_periods \[1,2\] \[1,2\]/ }).waitFor();
    await until(async () => (await page.evaluate('document.activeElement.id')) === 'amend');
    await button('Surrender or lapse').press('Enter');
    assert.deepEqual(await page.getByLabel('Cause').locator('option').allTextContents(), [...CAUSES]);
    await picture('console-surrender');
    await button('Go on').press('Enter');
    await says('INACTIVE · inactive');
    await button('Reinstate').waitFor();
    assert.equal(await button('Amend').count(), 1);
    for (const name of ['Approve', 'Verify now', 'Hold']) assert.equal(await button(name).count(), 0, name);
    const { changes } = (await on.asked(`GET /policies/${MCHID}/${number}/changes`)).body;
    const told = changes.map(({ command, by }: Record<string, string>) => `${command} by ${by}`);
    assert.deepEqual(told, ['cancel by li', 'amend by li', 'approve by li', 'open by li']);
  });

  it('shows no button to a token that may only look', async () => {
    const token = tokens.add('support', ['read']);
    await until(async () => (await on.asked('GET /me', { token })).status === 200);
    const { path } = await on.known();
    const { record } = await on.known({ out_insurance_no: path.split('/').at(-1) });
    await on.asked(`PUT ${path}?wait=60s`, { body: record });
    await signedIn(token);
    await says('as support');
    await page.goto(`${url}/console/#${path}`);
    await says(/Ours beside WeChat Pay/);
    for (const name of ['Verify now', 'Hold', 'Accept', 'Resume', 'Show personal values', 'Amend', 'Approve'])
      assert.equal(await page.getByRole('button', { name }).count(), 0, name);
  });

  it('says nothing wrong to the browser but what was refused', () => {
    assert.deepEqual(
      complaints.filter((line) => !/401|422/.test(line)),
      [],
    );
  });
});
