/** Bounds on what strangers can make the server do: sizes, times and numbers of attempts. */
import type { MiddlewareHandler } from "hono";
import type { ServerEnv } from "./context.ts";
import { RequestProblem, tooMany } from "./problems.ts";

/** How long a body may take to arrive. */
export const BODY_MILLISECONDS = 10_000;

/**
 * Reads the whole body before anything else looks at it, so that later readers find it in memory.
 * Refuses with `body-too-large` one of over `maxBytes`, also when no length was announced, and
 * with `slow-request` one that takes over `milliseconds`; the rest of it is not read. JSON that no
 * schema could judge is `invalid`.
 */
export function boundedBody(
  maxBytes: number,
  milliseconds = BODY_MILLISECONDS,
): MiddlewareHandler<ServerEnv> {
  return async (c, next) => {
    const announced = Number(c.req.header("content-length") ?? 0);
    if (announced > maxBytes) throw tooLarge(maxBytes);
    const { url, method, headers, signal } = c.req.raw;
    if (c.req.raw.body) {
      const body = await readBody(c.req.raw.body, maxBytes, milliseconds);
      if (isBeyondSchemas(body)) {
        throw new RequestProblem("invalid", "json: a member 'length' is no number");
      }
      c.req.raw = new Request(url, { method, headers, signal, body });
    }
    await next();
  };
}

/**
 * Whether the schema library would throw: it compares whatever is called `length`, also of what is
 * no list (seen in zod 4.6.7), and not everything can be compared.
 */
function isBeyondSchemas(body: Uint8Array): boolean {
  const text = new TextDecoder().decode(body);
  if (!/length|\\u/.test(text)) return false;
  let beyond = false;
  try {
    JSON.parse(text, (name, value) => {
      beyond ||= name === "length" && typeof value === "object";
      return value;
    });
  } catch (error) {
    // Whatever is no JSON is refused as that.
    return !(error instanceof SyntaxError);
  }
  return beyond;
}

async function readBody(
  stream: ReadableStream<Uint8Array>,
  maxBytes: number,
  milliseconds: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const reader = stream.getReader();
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(unfinished("slow-request", "Send the body without pausing")),
    milliseconds,
  );
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), late.promise]);
      if (done) break;
      length += value.byteLength;
      if (length > maxBytes) throw tooLarge(maxBytes);
      chunks.push(value);
    }
  } catch (error) {
    // What cancelling meets is the sender's going away, which ends the matter as well.
    reader.cancel().catch(() => {});
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return joined(chunks, length);
}

function joined(chunks: Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return body;
}

function tooLarge(maxBytes: number): RequestProblem {
  return unfinished("body-too-large", `A body here has at most ${maxBytes} bytes`);
}

/** The rest of the body stays unread, so the connection is of no further use. */
function unfinished(type: "body-too-large" | "slow-request", message: string): RequestProblem {
  return new RequestProblem(type, message, { headers: { connection: "close" } });
}

/** Wrong guesses that an address may make at once, and how long one takes to be forgiven. */
const GUESSES = 20;
const FORGIVEN_AFTER_MS = 3_000;

/** Addresses that are remembered; the one that guessed least recently is forgotten first. */
const REMEMBERED = 10_000;

/**
 * Counts wrong guesses of a secret by the address that they came from: 20 at once, then one every
 * three seconds. An IPv6 address counts as its /64, which is what one machine has.
 */
export class GuessLimit {
  /** When the last guess of an address will be forgiven, milliseconds; oldest guess first. */
  readonly #forgivenAt = new Map<string, number>();

  /** Throws `too-many-requests` while that address has no guess left. */
  check(address: string, now: number): void {
    const owed = (this.#forgivenAt.get(source(address)) ?? 0) - now;
    const wait = owed - (GUESSES - 1) * FORGIVEN_AFTER_MS;
    if (wait > 0) throw tooMany("Too many wrong keys from this address", wait / 1000);
  }

  /** Counts one wrong guess. */
  wrong(address: string, now: number): void {
    const key = source(address);
    const from = Math.max(this.#forgivenAt.get(key) ?? 0, now);
    this.#forgivenAt.delete(key);
    this.#forgivenAt.set(key, from + FORGIVEN_AFTER_MS);
    if (this.#forgivenAt.size <= REMEMBERED) return;
    const [oldest] = this.#forgivenAt.keys();
    if (oldest !== undefined) this.#forgivenAt.delete(oldest);
  }
}

function source(address: string): string {
  if (!address.includes(":") || address.startsWith("::ffff:")) return address;
  const [head = "", tail] = address.split("::");
  const groups = head.split(":").filter((group) => group !== "");
  const rest = (tail ?? "").split(":").filter((group) => group !== "");
  const zeros = tail === undefined
    ? []
    : Array(Math.max(0, 8 - groups.length - rest.length)).fill("0");
  return [...groups, ...zeros, ...rest].slice(0, 4).join(":");
}
