/** Where a bench says how far it is. */
export type Say = (line: string) => void;

/** How large a run is: `quick` for CI, `full` as large as it gets, however long that takes. */
export type Size = 'quick' | 'usual' | 'full';

export interface BenchOptions {
  size: Size;
  /** Numbers of policies in place of those of the size. */
  policies?: readonly number[];
  /** Of `fleet`: what the heap of the worker may grow to, in MB. */
  memory?: number;
  say: Say;
}

/** One row of the table: a figure of ours, mostly beside a peer's of the same run. */
export interface Figure {
  /** Unique in its bench; the file of ratios knows it by this. */
  name: string;
  /** What it says, in words. */
  what: string;
  value: number;
  /** After the value: `×`, ` MB`. */
  unit: string;
  limit?: Limit;
  /** What it was made of: ours, and the peer's. */
  from: string;
}

/** What is to be reached. */
export type Limit = { least: number } | { most: number };

export interface Findings {
  figures: Figure[];
  /** More for the reader, as a table: its first row has the headings. */
  more?: string[][];
}

export interface Bench {
  name: string;
  /** One line. */
  about: string;
  run(options: BenchOptions): Promise<Findings>;
}

/** Whether a figure is what it is to be; one without a limit is. */
export function isReached({ value, limit }: Figure): boolean {
  if (!limit) return true;
  return 'least' in limit ? value >= limit.least : value <= limit.most;
}

/** The first of them, for a bench that knows one number only. */
export function sizeOf(options: BenchOptions, bySize: Record<Size, number>): number {
  return options.policies?.[0] ?? bySize[options.size];
}
