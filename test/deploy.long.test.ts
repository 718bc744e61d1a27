import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { check, checkers, promtool, ROOT, read } from './deploy_fixture.ts';

const ALERTS = 'deploy/prometheus/alerts.yml';
/** Kinds that clusters learn of an operator: the checker has no schemas of them. */
const OF_OPERATORS = ['autoscaling.yml', 'monitoring.yml'];
const PROMTOOL = { skip: promtool ? false : 'there is no promtool: apt-get install prometheus' };

describe('deploy/prometheus', () => {
  it('has alerts that Prometheus takes, each raised and not raised as its tests say', PROMTOOL, async () => {
    await check(promtool ?? '', ['check', 'rules', '--lint=all', '--lint-fatal', ALERTS]);
    await check(promtool ?? '', ['check', 'config', 'deploy/prometheus/prometheus.yml']);
    await check(promtool ?? '', ['test', 'rules', 'deploy/prometheus/alerts_test.yml']);
  });

  it('has a test and an entry in the runbook for each alert, and no entry without one', async () => {
    const [alerts, tests, runbook] = await Promise.all(
      [ALERTS, 'deploy/prometheus/alerts_test.yml', 'docs/runbook.md'].map(read),
    );
    const named = [...(alerts ?? '').matchAll(/alert: (\S+)/g)].map(([, name = '']) => name);
    const linked = [...(alerts ?? '').matchAll(/runbook: docs\/runbook.md#(\S+)/g)].map(([, anchor]) => anchor);
    assert.deepEqual(
      linked,
      named.map((name) => name.toLowerCase()),
    );
    assert.deepEqual(
      [...(runbook ?? '').matchAll(/^## (\S+)$/gm)].map(([, name]) => name),
      named,
    );
    for (const name of named) assert.match(tests ?? '', new RegExp(`alertname: ${name}\\n[^-]*exp_alerts:`), name);
    for (const entry of (runbook ?? '').split(/^## /m).slice(1))
      for (const part of ['**Means**', '**Look**', '**Do**']) assert.ok(entry.includes(part), `${part} of ${entry}`);
  });
});

describe('deploy/', () => {
  let tools: Awaited<ReturnType<typeof checkers>>;
  before(async () => {
    tools = await checkers();
  });
  /** A checker of Python's, by its module. */
  const checked = (
    name: string,
    of: (tool: (module: string, ...args: string[]) => Promise<string>, folder: string) => Promise<unknown>,
  ) =>
    it(name, async (context) => {
      if ('reason' in tools) return context.skip(tools.reason);
      const { folder } = tools;
      await of((module, ...args) => check('python3', ['-m', module, ...args], folder), folder);
    });

  checked('has YAML that yamllint takes', (tool) =>
    tool('yamllint', '--strict', '-c', 'deploy/.yamllint.yml', 'deploy'),
  );

  checked('has a compose file of the compose specification', (tool) =>
    tool('check_jsonschema', '--builtin-schema', 'vendor.compose-spec', 'deploy/compose.yml'),
  );

  checked('has manifests that Kubernetes takes, without a field that it does not know', async (tool) => {
    const files = (await readdir(join(ROOT, 'deploy/kubernetes'))).filter((file) => !OF_OPERATORS.includes(file));
    const paths = files.map((file) => join('deploy/kubernetes', file));
    for (const version of ['1.31.0', '1.37.0']) await tool('kubernetes_validate', '--strict', '-k', version, ...paths);
  });

  checked('has a Dockerfile without a complaint of hadolint', async (_tool, folder) => {
    assert.equal(
      await check(join(folder, 'bin', 'hadolint'), ['--failure-threshold', 'style', 'deploy/docker/Dockerfile']),
      '',
    );
  });

  it('runs containers that change nothing of theirs, as nobody with rights', async () => {
    const [dockerfile, compose, ...manifests] = await Promise.all(
      ['docker/Dockerfile', 'compose.yml', 'kubernetes/worker.yml', 'kubernetes/gateway.yml'].map((file) =>
        read(`deploy/${file}`),
      ),
    );
    assert.match(dockerfile ?? '', /^USER 1000:1000$/m);
    assert.match(compose ?? '', /read_only: true/);
    for (const manifest of manifests)
      for (const rule of ['readOnlyRootFilesystem: true', 'runAsNonRoot: true', 'allowPrivilegeEscalation: false'])
        assert.ok(manifest.includes(rule), rule);
  });
});
