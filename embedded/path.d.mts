/** The full path of a program that the user has installed, as a shell would find it on PATH; undefined if there is none. */
export function findOnPath(name: string): string | undefined;
