/** A table; cells may hold no line end, and a `|` in them is escaped. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${head.map(() => '---|').join('')}`, ...rows.map(line)].join('\n');
}

/** A table of names and words. */
export function words(head: readonly [string, string], of: Readonly<Record<string, string>>): string {
  return table(
    head,
    Object.entries(of).map(([name, says]) => [code(name), says]),
  );
}

export function code(text: string): string {
  return `\`${text}\``;
}
