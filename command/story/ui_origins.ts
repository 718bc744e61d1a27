/** Origins by which a browser on this machine may know a server of its loopback address. */
export function originsOf(url: string): string[] {
  const { origin, protocol, port, hostname } = new URL(url);
  return hostname === '127.0.0.1' ? [origin, `${protocol}//localhost:${port}`] : [origin];
}
