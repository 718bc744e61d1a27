import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** A TCP line to a server, on which requests and answers can be held in the middle, or slowed. */
export interface Line {
  /** Where callers find it, on 127.0.0.1. */
  port: number;
  /**
   * From the first request on in which all these texts are, holds it, or what it is answered, until told otherwise. Texts
   * are looked for in the bytes on the wire. Without any: whatever is sent next.
   */
  hold(what: 'request' | 'answer', ...texts: string[]): Held;
  /** From now on every answer takes so many ms longer. */
  slow(ms: number): void;
  /** Ends all connections; what is still held is lost. */
  close(): Promise<void>;
}

/** What is held goes on being held when its caller dies: it arrives late, or never. */
export interface Held {
  /** Resolves at the very moment at which the first is held. */
  reached: Promise<void>;
  /** Lets it go on, and holds nothing more; resolves when the server has answered what was held. */
  release(): Promise<void>;
  /** It never arrives: its connections are cut. */
  lose(): void;
}

interface Rule {
  what: 'request' | 'answer';
  texts: string[];
  over: Promise<void>;
  take(connection: Connection): void;
}

/** @param to where the server is; it need not be there yet */
export async function lineTo(to: { port: number; host?: string }): Promise<Line> {
  const rules = new Set<Rule>();
  const connections = new Set<Connection>();
  const pace = { ms: 0 };
  const server = createServer((near) => {
    const connection = new Connection(near, connect(to.port, to.host ?? '127.0.0.1'), { rules, pace });
    connections.add(connection);
    connection.closed.then(() => connections.delete(connection));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    hold: (what, ...texts) => hold(rules, what, texts),
    slow: (ms) => {
      pace.ms = ms;
    },
    close: async () => {
      const ended = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const connection of connections) connection.cut();
      await ended;
    },
  };
}

function hold(rules: Set<Rule>, what: Rule['what'], texts: string[]): Held {
  const taken = new Set<Connection>();
  let arrive = (): void => {};
  let leave = (): void => {};
  const reached = new Promise<void>((resolve) => {
    arrive = resolve;
  });
  const over = new Promise<void>((resolve) => {
    leave = resolve;
  });
  const take = (connection: Connection): void => {
    taken.add(connection);
    arrive();
  };
  const rule: Rule = { what, texts, over, take };
  rules.add(rule);
  return {
    reached,
    release: async () => {
      rules.delete(rule);
      const answered = [...taken].map((connection) => connection.answered());
      leave();
      await Promise.all(answered);
    },
    lose: () => {
      rules.delete(rule);
      for (const connection of taken) connection.cut();
    },
  };
}

/** One caller's connection, and the one to the server behind it. Each side's bytes go on in their order. */
class Connection {
  readonly closed: Promise<void>;
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #line: { rules: Set<Rule>; pace: { ms: number } };
  /** What was sent since the last answer. */
  #request = '';
  /** A request is held, or was and has no answer yet. */
  #held = false;
  #toFar: Promise<unknown> = Promise.resolve();
  #toNear: Promise<unknown> = Promise.resolve();

  constructor(near: Socket, far: Socket, line: { rules: Set<Rule>; pace: { ms: number } }) {
    this.#near = near;
    this.#far = far;
    this.#line = line;
    near.on('data', (bytes) => this.#sent(bytes));
    far.on('data', (bytes) => this.#came(bytes));
    for (const socket of [near, far]) socket.on('error', () => socket.destroy());
    // What is held of a caller that is gone arrives all the same, and is answered.
    near.on('close', () => this.#held || far.destroy());
    far.on('close', () => this.#toNear.then(() => near.destroy()));
    this.closed = Promise.all([near, far].map((one) => new Promise((resolve) => one.on('close', resolve)))).then(
      () => {},
    );
  }

  #sent(bytes: Buffer): void {
    this.#request += bytes.toString('latin1');
    for (const { what, texts, over, take } of this.#line.rules) {
      if (!texts.every((text) => this.#request.includes(text))) continue;
      this.#held ||= what === 'request';
      if (what === 'request') this.#toFar = Promise.all([this.#toFar, over]);
      else this.#toNear = Promise.all([this.#toNear, over]);
      take(this);
    }
    this.#toFar = this.#toFar.then(() => this.#far.writable && this.#far.write(bytes));
  }

  #came(bytes: Buffer): void {
    this.#request = '';
    this.#held = false;
    if (this.#near.destroyed) this.#far.destroy();
    const { ms } = this.#line.pace;
    if (ms > 0) this.#toNear = Promise.all([this.#toNear, delay(ms)]);
    this.#toNear = this.#toNear.then(() => this.#near.writable && this.#near.write(bytes));
  }

  /** Resolves when the server has said something, or never will. */
  answered(): Promise<void> {
    if (this.#request === '' || this.#far.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#far.once('data', () => resolve());
      this.#far.once('close', () => resolve());
    });
  }

  cut(): void {
    this.#near.destroy();
    this.#far.destroy();
  }
}
