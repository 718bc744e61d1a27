/** Codes of blocks that are ours and not WeChat Pay's: why nothing is sent, and what to do. */
export const BLOCKS = {
  NOT_TAKEN: [
    'WeChat Pay took the call, but not this value',
    'amend the field, resume, or accept what WeChat Pay holds',
  ],
  UNKNOWN_POLICY: [
    'WeChat Pay does not know the policy, and there is no upload data',
    'amend its upload, or upload it by other means: WeChat Pay is asked again after 1, 2, 4, … minutes, on resume at once',
  ],
} as const satisfies Record<string, readonly [why: string, todo: string]>;

/** What a person can do about a block, for the end of a line. */
export function todoOf(code: string): string {
  return Object.hasOwn(BLOCKS, code) ? BLOCKS[code as keyof typeof BLOCKS][1] : 'amend what was refused, or resume';
}
