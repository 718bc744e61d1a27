// What the README and the pages of docs/ show is tried: commands, records, merchants files, TypeScript.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeProgram } from '../command/program.ts';
import { recordSchema } from '../policy/record.ts';
import { parse } from '../policy/violation.ts';
import { makeKeys } from '../sandbox/keys.ts';
import { merchantSettingsSchema } from '../wechatpay/merchant_settings.ts';
import { readMerchants } from '../wechatpay/merchants_file.ts';
import { keysIn } from './made_keys.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

async function pages(): Promise<string[]> {
  const found = ['README.md'];
  for (const folder of ['docs', 'examples'])
    for (const file of await readdir(join(root, folder), { recursive: true }))
      if (file.endsWith('.md') && !file.includes('node_modules')) found.push(join(folder, file));
  return found;
}

interface Block {
  page: string;
  language: string;
  text: string;
}

async function blocks(): Promise<Block[]> {
  const all: Block[] = [];
  for (const page of await pages()) {
    const text = await readFile(join(root, page), 'utf8');
    for (const [, indent = '', language = '', block = ''] of text.matchAll(/^( *)```(\w+)\n([\s\S]*?)\n *```$/gm))
      all.push({ page, language, text: block.replaceAll(`\n${indent}`, '\n') });
  }
  return all;
}

/** Command lines of `policy-sync`, in blocks and within the text; those with a `…` or `[` say no whole command. */
async function commandLines(): Promise<{ page: string; line: string }[]> {
  const all: { page: string; line: string }[] = [];
  for (const page of await pages()) {
    const text = await readFile(join(root, page), 'utf8');
    const inText = [...text.matchAll(/`((?:[A-Z_]+=\S+ )?(?:npx )?policy-sync [^`\n]*)`/g)].map(
      ([, line = '']) => line,
    );
    const inBlocks = [...text.matchAll(/^ *(?:\$ )?((?:[A-Z_]+=\S+ )?(?:npx )?policy-sync [^\n]*)$/gm)].map(
      ([, line = '']) => line,
    );
    for (const line of [...inText, ...inBlocks]) if (!/[…[]/.test(line)) all.push({ page, line });
  }
  return all;
}

/** The words of a command line after `policy-sync`. */
function wordsOf(line: string): string[] {
  const [, words = ''] = /policy-sync (.*)$/.exec(line.replace(/\s+#.*$/, '').replace(/ [|>&] .*$/, '')) ?? [];
  return [...words.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, plain]) => single ?? double ?? plain ?? '',
  );
}

describe('the pages', () => {
  it('show commands that the command line knows, with the options that they need', async () => {
    const lines = await commandLines();
    assert.ok(lines.length > 10, `only ${lines.length} lines found`);
    for (const { page, line } of lines) {
      const program = makeProgram();
      for (const command of program.commands) command.action(() => {});
      const words = wordsOf(line);
      // A command may be named alone.
      if (words.length === 1 && program.commands.some((command) => command.name() === words[0])) continue;
      await program.parseAsync(words, { from: 'user' }).catch((error: Error) => {
        if (!/\(outputHelp\)/.test(error.message)) assert.fail(`${page}: ${line}: ${error.message}`);
      });
    }
  });

  it('show JSON that is JSON, and records and merchants as the engine takes them', async () => {
    const kinds = { record: 0, merchants: 0, other: 0 };
    for (const { page, language, text } of await blocks()) {
      if (language !== 'json') continue;
      const { $schema: _forEditors, ...value } = jsonIn(page, text);
      const kind = value.policy
        ? 'record'
        : Object.keys(value).some((name) => /^\d{8,10}$/.test(name))
          ? 'merchants'
          : 'other';
      kinds[kind]++;
      if (kind === 'record') parse(recordSchema, value);
      for (const one of kind === 'merchants' ? Object.values(value) : []) {
        const told = !JSON.stringify(one).includes('_no of sandbox.json');
        if (told) merchantSettingsSchema.parse(one);
      }
    }
    parse(recordSchema, JSON.parse(await readFile(join(root, 'examples/policy.json'), 'utf8')));
    assert.ok(kinds.record >= 2 && kinds.merchants >= 2, JSON.stringify(kinds));
  });

  it('name every command and every metric that there is, and no script of npm that there is not', async () => {
    const readme = await readFile(join(root, 'README.md'), 'utf8');
    for (const command of makeProgram().commands)
      assert.match(readme, new RegExp(`^\\|.*\`${command.name()}\\b.*\\|.*\\|$`, 'm'), `README: ${command.name()}`);
    const metrics = await readFile(join(root, 'worker/metrics.ts'), 'utf8');
    const operating = await readFile(join(root, 'docs/operating.md'), 'utf8');
    for (const [, name = ''] of metrics.matchAll(/name: '(policy_sync_\w+)'/g))
      assert.ok(operating.includes(`\`${name}`), name);
    const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    for (const page of await pages())
      for (const [, script = ''] of (await readFile(join(root, page), 'utf8')).matchAll(/\bnpm run ([\w:-]+)/g))
        assert.ok(Object.hasOwn(scripts, script), `${page}: npm run ${script}`);
  });

  it('lead to pages and headings that are there', async () => {
    for (const page of await pages()) {
      const text = await readFile(join(root, page), 'utf8');
      for (const [, target = '', heading] of text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)) {
        const file = target === '' ? page : join(dirname(page), target);
        assert.ok(existsSync(join(root, file)), `${page} leads to ${file}`);
        if (heading === undefined) continue;
        const headings = [...(await readFile(join(root, file), 'utf8')).matchAll(/^#+ (.*)$/gm)];
        assert.ok(
          headings.map(([, one = '']) => anchorOf(one)).includes(heading),
          `${page} leads to ${file}#${heading}`,
        );
      }
    }
  });
});

function jsonIn(page: string, text: string): Record<string, unknown> {
  try {
    return JSON.parse(text);
  } catch (error) {
    assert.fail(`${page}: ${(error as Error).message}:\n${text}`);
  }
}

/** As GitHub makes it. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

describe('the page of the sandbox', () => {
  it('shows how to write a merchants file that a worker takes', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'policy-sync-docs-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const { mchid } = await makeKeys(await keysIn(join(folder, 'sandbox-keys')));
    const [line] = (await blocks()).filter(
      ({ text }) => text.startsWith('node -e') && text.endsWith('> merchants.json'),
    );
    assert.ok(line);
    await promisify(execFile)('bash', ['-c', line.text], { cwd: folder });
    const { merchants, faults, warnings } = await readMerchants(join(folder, 'merchants.json'));
    assert.deepEqual([faults, warnings, [...merchants.keys()]], [[], [], [mchid]]);
    assert.deepEqual(merchants.get(mchid)?.base_urls, ['http://127.0.0.1:8080']);
  });
});

describe('TypeScript of the pages', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'policy-sync-docs-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('compiles against this package, as those who install it have it', async () => {
    const found = (await blocks()).filter(({ language }) => language === 'ts');
    assert.ok(found.length > 0);
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
    await mkdir(join(folder, 'src'));
    for (const [at, { text }] of found.entries())
      await writeFile(join(folder, 'src', `${at}.ts`), `${text}\nexport {};\n`);
    const { compilerOptions } = JSON.parse(await readFile(join(root, 'tsconfig.json'), 'utf8'));
    const paths = {
      'wechatpay-policy-sync': [`${root}client/index.ts`],
      'wechatpay-policy-sync/*': [`${root}*/index.ts`],
    };
    await writeFile(join(folder, 'package.json'), '{"type":"module"}');
    await writeFile(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: { ...compilerOptions, noUnusedLocals: false, paths }, include: ['src'] }),
    );
    const tsc = join(root, 'node_modules/.bin/tsc');
    const told = await promisify(execFile)(tsc, ['-p', folder], { cwd: folder }).catch(
      (error: { stdout: string }) => error,
    );
    assert.equal(told.stdout, '', found.map(({ page }, at) => `${at}: ${page}`).join('\n'));
  });
});
