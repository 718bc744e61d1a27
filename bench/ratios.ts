import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Figure } from './bench.ts';
import type { Found } from './table.ts';

const FILE = fileURLToPath(new URL('./ratios.json', import.meta.url));
/** A shared machine moves a ratio by less than this. */
const FALL = 1 / 3;

const ratiosSchema = z.record(z.string(), z.number().positive());
/** Ratios of the small versions by `bench/figure`, as they were when somebody last kept them. */
export type Ratios = z.output<typeof ratiosSchema>;

export async function keptRatios(): Promise<Ratios> {
  return ratiosSchema.parse(JSON.parse(await readFile(FILE, 'utf8')));
}

/** One line for each kept ratio that is worse by a third, or that was not measured. */
export function fallen(found: readonly Found[], kept: Ratios): string[] {
  const figures = byName(found);
  return Object.entries(kept).flatMap(([name, before]) => {
    const figure = figures.get(name);
    if (!figure) return [`${name}: expected a ratio near ${before}, found none`];
    return share(figure, before) >= 1 - FALL ? [] : [`${name}: was ${before}, is ${rounded(figure.value)}`];
  });
}

/** Keeps what was found of those ratios that are kept. */
export async function keepRatios(found: readonly Found[]): Promise<void> {
  const figures = byName(found);
  const kept = Object.entries(await keptRatios()).map(([name, before]) => {
    const figure = figures.get(name);
    return [name, figure ? rounded(figure.value) : before];
  });
  await writeFile(FILE, `${JSON.stringify(Object.fromEntries(kept), null, 2)}\n`);
}

/** How much is left of what was good: of a ratio that is to be small, the other way round. */
function share({ value, limit }: Figure, before: number): number {
  if (!(value > 0)) return 0;
  return limit && 'most' in limit ? before / value : value / before;
}

function byName(found: readonly Found[]): Map<string, Figure> {
  return new Map(
    found.flatMap(({ bench, findings }) =>
      findings.figures.map((figure): [string, Figure] => [`${bench.name}/${figure.name}`, figure]),
    ),
  );
}

function rounded(value: number): number {
  return Number(value.toPrecision(3));
}
