// `wechatpay-policy-sync`: open policies, send them messages, ask where they stand. Loads no worker.
export { dataConverter } from '../codec/data_converter.ts';
export { InvalidKeys, type Keyring, parseKeys } from '../codec/keys.ts';
export type { PayloadCodecOptions } from '../codec/payload_codec.ts';
export type { CommandInput, CommandName, Envelope } from '../policy/commands.ts';
export type { Difference } from '../policy/difference.ts';
export type { PolicyFields, RecordInput } from '../policy/record.ts';
export type { ShortState } from '../policy/state.ts';
export type { Violation } from '../policy/violation.ts';
export type { Answer, Block, PolicySync, Status } from '../workflows/messages.ts';
export { type ConnectOptions, connectPolicyClient } from './connect.ts';
export {
  type Ending,
  InvalidSetting,
  NotBegun,
  NotSynced,
  PolicyEnded,
  PolicyRefused,
  PolicySyncError,
  ServerRefused,
  ServerUnreachable,
  Unavailable,
  UnknownPolicy,
} from './errors.ts';
export { type ListedPolicy, type ListFilter, listPolicies } from './list.ts';
export { describePolicy, type Execution, type PendingCall } from './pending_call.ts';
export { type Opened, PolicyClient, type PolicyClientOptions, type Verified } from './policy_client.ts';
export type { PolicyId } from './start_operation.ts';
export { type WaitOptions, waitSynced } from './wait.ts';
