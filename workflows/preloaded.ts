// What a thread of a worker evaluates once, for all its policies (`preloadModules` of the SDK). Before, each policy evaluated all modules
// for itself, and kept them. So no module may keep anything of a policy.
import { letSchemasLive } from '../policy/living_schemas.ts';
import './listening.ts';
import './workflows.ts';
import './sealed.ts';
import './sealed_only.ts';

letSchemasLive();

// The SDK takes a stack trace for every promise that workflow code makes, and looks each of its frames up in the source map: a third of
// the processor time of a workflow thread. An error still says where it was thrown; what the SDK's `__stack_trace` would show of
// the loop, the query `status` says in words.
Error.stackTraceLimit = 1;
