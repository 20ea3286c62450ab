/** The way between one device and the agent server, and what can become of messages on it. */
import type { Network } from "../../agent/server_client.ts";
import type { Random } from "./random.ts";
import { MINUTE, SECOND, type Timeline } from "./timeline.ts";
import type { Trace } from "./trace.ts";

/** What happens to single messages while a network is bad. */
export const NETWORK_FAULTS = [
  "lost request",
  "lost reply",
  "slow",
  "too slow",
  "truncated",
  "empty object",
  "sign-in page",
  "bare 401",
  "bare 404",
  "bare 410",
  "stale",
] as const;
export type NetworkFault = typeof NETWORK_FAULTS[number];

/** What a network needs of its world. */
export interface NetworkWorld {
  random: Random;
  timeline: Timeline;
  trace: Trace;
  /** The server does its work. */
  deliver: (request: Request) => Promise<Response>;
  /** Something else may happen in the world while a message is on its way. */
  meanwhile: () => Promise<void>;
  /** Called before each request, whatever becomes of it. */
  asked: () => void;
  /** Called when an answer arrives that the server itself gave, at that time. */
  heard: (request: Request, answer: Response, at: number) => void;
}

/** One device's network. */
export class SimulatedNetwork implements Network {
  up = true;
  /** How often messages meet one of these. */
  bad: { rate: number; faults: readonly NetworkFault[] } | undefined;
  /** An earlier answer of each request that a cache could hold. */
  readonly #cached = new Map<string, { at: number; answer: Response }>();

  constructor(private readonly device: string, private readonly world: NetworkWorld) {}

  async fetch(url: string, init: RequestInit, timeout: number): Promise<Response> {
    const { random, timeline, trace, deliver, meanwhile, asked, heard } = this.world;
    const what = `${this.device} ${init.method} ${last(url)}`;
    asked();
    if (!this.up) {
      timeline.pass(random.between(1, 2 * SECOND));
      throw new TypeError("the network is unreachable");
    }
    const fault = this.bad && random.chance(this.bad.rate)
      ? random.pick(this.bad.faults)
      : undefined;
    if (fault) trace.count(`message ${fault}`, what);
    const before = fault && instead(fault);
    if (before) return before;
    const request = new Request(url, init);
    const cached = init.method === "GET" ? this.#cached.get(url) : undefined;
    if (fault === "stale" && cached) {
      return withAge(cached.answer, timeline.now - cached.at);
    }
    if (fault === "lost request") {
      timeline.pass(timeout);
      throw new DOMException("timed out", "TimeoutError");
    }
    await meanwhile();
    const answer = await whole(await deliver(request.clone()));
    const at = timeline.now;
    trace.line(`${what} -> ${answer.status}`);
    if (init.method === "GET" && answer.ok) {
      this.#cached.set(url, { at, answer: answer.clone() });
    }
    await meanwhile();
    timeline.pass(fault === "slow" ? random.between(SECOND, timeout - 1) : random.between(5, 80));
    if (fault === "lost reply") throw new TypeError("the connection was reset");
    if (fault === "too slow") {
      timeline.pass(timeout);
      throw new DOMException("timed out", "TimeoutError");
    }
    if (fault === "truncated") {
      const body = new Uint8Array(await answer.arrayBuffer());
      return new Response(body.length > 0 ? body.subarray(0, body.length / 2) : null, answer);
    }
    heard(request, answer, at);
    return answer;
  }

  close(): void {}
}

/** An answer that the server never gave. */
function instead(fault: NetworkFault): Response | undefined {
  switch (fault) {
    case "empty object":
      return Response.json({}, { headers: { etag: '"empty"' } });
    case "sign-in page":
      return new Response("<p>Welcome", { headers: { "content-type": "text/html" } });
    case "bare 401":
      return new Response(null, { status: 401 });
    case "bare 404":
      return new Response(null, { status: 404 });
    case "bare 410":
      return new Response(null, { status: 410 });
  }
}

/** An answer as a cache gives it again (RFC 9111, 5.1). */
function withAge(answer: Response, milliseconds: number): Response {
  const headers = new Headers(answer.headers);
  headers.set("age", String(Math.max(1, Math.round(milliseconds / SECOND))));
  return new Response(answer.clone().body, { status: answer.status, headers });
}

/** Read to its end, as a connection that does not break would bring it. */
async function whole(response: Response): Promise<Response> {
  const body = await response.arrayBuffer();
  const { status, headers } = response;
  return new Response(body.byteLength > 0 ? body : null, { status, headers });
}

/** What a path is about. */
function last(url: string): string {
  return new URL(url).pathname.split("/").at(-1)?.replace(/^[0-9a-f-]{36}$/, "device") ?? "";
}

/** How long a bad network lasts. */
export const BAD_FOR = { least: MINUTE, most: 40 * MINUTE } as const;
