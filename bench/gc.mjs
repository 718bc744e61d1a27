// Loaded into a process whose memory is measured, and into each of its threads: SIGWINCH has all of them give back what they
// need no more (the SDK takes SIGUSR2 for itself), so that two measurements differ by what is kept alone.
import { isMainThread } from 'node:worker_threads';

const channel = new BroadcastChannel('gc');
channel.unref();
channel.onmessage = () => globalThis.gc();
if (isMainThread)
  process.on('SIGWINCH', () => {
    channel.postMessage('now');
    globalThis.gc();
  });
