import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { before, describe, it } from 'node:test';
import { MCHID } from './fixtures.ts';
import { gatewayStage } from './gateway_fixture.ts';
import { schemathesis } from './schemathesis.ts';

// Requests made up from the gateway's own document. GATEWAY_CASES raises how many are made for each operation and phase: 100 make 5,000
// and more in all.
const MOST = process.env.GATEWAY_CASES ?? '18';
const tool = schemathesis();

/**
 * What is sent by the document may still break a rule that no schema can state, such as a car without its number: 422. A name of a
 * field is among these, for it may be one of the policy's `extra_fields`.
 */
const CONFIG = `[checks]
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]
`;

describe('schemathesis', { skip: 'lacks' in tool ? tool.lacks : false }, () => {
  const on = gatewayStage();
  let url: string;
  let token: string;
  let directory: string;
  before(async () => {
    const { gateway, stage, ...rest } = await on.ready();
    [url, token, directory] = [gateway.url, rest.token, stage.directory];
  });

  async function run(name: string, config: string, ...words: string[]): Promise<number> {
    assert.ok('program' in tool);
    const file = join(directory, `${name}.toml`);
    await writeFile(file, CONFIG + config);
    const given = [
      '-H',
      `Authorization: Bearer ${token}`,
      '-c',
      'all',
      '-n',
      MOST,
      '--no-shrink',
      '--continue-on-failure',
      // How fast it makes its cases is of the machine.
      '--suppress-health-check=too_slow',
    ];
    // One worker: Python 3.11 fails in deep schemas with more.
    const args = ['--no-color', '--config-file', file, 'run', `${url}/openapi.json`, ...given, '-w', '1', ...words];
    const child = spawn(tool.program, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
    const [said, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
    assert.equal(code, 0, (said + errors).slice(-12_000));
    const cases = Number(/^ +(\d+) generated/m.exec(said)?.[1]);
    console.log(`schemathesis, ${name}: ${cases} cases`);
    return cases;
  }

  it('finds no answer that the document has not, and no fault of the gateway, whatever is asked', async () => {
    assert.ok((await run('anything', '')) > 500);
  });

  it('nor of a policy that lives', async () => {
    const { record, path, number } = await on.known();
    assert.equal((await on.asked(`PUT ${path}?wait=60s`, { body: record })).status, 201);
    const of = `\n[parameters]\n"path.mchid" = "${MCHID}"\n"path.out_insurance_no" = "${number}"\n`;
    const cases = await run(
      'one policy',
      of,
      '--include-path-regex',
      '^/policies/',
      '--phases',
      'examples,coverage,fuzzing',
    );
    assert.ok(cases > 300);
    assert.ok(!on.lines.some((line) => /"status":5\d\d/.test(line)));
  });
});
