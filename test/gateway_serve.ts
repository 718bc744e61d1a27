// The command `serve` in a process of its own, and the document of what it serves.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { until } from './client_namespace.ts';
import { COMMAND } from './command_process.ts';
import { MCHID } from './fixtures.ts';
import { ask, type GatewayStage } from './gateway_fixture.ts';

interface Serving {
  child: ChildProcess;
  url: string;
  errors: string[];
}

async function serve(env: NodeJS.ProcessEnv, ...words: string[]): Promise<Serving> {
  const child = spawn(process.execPath, [COMMAND, 'serve', ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const errors: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => errors.push(line));
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { child, url: JSON.parse(line).url, errors };
}

/** Tests of the command, beside a gateway that runs already. */
export function servedGateway({ asked, known, ready }: GatewayStage): void {
  describe('serve', { concurrency: true }, () => {
    it('finishes what is under way when it is told to end, and then ends with 0', async (context) => {
      const { child, url, errors } = await serve((await ready()).stage.env);
      context.after(() => child.kill('SIGKILL'));
      assert.ok(
        errors.some((line) => line.startsWith('policy-sync: POLICY_SYNC_TOKENS is not set: ')),
        errors.join(),
      );
      const { record, path } = await known();
      assert.equal((await ask(url, `PUT ${path}?wait=60s`, { body: record })).status, 201);
      await ask(url, `POST ${path}/hold`, { body: { reason: 'r' } });
      await ask(url, `POST ${path}/observe`, { body: { on: true } });
      const other = { ...record, mchid: '1900000078' };
      const waiting = ask(url, `PUT ${path.replace(MCHID, '1900000078')}?wait=5s`, { body: other });
      await until(async () => (await asked(`GET ${path.replace(MCHID, '1900000078')}`)).status === 200);
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      const { status, body, headers } = await waiting;
      assert.deepEqual([status, body.not_synced.reason], [202, 'TIMEOUT']);
      assert.equal(headers.get('connection'), 'close');
      assert.deepEqual(await ended, [0, null]);
    });

    it('is ready when Temporal and MongoDB answer', async () => {
      const { status, body } = await asked('GET /readyz');
      assert.deepEqual([status, body], [200, { ok: true, away: [] }]);
    });
  });

  describe('the document', () => {
    it('is OpenAPI 3.1, and has every path that is served', async () => {
      const { body } = await asked('GET /openapi.json', { token: null });
      const { valid, errors } = await new Validator().validate(structuredClone(body));
      assert.ok(valid, JSON.stringify(errors));
      assert.equal(body.openapi, '3.1.0');
      const operations = Object.entries(body.paths).flatMap(([path, of]) =>
        Object.keys(of as object).map((method) => `${method.toUpperCase()} ${path}`),
      );
      const policy = '/policies/{mchid}/{out_insurance_no}';
      for (const one of [
        `PUT ${policy}`,
        `GET ${policy}`,
        `POST ${policy}/renew`,
        `POST ${policy}/verify`,
        'GET /policies',
        'GET /readyz',
      ])
        assert.ok(operations.includes(one), one);
      assert.equal(operations.length, 24);
    });

    it('is shown by a page', async () => {
      for (const path of ['/docs/', '/docs/static/swagger-ui-bundle.js', '/docs/json'])
        assert.equal((await asked(`GET ${path}`, { token: null })).status, 200, path);
    });
  });

  describe('while a server is away', () => {
    const isReady = () => until(async () => (await asked('GET /readyz')).status === 200);

    it('MongoDB: tells what Temporal knows, and asks to come again for the rest', async () => {
      const { stage } = await ready();
      const { record, path } = await known();
      await asked(`PUT ${path}?wait=60s`, { body: record });
      await stage.lines.mongodb.cut();
      try {
        assert.deepEqual((await asked('GET /readyz')).body, { ok: false, away: ['mongodb'] });
        const shown = await asked(`GET ${path}`);
        assert.deepEqual([shown.status, shown.body.status.sync, shown.body.kept], [200, 'SYNCED', null], shown.text);
        assert.deepEqual(shown.body.notes, ['MongoDB does not answer']);
        assert.deepEqual(
          [(await asked('GET /policies')).status, (await asked(`GET ${path}?reveal=true`)).status],
          [503, 503],
        );
      } finally {
        await stage.lines.mongodb.mend();
      }
      await isReady();
    });

    it('Temporal: tells what MongoDB keeps, and goes on once it is back', async () => {
      const { stage } = await ready();
      const { record, path } = await known();
      await asked(`PUT ${path}?wait=60s`, { body: record });
      // MongoDB hears of what was confirmed after the caller.
      await until(async () => (await asked(`GET ${path}`)).body.kept?.document.sync === 'SYNCED');
      await stage.lines.temporal.cut();
      try {
        assert.deepEqual((await asked('GET /readyz')).body, { ok: false, away: ['temporal'] });
        const shown = await asked(`GET ${path}`);
        assert.deepEqual(
          [shown.status, shown.body.status, shown.body.kept.document.sync],
          [200, null, 'SYNCED'],
          shown.text,
        );
      } finally {
        await stage.lines.temporal.mend();
      }
      await isReady();
      const again = await asked(`POST ${path}/approve?wait=60s`, { body: { policy_code: 'C1', event_id: 'e1' } });
      assert.deepEqual([again.status, again.body.revision], [200, 2], again.text);
    });
  });
}
