import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { type Keyring, makeKey, parseKeys } from '../codec/keys.ts';
import { type CodecServer, startCodecServer } from '../codec/server.ts';
import { findOnPath } from '../embedded/path.mjs';
import { startTemporal, type Temporal } from '../embedded/temporal.ts';
import { type RecordInput, workflowIdOf } from '../policy/record.ts';
import { recordOf, SEED, uniqueNumber } from './fixtures.ts';
import { startWorld, type World, type WorldOptions } from './world.ts';

// With SAVE_SCREENSHOTS=1 the pictures of docs/images are made anew, smaller where `pngquant` is there.
const program = process.env.CHROMIUM ?? findOnPath('chromium');
const missing = 'no browser: install Debian’s package `chromium`, or set CHROMIUM to the program of one';
// A browser asks hosts outside of its own accord; here none but loopback exists.
const quiet = [
  ...['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update'],
  '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
];
const PATIENCE_MS = 120_000;
const PERSONAL = ['张三', SEED.car_number, SEED.address, SEED.pet_name, SEED.coverage_detail];
/** What nobody can read: base64 of something sealed, and what stands for a failure that is. */
const SEALED = /[A-Za-z0-9+/]{80,}|binary\/encrypted|Encoded failure/;

describe("Temporal's web UI", { skip: program ? false : missing }, () => {
  const keys = makeKey('ui');
  const screen = { viewport: { width: 1560, height: 900 } };
  let codec: CodecServer;
  let server: Temporal;
  let browser: Browser;
  before(async () => {
    assert.ok(program, missing);
    const uiOrigins: string[] = [];
    const keyring = parseKeys(keys) as Keyring;
    codec = await startCodecServer({ keyring, uiOrigins, log: pino({ level: 'silent' }) });
    // One of our own: its UI opens payloads by the codec server, as that of `npm start` does.
    server = await startTemporal({ log: () => {}, useEnvironment: false, codecEndpoint: codec.url });
    uiOrigins.push(server.uiUrl ?? '');
    process.env.TEST_TEMPORAL_ADDRESS = server.address;
    browser = await chromium.launch({ executablePath: program, args: quiet });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await codec?.close();
  });

  interface Place {
    world: World;
    /** Where the UI opens payloads. */
    page: Page;
    /** Where it cannot reach the codec server. */
    blind: Page;
    record: RecordInput;
    /** Workflow ids of the policy that is approved, and of the one whose approval WeChat Pay refused. */
    id: string;
    blocked: string;
  }

  /** A world with a policy approved and one blocked, and pages to look at them. */
  async function withPolicies(options: WorldOptions, look: (place: Place) => Promise<void>): Promise<void> {
    const world = await startWorld(options);
    const stop = await world.startWorkers();
    const contexts: BrowserContext[] = [await browser.newContext(screen), await browser.newContext(screen)];
    await contexts[1]?.route(`${codec.url}/**`, (route) => route.abort());
    const [page, blind] = (await Promise.all(contexts.map((context) => context.newPage()))) as [Page, Page];
    for (const one of [page, blind]) one.setDefaultTimeout(PATIENCE_MS);
    try {
      const [good, bad] = [uniqueNumber('U'), uniqueNumber('V')];
      const code = 'PARAM_ERROR';
      const refusal = { status: 400, code, message: 'policy_code is used by another policy' };
      await world.faults({ match: { method: 'PATCH', out_insurance_no: bad }, do: refusal });
      const records = [good, bad].map((out_insurance_no) => recordOf({ out_insurance_no }, { mchid: world.mchid }));
      for (const record of records) {
        const { out_insurance_no } = record.policy;
        await world.put({ ...record.policy });
        await world.client.openPolicy(record);
        await world.until(out_insurance_no, ({ sync }) => sync === 'SYNCED');
        await world.client.approve({ mchid: world.mchid, out_insurance_no }, { policy_code: 'C1' });
      }
      await world.until(good, ({ state, sync }) => state === 'APPROVED' && sync === 'SYNCED');
      await world.until(bad, ({ sync }) => sync === 'BLOCKED');
      for (const number of [good, bad]) await world.armed(number);
      const [id, blocked] = [workflowIdOf(world.mchid, good), workflowIdOf(world.mchid, bad)];
      await look({ world, page, blind, record: records[0] as RecordInput, id, blocked });
    } finally {
      for (const context of contexts) await context.close();
      await stop();
      await world.close();
    }
  }

  /** The list by a query; visibility comes a moment after the change, so it is asked again until it is there. */
  async function listed(page: Page, { namespace }: World, query: string, id: string): Promise<void> {
    const link = page.getByRole('link', { name: id });
    for (const deadline = Date.now() + PATIENCE_MS; ; ) {
      await page.goto(`${server.uiUrl}/namespaces/${namespace}/workflows?query=${encodeURIComponent(query)}`);
      const shown = await link
        .first()
        .waitFor({ timeout: 10_000 })
        .then(
          () => true,
          (error) => error,
        );
      if (shown === true) return;
      if (Date.now() > deadline) throw shown;
    }
  }

  /** A part of a policy's page, such as `history`. */
  async function opened(page: Page, { namespace, temporal }: World, id: string, part: string): Promise<void> {
    const { runId } = await temporal.workflow.getHandle(id).describe();
    await page.goto(`${server.uiUrl}/namespaces/${namespace}/workflows/${encodeURIComponent(id)}/${runId}/${part}`);
  }

  /** All that the page says, its frames too. */
  async function textOf(page: Page): Promise<string> {
    const texts = page.frames().map((frame) => frame.locator('body').textContent());
    return (await Promise.all(texts)).join('\n');
  }

  /** Until nothing sealed is shown any more: what the page has fetched is opened a moment later. */
  async function legible(page: Page): Promise<void> {
    for (const deadline = Date.now() + PATIENCE_MS; SEALED.test(await textOf(page)); await page.waitForTimeout(200))
      assert.ok(Date.now() < deadline, `sealed: ${SEALED.exec(await textOf(page))?.[0]}`);
  }

  async function pictured(page: Page, name: string): Promise<void> {
    if (process.env.SAVE_SCREENSHOTS !== '1') return;
    // Fonts, frames and icons come a moment after the words.
    await page.waitForTimeout(1_500);
    const path = fileURLToPath(new URL(`../docs/images/${name}.png`, import.meta.url));
    await page.screenshot({ path });
    const pngquant = findOnPath('pngquant');
    if (pngquant) execFileSync(pngquant, ['--force', '--skip-if-larger', '--output', path, '64', path]);
  }

  it('with payload keys and a codec server shows which policies are blocked, how one stands and why, and its record', async () => {
    await withPolicies({ keys }, async ({ world, page, record, id, blocked }) => {
      await listed(page, world, 'PolicySync="BLOCKED"', blocked);
      assert.equal(await page.getByText(id).count(), 0, 'the policy that is in step is not in the list');
      await pictured(page, 'ui-list');

      await opened(page, world, blocked, 'user-metadata');
      const summary = page.locator('iframe').first().contentFrame();
      await summary.getByText(String(record.policy.insurance_name)).waitFor();
      const details = page.locator('iframe').last().contentFrame();
      for (const told of [
        'APPROVED',
        'BLOCKED (revision 1 of 2)',
        'PARAM_ERROR: policy_code is used by another policy',
      ])
        await details.getByText(told).waitFor();
      await details.getByText(/^fresh-run at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+08:00$/).waitFor();
      await pictured(page, 'ui-policy');

      await opened(page, world, blocked, 'history');
      for (const value of PERSONAL) await page.getByText(value).first().waitFor();
      await legible(page);
      await pictured(page, 'ui-record');

      await opened(page, world, blocked, 'pending-activities');
      await page.getByText(/BLOCKED: verified at \S+\+08:00, next at/).waitFor();
      await legible(page);
    });
  });

  it('with payload keys and a codec server names timers and calls, and a quiet verification reads as health', async () => {
    await withPolicies({ keys }, async ({ world, page, blind, id }) => {
      await opened(page, world, id, 'history');
      for (const told of ['fresh-run', 'PATCH policy_state, policy_code (revision 2)', 'verify (revision 2)'])
        await page.getByText(told).first().waitFor();
      await legible(page);

      for (const one of [page, blind]) {
        await opened(one, world, id, 'pending-activities');
        await one.getByText(/OK: verified at \S+\+08:00, next at \S+\+08:00/).waitFor();
        await legible(one);
      }
      await pictured(page, 'ui-health');
    });
  });

  it('lists a policy by a query on PolicyState, and its page shows its search attributes and nothing personal', async () => {
    await withPolicies({ keys }, async ({ world, blind, record, id }) => {
      await listed(blind, world, 'PolicyState="APPROVED" AND PolicySync="SYNCED"', id);
      await opened(blind, world, id, 'history');
      await blind.getByText('Event History').first().waitFor();
      const history = await textOf(blind);
      await opened(blind, world, id, 'search-attributes');
      await blind.getByText('PolicyExpiresAt').waitFor();
      const shown = await textOf(blind);
      const { expired_time, policy_type } = record.policy;
      for (const [name, value] of Object.entries({
        MerchantId: world.mchid,
        PolicyState: 'APPROVED',
        PolicySync: 'SYNCED',
        PolicyType: policy_type,
        PolicyExpiresAt: new Date(expired_time as string).toISOString(),
      }))
        assert.ok(shown.includes(name) && shown.includes(String(value)), `${name} in ${shown}`);
      assert.match(shown, /RenewalOpensAt/);
      for (const value of PERSONAL) assert.ok(![history, shown].some((told) => told.includes(value)));
    });
  });

  it('shows summary and current details where no payload keys are set', async () => {
    await withPolicies({ keys: null }, async ({ world, page, record, id }) => {
      await listed(page, world, `MerchantId="${world.mchid}" AND PolicySync="SYNCED" AND PolicyState="APPROVED"`, id);
      await opened(page, world, id, 'user-metadata');
      // The UI renders what a workflow says of itself in frames of their own.
      const summary = page.locator('iframe').first().contentFrame();
      await summary.getByText(`${record.policy.insurance_name} ${record.policy.out_insurance_no}`).waitFor();
      const details = page.locator('iframe').last().contentFrame();
      await details.getByText('APPROVED').waitFor();
      await details.getByText('SYNCED (revision 2 of 2)').waitFor();
    });
  });
});
