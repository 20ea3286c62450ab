/**
 * Signed requests to the agent server. It bounds every answer, follows no redirect, speaks HTTPS
 * only, and learns the server's clock from authenticated answers. It validates nothing of a body:
 * who asks, parses. Loads no library, because the resident agent keeps it in memory.
 */
import { Problem } from "../platform/errors.ts";
import {
  contentDigest,
  randomNonce,
  type RequestSigner,
  type SignatureFields,
  signRequest,
} from "./http_signature.ts";

/** An answer of the agent server, whatever its status. */
export interface ServerAnswer {
  status: number;
  headers: Headers;
  /** At most the number of bytes that was asked for. */
  body: Uint8Array;
  /** The problem type of an `application/problem+json` answer. */
  problemType?: string;
}

/** A request to the agent server. */
export interface ServerRequest {
  method: "GET" | "POST" | "DELETE";
  /** Below the public URL, with its query. */
  path: string;
  body?: Uint8Array;
  headers?: Record<string, string>;
  /** A second signature over the same request (a renewal's `leaf`). */
  leafSignature?: SignatureFields;
  /** Milliseconds until the request is given up; default 15 s. */
  timeout?: number;
  /** Most bytes that the answer may have; default 64 KiB. */
  maxBytes?: number;
  signal?: AbortSignal;
}

/** Server time, as far as it is known. */
export interface ServerClock {
  /** Server time minus local time, milliseconds. */
  offset: number;
  /** Whether an authenticated answer has told it since this process (or its parent) started. */
  known: boolean;
}

/** How a client reaches its server. */
export interface ServerClientOptions {
  /** Without a trailing slash. */
  publicUrl: string;
  /** PEM; the only certificate authority that counts. Absent: the system's or built-in ones. */
  serverCa?: string;
  /** Proxy URL from the configuration; absent: the environment's. */
  proxy?: string;
  signer: RequestSigner;
  clock: ServerClock;
  now: () => number;
  /** Carries requests instead of the system's network. */
  network?: Network;
}

/** What carries requests and answers. */
export interface Network {
  /** One exchange, given up after so many milliseconds; follows no redirect. */
  fetch(url: string, init: RequestInit, timeout: number): Promise<Response>;
  close(): void;
}

/** A client for one device and one agent server. */
export interface ServerClient {
  readonly clock: ServerClock;
  /**
   * Sends one signed request. A 401 `clock-skew` corrects the clock and is tried once more.
   *
   * @throws Problem `unreachable` or `clock` when there is no answer, `server-refused` when the answer is
   * not this API's (a redirect, too large)
   */
  request(request: ServerRequest): Promise<ServerAnswer>;
  close(): void;
}

const DEFAULT_TIMEOUT = 15_000;
const DEFAULT_MAX_BYTES = 64 * 1024;

/** The end of what the field has digits for (RFC 9110, 5.6.7); well beyond, there are no dates. */
const LAST_DATE = Date.UTC(9999, 11, 31);

/** What can be told in a line. */
const PROBLEM_TYPE = /^[!-~]{1,256}$/;

/** Opens a client. @throws Problem `server-refused` when the URL is not HTTPS */
export function openServerClient(options: ServerClientOptions): ServerClient {
  if (!options.publicUrl.startsWith("https://")) {
    throw new Problem(
      "server-refused",
      `Cannot use agent server '${options.publicUrl}': it must be an https:// URL.`,
    );
  }
  const network = options.network ?? httpsNetwork(options);
  const clock = options.clock;

  async function send(request: ServerRequest): Promise<ServerAnswer> {
    const targetUri = options.publicUrl + request.path;
    const signature = await signRequest(
      { method: request.method, targetUri, ...(request.body ? { body: request.body } : {}) },
      options.signer,
      { created: Math.floor((options.now() + clock.offset) / 1000), nonce: randomNonce },
    );
    const headers = new Headers(request.headers);
    headers.set("signature-input", joined(signature, request.leafSignature, "signature-input"));
    headers.set("signature", joined(signature, request.leafSignature, "signature"));
    if (request.body) {
      headers.set("content-type", "application/json");
      headers.set("content-digest", await contentDigest(request.body));
    }
    const init = {
      method: request.method,
      headers,
      body: request.body?.slice() ?? null,
      ...(request.signal ? { signal: request.signal } : {}),
    };
    const response = await network.fetch(targetUri, init, request.timeout ?? DEFAULT_TIMEOUT);
    const body = await boundedBody(response, request.maxBytes ?? DEFAULT_MAX_BYTES);
    return {
      status: response.status,
      headers: response.headers,
      body,
      ...problemType(response, body),
    };
  }

  async function request(wanted: ServerRequest): Promise<ServerAnswer> {
    for (let attempt = 0;; attempt++) {
      let answer: ServerAnswer;
      try {
        answer = await send(wanted);
      } catch (error) {
        if (error instanceof Problem || wanted.signal?.aborted) throw error;
        throw noAnswer(options.publicUrl, error, options.now());
      }
      refuseCached(answer);
      learnClock(clock, answer, options.now());
      const skewed = answer.status === 401 && answer.problemType === "urn:device-trust:clock-skew";
      if (skewed && attempt === 0 && !wanted.leafSignature) continue;
      if (answer.status >= 300 && answer.status < 400 && answer.status !== 304) {
        throw new Problem(
          "server-refused",
          `The agent server answered with a redirect (${answer.status}), which is never followed. ` +
            "A proxy or sign-in page may be in the way: let this device reach " +
            `${options.publicUrl} directly.`,
        );
      }
      return answer;
    }
  }

  return { clock, request, close: () => network.close() };
}

function httpsNetwork({ serverCa, proxy }: ServerClientOptions): Network {
  // An empty store leaves the pinned authority as the only one (the runtime adds `caCerts` to it).
  if (serverCa) Deno.env.set("DENO_TLS_CA_STORE", "");
  const client = Deno.createHttpClient({
    caCerts: serverCa ? [serverCa] : [],
    http2: false,
    ...(proxy ? { proxy: { url: proxy } } : {}),
  });
  return {
    fetch(url, init, timeout) {
      const late = AbortSignal.timeout(timeout);
      const signal = init.signal ? AbortSignal.any([late, init.signal]) : late;
      return fetch(url, { ...init, redirect: "manual", client, signal });
    },
    close: () => client.close(),
  };
}

/** An answer's JSON body, parsed. @throws Problem `server-refused` when it is not JSON */
export function answerJson(answer: ServerAnswer): unknown {
  try {
    return JSON.parse(answerText(answer));
  } catch (cause) {
    if (cause instanceof Problem) throw cause;
    throw new Problem("server-refused", "The agent server's answer is not JSON.", { cause });
  }
}

/** The text of a body that is to be JSON. @throws Problem `server-refused` when it says it is not */
export function answerText(answer: ServerAnswer): string {
  const type = (answer.headers.get("content-type") ?? "").slice(0, 100);
  if (!/^application\/(problem\+)?json\b/i.test(type)) {
    throw new Problem(
      "server-refused",
      `The agent server answered ${answer.status} with '${type || "no content type"}' instead of ` +
        "JSON. A proxy or sign-in page may be in the way.",
    );
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(answer.body);
  } catch (cause) {
    throw new Problem("server-refused", "The agent server's answer is not UTF-8.", { cause });
  }
}

/** A desired state as the server sent it. @throws Problem when the answer is none */
export function sentState(answer: ServerAnswer): { etag: string; body: string } {
  if (answer.status !== 200) throw refusal("read the desired state", answer);
  const body = answerText(answer);
  const etag = answer.headers.get("etag");
  if (etag !== null) return { etag, body };
  throw new Problem(
    "server-refused",
    "The agent server sent a desired state without an ETag, which was not taken. A proxy may have " +
      "removed it.",
  );
}

/** An unwelcome answer as a problem: what was asked, what came, what to do. */
export function refusal(action: string, answer: ServerAnswer): Problem {
  const type = answer.problemType?.replace("urn:device-trust:", "");
  const retry = answer.status === 429 || answer.status >= 500;
  return new Problem(
    retry ? "unreachable" : "server-refused",
    `Cannot ${action}: the agent server answered ${answer.status}${type ? ` ${type}` : ""}. ` +
      (retry ? "That may pass by itself." : "Look at the agent server's events for this device."),
  );
}

/** A cache in between tells how old its answer is (RFC 9111, 5.1): what was true then is not now. */
function refuseCached(answer: ServerAnswer): void {
  const age = Number(answer.headers.get("age"));
  if (!(age > 0)) return;
  throw new Problem(
    "server-refused",
    `The answer came out of a cache, ${age} s old, and was not taken. A proxy before the agent ` +
      "server keeps what it must not keep: have it pass everything on.",
  );
}

function learnClock(clock: ServerClock, answer: ServerAnswer, now: number): void {
  const date = Date.parse(answer.headers.get("date") ?? "");
  // NaN is neither.
  if (!(date >= 0 && date <= LAST_DATE)) return;
  // The field has whole seconds: half of one is the best guess, and less than 2 s is no skew.
  const offset = date + 500 - now;
  if (Math.abs(offset - clock.offset) > 2000) clock.offset = Math.abs(offset) > 2000 ? offset : 0;
  clock.known = true;
}

function joined(
  first: SignatureFields,
  second: SignatureFields | undefined,
  field: keyof SignatureFields,
): string {
  return second ? `${first[field]}, ${second[field]}` : first[field];
}

function problemType(response: Response, body: Uint8Array): { problemType?: string } {
  if (!response.headers.get("content-type")?.startsWith("application/problem+json")) return {};
  try {
    const problem: unknown = JSON.parse(new TextDecoder().decode(body));
    if (typeof problem !== "object" || problem === null || !("type" in problem)) return {};
    const { type } = problem;
    return typeof type === "string" && PROBLEM_TYPE.test(type) ? { problemType: type } : {};
  } catch {
    // A problem document that cannot be read is an answer without a problem type.
    return {};
  }
}

async function boundedBody(response: Response, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > maxBytes) {
      throw new Problem(
        "server-refused",
        `The agent server's answer is larger than ${maxBytes} bytes; it was not read further.`,
      );
    }
    chunks.push(chunk);
  }
  const body = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

/** Why there was no answer. `now`: local milliseconds. */
export function noAnswer(url: string, error: unknown, now: number): Problem {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const timedOut = error instanceof DOMException && error.name === "TimeoutError";
  const why = timedOut
    ? "no answer in time"
    : cause instanceof Error
    ? cause.message
    : String(cause);
  // TLS gives no code, and goes by this clock. Were it to say this otherwise, people hear the rest.
  if (/certificate (expired|not valid yet)/.test(why)) {
    return new Problem(
      "clock",
      `Cannot use the TLS certificate of the agent server at ${url} at the time of this ` +
        `computer's clock, ${new Date(now).toUTCString()}. Set the clock if that is wrong; else ` +
        "have the server's certificate renewed.",
      { cause: error },
    );
  }
  return new Problem(
    "unreachable",
    `Cannot reach the agent server at ${url}: ${why}. Check the network, the server's name ` +
      "and its certificate (--server-ca).",
    { cause: error },
  );
}
