// What a thread of a worker evaluates once, for all its policies (`preloadModules` of the SDK). Before, each policy evaluated all modules
// for itself, and kept them. So no module may keep anything of a policy.
import { letSchemasLive } from '../policy/living_schemas.ts';
import './workflows.ts';
import './sealed.ts';
import './sealed_only.ts';

letSchemasLive();
