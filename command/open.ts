import type { Command } from 'commander';
import { UnknownPolicy } from '../client/errors.ts';
import type { Opened, PolicyClient } from '../client/policy_client.ts';
import type { RecordInput } from '../policy/record.ts';
import type { Status } from '../workflows/messages.ts';
import { described, messageOf } from './error_text.ts';
import { endWith, exitCodeOf } from './exit_code.ts';
import { inOrder } from './in_order.ts';
import { isJson, jsonOf, nameOf, recordIn, textOf } from './input.ts';
import { addEnvelope, envelopeOf, type MessageOptions } from './messages.ts';
import { withCommon } from './options.ts';
import { note, print } from './output.ts';
import { withClient } from './session.ts';
import { answerLine, waited } from './waited.ts';

export function addOpen(program: Command): void {
  const command = program
    .command('open <FILE>')
    .description('open policies: FILE, or - for standard input, has one JSON record, or one on each line')
    .action((file: string, options: MessageOptions) => open(file, options));
  addEnvelope(withCommon(command));
}

/** Records of a file that are being opened at a time. */
const AT_ONCE = 32;

export interface Source {
  /** For errors: the file, and the line where it has several. */
  where: string;
  content: string;
}

async function open(file: string, options: MessageOptions): Promise<void> {
  const sources = sourcesIn(nameOf(file), await textOf(file));
  await withClient(options, async (client) => {
    const [only] = sources;
    if (sources.length === 1 && only) return told(await openOne(client, only, options), options);
    let open = 0;
    for await (const { item, result } of inOrder(sources, AT_ONCE, (source) => openOne(client, source, options))) {
      if (result.status === 'rejected') report(result.reason, item, options);
      else {
        told(result.value, options);
        open++;
      }
    }
    note(`${open} of ${sources.length} records are open`);
  });
}

interface Done {
  opened: Opened;
  /** It had been opened before, and is as it was. */
  before: boolean;
  status: Status | undefined;
}

async function openOne(client: PolicyClient, { where, content }: Source, options: MessageOptions): Promise<Done> {
  const record = recordIn(jsonOf(where, content));
  const before = await wasThere(client, record);
  const opened = await client.openPolicy(record, envelopeOf(options));
  const status = await waited(client, opened, opened.revision, options).catch((error: unknown) => {
    // Why nothing reaches WeChat Pay, say.
    warn(opened);
    throw error;
  });
  return { opened, before, status };
}

/** Asked first, for the answer of `open` is the same each time. What the record breaks, `open` itself tells. */
async function wasThere(client: PolicyClient, record: RecordInput): Promise<boolean> {
  const { mchid, policy } = (record ?? {}) as Partial<RecordInput>;
  const { out_insurance_no } = (policy ?? {}) as Partial<RecordInput['policy']>;
  if (typeof mchid !== 'string' || typeof out_insurance_no !== 'string') return false;
  const { describePolicy } = await import('../client/pending_call.ts');
  return describePolicy(client, { mchid, out_insurance_no }).then(
    () => true,
    (error: unknown) => {
      if (error instanceof UnknownPolicy) return false;
      throw error;
    },
  );
}

function told({ opened, before, status }: Done, { json }: MessageOptions): void {
  warn(opened);
  print(json, { ...opened, status }, () =>
    before
      ? `${opened.mchid}/${opened.out_insurance_no}: opened before, unchanged`
      : answerLine(opened, opened, status),
  );
}

function warn({ warnings }: Opened): void {
  for (const warning of warnings) note(`warning: ${warning}`);
}

/** One record of many that failed does not keep the others from being opened. */
function report(error: unknown, { where }: Source, { json }: MessageOptions): void {
  const message = messageOf(error);
  note(message.startsWith(`${where}: `) ? message : `${where}: ${message}`);
  if (json) process.stdout.write(`${JSON.stringify({ where, error: described(error) })}\n`);
  endWith(exitCodeOf(error));
}

/** One record however it is laid out, or a record a line: then a line that is none is told of by its number. */
export function sourcesIn(name: string, content: string): Source[] {
  const lines = content
    .split('\n')
    .map((line, at) => ({ where: `${name}, line ${at + 1}`, content: line.trim() }))
    .filter((line) => line.content !== '');
  const isRecord = ({ content: line }: Source): boolean => line.startsWith('{') && isJson(line);
  const isLines = lines.length > 1 && !isJson(content) && lines.some(isRecord);
  return isLines ? lines : [{ where: name, content }];
}
