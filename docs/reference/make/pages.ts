import { readFile } from 'node:fs/promises';
import { commands, commonOptions, exitCodes, messageJson } from './commands.ts';
import { blocks, errors, marks, rules, wechatpayErrors } from './errors.ts';
import { gatewayDocument, paths, problems } from './gateway.ts';
import { schemaFiles } from './json_schemas.ts';
import { answer, envelope, messageBlocks, status } from './messages.ts';
import { record, recordBlocks } from './record.ts';
import { fault, faultRule, request } from './sandbox.ts';
import { merchantsFile, settings, webhooksFile } from './settings.ts';
import { collectionBlocks } from './storage.ts';

/** What is made for each page. Everything else on a page is written by hand. */
const PAGES: Record<string, Record<string, () => string>> = {
  'record.md': { record, ...recordBlocks },
  'messages.md': { answer, envelope, status, ...messageBlocks() },
  'errors.md': { errors, rules, blocks, marks, 'wechatpay-errors': wechatpayErrors },
  'commands.md': { commands, 'common-options': commonOptions, 'exit-codes': exitCodes, message: messageJson },
  'settings.md': { settings, 'merchants-file': merchantsFile, 'webhooks-file': webhooksFile },
  'sandbox.md': { 'fault-rule': faultRule, fault, request },
  'storage.md': collectionBlocks,
};

/** Those of the gateway, whose document takes a gateway to make. */
const GATEWAY = 'gateway.md';

const ROOT = new URL('../../../', import.meta.url);
const BLOCK = /(<!-- made: ([\w-]+) -->\n)[\s\S]*?(<!-- end -->)/g;

/** Every file that is made: its path from the root of the repository, and what should be in it. */
export async function madeFiles(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const document = await gatewayDocument();
  const pages = { ...PAGES, [GATEWAY]: { paths: () => paths(document), problems } };
  for (const [page, made] of Object.entries(pages)) {
    const path = `docs/reference/${page}`;
    files.set(path, filled(page, await readFile(new URL(path, ROOT), 'utf8'), made));
  }
  for (const [name, schema] of Object.entries(schemaFiles()))
    files.set(`schemas/${name}`, `${JSON.stringify(schema, null, 2)}\n`);
  files.set('schemas/openapi.json', `${JSON.stringify(document, null, 1)}\n`);
  return files;
}

/** The page with its blocks made anew: those between `<!-- made: NAME -->` and `<!-- end -->`. */
function filled(page: string, text: string, made: Record<string, () => string>): string {
  const seen = new Set<string>();
  const anew = text.replace(BLOCK, (_block, begin: string, name: string, end: string) => {
    const make = made[name];
    if (!make) throw new Error(`${page}: nothing makes a block ${name}`);
    seen.add(name);
    return `${begin}\n${make()}\n\n${end}`;
  });
  const lacking = Object.keys(made).filter((name) => !seen.has(name));
  if (lacking.length > 0) throw new Error(`${page}: expected the blocks ${lacking.join(', ')}`);
  return anew;
}
