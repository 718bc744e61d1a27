// node embedded/with-packages.mjs ENTRY.ts [arguments]: checks Node, installs the npm packages when they are not those
// of package-lock.json, and runs ENTRY in this process. Nothing but Node may be needed up to there.

import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { buildEarly, runUnderGuard } from './early_build.mjs';
import { takeLock } from './lock.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const needed = [20, 19];
const [entry, ...rest] = process.argv.slice(2);

if (!entry) stop('usage: node embedded/with-packages.mjs ENTRY.ts [arguments]', 2);
checkNode();
endWithNpm();
if (!areInstalled()) await install();
await run();

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > needed[0] || (major === needed[0] && minor >= needed[1])) return;
  stop(`Node.js ${needed.join('.')} or later is needed, this is ${process.version}: install it and try again`);
}

/**
 * npm hands its signals on, but for a `kill -9` of its own; npx, which may be what runs npm, hands on none. With one of them
 * gone nobody would end this process and all that it starts. The scripts of package.json begin with `exec`, so that npm is
 * the parent, and no shell that keeps the signals.
 */
function endWithNpm() {
  if (!process.env.npm_lifecycle_event) return;
  const began = starters();
  const watch = setInterval(() => {
    if (starters().join() === began.join()) return;
    clearInterval(watch);
    process.kill(process.pid, 'SIGTERM');
  }, 1_000);
  watch.unref();
}

/** Process ids: the parent's, and on up to the last that is an npm or npx. Where there is no /proc, the parent's alone. */
function starters() {
  const pids = [];
  for (let pid = process.ppid; pid > 0; pid = parentOf(pid)) pids.push(pid);
  return pids.slice(0, Math.max(0, pids.findLastIndex(isNpm)) + 1);
}

function parentOf(pid) {
  const line = ofProcess(pid, 'stat');
  return Number(line.slice(line.lastIndexOf(')') + 2).split(' ')[1] ?? 0);
}

/** npm gives itself its command as a title: `npm start`, `npm exec …`. */
function isNpm(pid) {
  return /^(npm|npx) /.test(ofProcess(pid, 'cmdline'));
}

function ofProcess(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

/** npm keeps in node_modules a list of what it put there; only optional packages of the lock file may lack in it. */
function areInstalled() {
  const wanted = packagesIn(join(root, 'package-lock.json'));
  const installed = packagesIn(join(root, 'node_modules', '.package-lock.json'));
  if (!wanted) stop('package-lock.json cannot be read: restore it (git checkout package-lock.json)');
  if (!installed) return false;
  return Object.entries(wanted).every(([path, { version, integrity, optional, devOptional }]) => {
    const found = installed[path];
    if (!found) return path === '' || optional || devOptional;
    return found.version === version && found.integrity === integrity;
  });
}

function packagesIn(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/** Two starts at once must not install into one folder: the second waits, and then finds it done. */
async function install() {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'wechatpay-policy-sync');
  const name = createHash('sha256').update(root).digest('hex').slice(0, 16);
  const release = await takeLock(join(cache, `packages-${name}.lock`), {
    onWait: (pid) => console.error(`waiting for process ${pid}, which is installing npm packages`),
  });
  if (!areInstalled()) {
    buildEarly(cache);
    await fetchPackages(join(cache, `packages-${name}.log`));
  }
  release();
}

async function fetchPackages(log) {
  console.error('installing npm packages (npm ci) …');
  let failure = await npm('ci', log);
  // Where a registry lacks packages of other platforms, `npm ci` wants them all the same; `npm install` does not, and
  // keeps to the lock file too.
  if (failure?.includes('code EUSAGE')) failure = await npm('install', log);
  if (failure === undefined) return;
  const said = failure.split('\n').filter((line) => line.trim());
  for (const line of said.slice(0, 8)) console.error(line);
  stop('npm packages could not be installed: check the network and the npm registry setting, then try again');
}

/**
 * Runs npm under a guard, so that it ends with this process.
 * @returns what npm said when it failed
 */
async function npm(verb, log) {
  rmSync(log, { force: true });
  // The npm that runs us, if it is one and not another package manager.
  const running = process.env.npm_execpath ?? '';
  const program = basename(running).startsWith('npm') ? [process.execPath, running] : ['npm'];
  const options = ['--no-save', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const [command, ...args] = [...program, verb, ...options];
  const { code, failed = '' } = await runUnderGuard({ command, args, cwd: root, logFile: log });
  return code === 0 ? undefined : `${failed}\n${readFileSync(log, { encoding: 'utf8', flag: 'a+' })}`;
}

async function run() {
  const file = resolve(entry);
  process.argv = [process.argv[0], file, ...rest];
  // Both: the Temporal SDK loads the converters of `codec/` by require.
  const [{ register: registerRequire }, { register: registerImport }] = await Promise.all([
    import('tsx/cjs/api'),
    import('tsx/esm/api'),
  ]);
  registerRequire();
  registerImport();
  await import(pathToFileURL(file).href);
}

function stop(message, code = 1) {
  console.error(message);
  process.exit(code);
}
