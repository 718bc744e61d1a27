import { readFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';

/** `file: link` for each relative link of the Markdown among these files of `folder` that leads to none of them. */
export async function brokenLinks(folder: string, files: readonly string[]): Promise<string[]> {
  const there = new Set(files.flatMap((file) => [file, ...foldersOf(file)]));
  const broken: string[] = [];
  for (const file of files.filter((one) => one.endsWith('.md')))
    for (const link of linksIn(await readFile(join(folder, file), 'utf8'))) {
      const target = normalize(join(dirname(file), decodeURI(link))).replace(/\/$/, '');
      if (!there.has(target)) broken.push(`${file}: ${link}`);
    }
  return broken;
}

/** Paths that a Markdown text links to, without their anchors; in a block of code nothing is a link. */
function linksIn(text: string): string[] {
  const prose = text.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`\n]*`/g, '');
  const found = [...prose.matchAll(/\]\(([^)\s]+)[^)]*\)/g), ...prose.matchAll(/\b(?:src|href)="([^"]+)"/g)];
  const paths = found.map(([, link = '']) => link.replace(/#.*$/, ''));
  return paths.filter((path) => path !== '' && !/^[a-z]+:/i.test(path));
}

function foldersOf(file: string): string[] {
  const folder = dirname(file);
  return folder === '.' ? ['.'] : [folder, ...foldersOf(folder)];
}
