import { createServer } from 'node:net';

/** Ports of this range the system gives to nobody who asks for any. */
const STEADY = { from: 10_000, to: 30_000 };

/** A TCP port of 127.0.0.1 that nobody listens on at this moment. Another process may still take it first. */
export function freePort(): Promise<number> {
  return listened(0);
}

/** One that stays free while its server is down, for the system gives it to nobody. */
export async function steadyPort(): Promise<number> {
  for (;;) {
    const port = STEADY.from + Math.floor(Math.random() * (STEADY.to - STEADY.from));
    if ((await listened(port).catch(() => undefined)) !== undefined) return port;
  }
}

/** The port that could be listened on, and is free again. */
function listened(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        address && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}
