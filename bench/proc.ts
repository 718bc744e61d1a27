// What the system says of processes: Linux alone has it in files.
import { readdirSync, readFileSync } from 'node:fs';

/** Ticks a second in `/proc/<pid>/stat`: 100 on every Linux that Node runs on. */
const TICK_MS = 10;

interface Process {
  pid: number;
  parent: number;
  program: string;
  /** Its own, and that of children which have ended. */
  cpu_ms: number;
}

/** Whether the system tells. */
export const told = process.platform === 'linux';

/** CPU time so far of these processes and all below them, in ms. */
export function cpuOf(roots: readonly number[]): number {
  return treeOf(processes(), roots).reduce((sum, { cpu_ms }) => sum + cpu_ms, 0);
}

/** Memory of these processes and all below them that is in RAM, in MB. */
export function memoryOf(roots: readonly number[]): number {
  const kibibytes = treeOf(processes(), roots).map(({ pid }) => {
    const status = read(`/proc/${pid}/status`);
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  });
  return kibibytes.reduce((sum, one) => sum + one, 0) / 1024;
}

/** Processes of a program that this process started, or what it started. */
export function ownProcesses(program: string): number[] {
  return treeOf(processes(), [process.pid])
    .filter((one) => one.program === program)
    .map(({ pid }) => pid);
}

function treeOf(all: readonly Process[], roots: readonly number[]): Process[] {
  const found = new Set(roots);
  for (let before = 0; before < found.size; ) {
    before = found.size;
    for (const { pid, parent } of all) if (found.has(parent)) found.add(pid);
  }
  return all.filter(({ pid }) => found.has(pid));
}

function processes(): Process[] {
  if (!told) return [];
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    // `pid (program) state parent …`: a program's name may hold anything, so the last parenthesis ends it.
    const [, program, rest] = /^\d+ \((.*)\) (.*)$/s.exec(read(`/proc/${pid}/stat`)) ?? [];
    if (program === undefined || rest === undefined) return [];
    const fields = rest.split(' ');
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    return [{ pid: Number(pid), parent: Number(fields[1]), program, cpu_ms: ticks * TICK_MS }];
  });
}

/** Empty where the process has ended meanwhile. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
