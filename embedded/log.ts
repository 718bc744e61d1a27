/** Where a line for the user goes: what is being found, fetched, built or started. */
export type Log = (line: string) => void;
