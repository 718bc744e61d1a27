/** Where a server works: its folder, its port, and `scratch`, the same folder if it is to go with the server. */
export type Place = { directory: string; port: number; scratch?: string };
