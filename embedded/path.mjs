import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

// Plain JavaScript: early_build.mjs needs it before there are packages.

/**
 * The full path of a program that the user has installed, as a shell would find it on PATH; undefined if there is none.
 * @param {string} name
 */
export function findOnPath(name) {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

function isProgram(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
