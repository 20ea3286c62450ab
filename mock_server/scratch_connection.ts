/** A TLS client that sends any bytes and waits for what comes of them, for tests of listeners. */
import { PROBLEM_PREFIX } from "../agent/contract.ts";

/** Where to connect, and whom to trust. */
export interface Target {
  port: number;
  caCertificate: string;
}

/** What a connection brought until the server ended it. */
export interface Received {
  /** Of the last answer; 0 where the server ended the connection without one. */
  status: number;
  /** Of a problem, without its prefix. */
  type: string | undefined;
  text: string;
  /** From the connection's start to its end. */
  milliseconds: number;
}

/** When a slow machine must have done what a listener's bounds of 10 s and a second's check say. */
export const PATIENCE_MS = 30_000;

/** Characters after which nothing more is read. */
const ENOUGH = 256 * 1024;

/** One connection. */
export class ScratchConnection implements Disposable {
  readonly #started = performance.now();
  #ended = false;
  #closed = false;

  private constructor(private readonly conn: Deno.Conn) {}

  /** Connects and shakes hands. */
  static async open({ port, caCertificate }: Target): Promise<ScratchConnection> {
    const conn = await Deno.connectTls({ hostname: "localhost", port, caCerts: [caCertificate] });
    await conn.handshake();
    return new ScratchConnection(conn);
  }

  /** Connects and says nothing of TLS. */
  static async openPlain({ port }: Pick<Target, "port">): Promise<ScratchConnection> {
    return new ScratchConnection(await Deno.connect({ hostname: "localhost", port }));
  }

  /** Sends it all; false when the server has ended the connection before. */
  async send(data: string | Uint8Array): Promise<boolean> {
    let rest = typeof data === "string" ? new TextEncoder().encode(data) : data;
    try {
      while (rest.length > 0) rest = rest.subarray(await this.conn.write(rest));
      return !this.#ended;
    } catch {
      return false;
    }
  }

  /** Sends `piece` again and again, with a pause each time, until the server ends it. */
  async drip(piece: string, pauseMs: number): Promise<void> {
    while (!this.#ended && await this.send(piece)) {
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  /** Reads until a first answer has come whole, which leaves the connection open. */
  async answer(): Promise<string> {
    return await this.#read((text) => /\r\n\r\n./s.test(text));
  }

  /** Reads until the server ends the connection; ends it here after {@link PATIENCE_MS}. */
  async ended(): Promise<Received> {
    const timer = setTimeout(() => this[Symbol.dispose](), PATIENCE_MS);
    const text = await this.#read(() => false);
    clearTimeout(timer);
    this.#ended = true;
    const last = text.slice(text.lastIndexOf("HTTP/1.1 "));
    const type = /"type":"([^"]*)"/.exec(last)?.[1];
    return {
      status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(last)?.[1] ?? 0),
      type: type?.replace(PROBLEM_PREFIX, ""),
      text,
      milliseconds: performance.now() - this.#started,
    };
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    if (this.#closed) return;
    this.#closed = true;
    this.conn.close();
  }

  async #read(isEnough: (text: string) => boolean): Promise<string> {
    const [buffer, decoder] = [new Uint8Array(16 * 1024), new TextDecoder()];
    let text = "";
    while (!isEnough(text) && text.length < ENOUGH) {
      // A reset ends a connection as well as a proper end does.
      const count = await this.conn.read(buffer).catch(() => null);
      if (count === null) break;
      text += decoder.decode(buffer.subarray(0, count), { stream: true });
    }
    return text;
  }
}
