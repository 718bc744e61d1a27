/** How FerretDB is built, but for where to. See early_build.mjs. */
export const FERRETDB_BUILD: { args: string[]; cwd: string };
/** Resolves when no early build is under way; at once where there is none. */
export function earlyBuild(): Promise<void>;
