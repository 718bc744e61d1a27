import type { KeyObject } from 'node:crypto';
import type { PolicyFields } from '../policy/record.ts';
import { RefusedError } from './errors.ts';
import type { WechatPayKey } from './merchant.ts';
import { openName, sealName } from './sealing.ts';

// WeChat Pay takes 11; each costs a millisecond in which this process does nothing else.
const MOST_OPENED = 100;

/**
 * The fields as they travel: names sealed with WeChat Pay's key, an empty list of them left out. A name too long for the
 * key throws `RefusedError`: it would never be taken.
 */
export function withSealedNames(fields: PolicyFields, key: WechatPayKey): Record<string, unknown> {
  const { insured_name_list: names, ...rest } = fields;
  if (!names?.length) return rest;
  return { ...rest, insured_name_list: names.map((name) => sealed(name, key)) };
}

function sealed(name: string, key: WechatPayKey): string {
  try {
    return sealName(key.public_key, name);
  } catch {
    // OAEP has but one limit, the length, and Node's error would not name the field.
    throw new RefusedError(`insured_name_list: a name is too long to be sealed with ${key.id}`, {
      reason: 'name-too-long',
    });
  }
}

/** The policy with its names in the clear; where one opens with no key, or there are more than 100, without the field, which is then `unreadable`. */
export function withOpenedNames(
  answered: Record<string, unknown>,
  privateKeys: readonly KeyObject[],
): { policy: PolicyFields; unreadable: string[] } {
  const { insured_name_list: list, ...policy } = answered;
  if (list === undefined || list === null) return { policy, unreadable: [] };
  const opened = (name: unknown) => (typeof name === 'string' ? openName(privateKeys, name) : undefined);
  const names = Array.isArray(list) && list.length <= MOST_OPENED ? list.map(opened) : [undefined];
  return names.every((name) => name !== undefined)
    ? { policy: { ...policy, insured_name_list: names }, unreadable: [] }
    : { policy, unreadable: ['insured_name_list'] };
}
