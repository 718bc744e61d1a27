import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Browser, chromium, type Page } from 'playwright-core';
import { findOnPath } from '../embedded/path.ts';
import { startTemporal, type Temporal } from '../embedded/temporal.ts';
import { type RecordInput, workflowIdOf } from '../policy/record.ts';
import { recordOf, SEED, uniqueNumber } from './fixtures.ts';
import { startWorld, type World, type WorldOptions } from './world.ts';

const program = process.env.CHROMIUM ?? findOnPath('chromium');
const missing = 'no browser: install Debian’s package `chromium`, or set CHROMIUM to the program of one';
// A browser asks hosts outside of its own accord; here none but loopback exists.
const quiet = [
  ...['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update'],
  '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
];
const PATIENCE_MS = 20_000;

describe("Temporal's web UI", { skip: program || process.env.CI ? false : missing }, () => {
  let server: Temporal | undefined;
  let ui: string;
  let browser: Browser;
  before(async () => {
    assert.ok(program, missing);
    const { TEST_TEMPORAL_ADDRESS, TEST_TEMPORAL_UI } = process.env;
    if (!TEST_TEMPORAL_ADDRESS || !TEST_TEMPORAL_UI) {
      server = await startTemporal({ log: () => {}, useEnvironment: false });
      // The worlds below are to be on the server that has the UI.
      process.env.TEST_TEMPORAL_ADDRESS = server.address;
    }
    ui = server?.uiUrl ?? TEST_TEMPORAL_UI ?? '';
    browser = await chromium.launch({ executablePath: program, args: quiet });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  /** A world with a policy approved and one issuing; a page to look at them. */
  async function withPolicies(
    options: WorldOptions,
    look: (place: { world: World; page: Page; record: RecordInput; id: string; issuing: string }) => Promise<void>,
  ): Promise<void> {
    const world = await startWorld(options);
    const stop = await world.startWorkers();
    const page = await browser.newPage({ viewport: { width: 1600, height: 1200 } });
    page.setDefaultTimeout(PATIENCE_MS);
    try {
      const records = [uniqueNumber('U'), uniqueNumber('V')].map((out_insurance_no) =>
        recordOf({ out_insurance_no }, { mchid: world.mchid }),
      );
      for (const { policy } of records) await world.put({ ...policy });
      await Promise.all(records.map((record) => world.client.openPolicy(record)));
      const [record, other] = records as [RecordInput, RecordInput];
      const { out_insurance_no } = record.policy;
      await world.client.approve({ mchid: world.mchid, out_insurance_no }, { policy_code: 'C1' });
      for (const { policy } of records) await world.until(policy.out_insurance_no, ({ sync }) => sync === 'SYNCED');
      await world.until(out_insurance_no, ({ state, sync }) => state === 'APPROVED' && sync === 'SYNCED');
      const id = workflowIdOf(world.mchid, out_insurance_no);
      await look({ world, page, record, id, issuing: workflowIdOf(world.mchid, other.policy.out_insurance_no) });
    } finally {
      await page.close();
      await stop();
      await world.close();
    }
  }

  /** The list by a query; visibility comes a moment after the change, so it is asked again until it is there. */
  async function listed(page: Page, { namespace }: World, query: string, id: string): Promise<void> {
    const link = page.getByRole('link', { name: id });
    for (const deadline = Date.now() + PATIENCE_MS; ; ) {
      await page.goto(`${ui}/namespaces/${namespace}/workflows?query=${encodeURIComponent(query)}`);
      const shown = await link
        .first()
        .waitFor({ timeout: 3_000 })
        .then(
          () => true,
          (error) => error,
        );
      if (shown === true) return;
      if (Date.now() > deadline) throw shown;
    }
  }

  it('lists a policy by a query on PolicyState, and its page shows its search attributes and nothing personal', async () => {
    await withPolicies({}, async ({ world, page, record, id, issuing }) => {
      await listed(page, world, 'PolicyState="APPROVED"', id);
      assert.equal(await page.getByText(issuing).count(), 0, 'the policy that is issuing is not in the list');

      await page.getByRole('link', { name: id }).first().click();
      await page.getByText('Event History').first().waitFor();
      const history = await page.locator('body').textContent();
      await page.getByText('Search Attributes', { exact: true }).first().click();
      await page.getByText('indexedFields').waitFor();
      const shown = await page.locator('body').textContent();
      const { expired_time, policy_type } = record.policy;
      for (const [name, value] of Object.entries({
        MerchantId: world.mchid,
        PolicyState: 'APPROVED',
        PolicySync: 'SYNCED',
        PolicyType: policy_type,
        PolicyExpiresAt: new Date(expired_time as string).toISOString(),
      }))
        assert.ok(shown?.includes(`"${name}": "${value}"`), `${name} in ${shown}`);
      assert.match(shown ?? '', /"RenewalOpensAt": "\d{4}-/);
      for (const value of ['张三', SEED.car_number, SEED.address, SEED.pet_name, SEED.coverage_detail])
        assert.ok(![history, shown].some((told) => told?.includes(value)));
    });
  });

  it('shows summary and current details where no payload keys are set', async () => {
    await withPolicies({ keys: null }, async ({ world, page, record, id }) => {
      await listed(page, world, `MerchantId="${world.mchid}" AND PolicySync="SYNCED" AND PolicyState="APPROVED"`, id);
      await page.getByRole('link', { name: id }).first().click();
      await page.getByText('User Metadata', { exact: true }).first().click();
      // The UI renders what a workflow says of itself in frames of their own.
      const summary = page.locator('iframe').first().contentFrame();
      await summary.getByText(`${record.policy.insurance_name} ${record.policy.out_insurance_no}`).waitFor();
      const details = page.locator('iframe').last().contentFrame();
      await details.getByText('APPROVED').waitFor();
      await details.getByText('SYNCED (revision 2 of 2)').waitFor();
    });
  });
});
