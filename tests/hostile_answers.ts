/** Answers that no agent server should give, whatever was asked for, and what is to be said of them. */
import type { Distortion } from "./distorted_server.ts";

/** A bad answer. */
export interface HostileAnswer {
  /** Completes "is answered with ...". */
  what: string;
  answer: Distortion;
  /** What an operator must be told. */
  words: RegExp;
}

/** Bytes that endless answers have sent, each until the client had enough. */
export interface Endless {
  sent: () => number;
  /** Whether every one of them was given up by its client. */
  givenUp: () => boolean;
}

const HTML = "<!doctype html><title>Sign in</title><form action=/login>Sign in first</form>";
const MIB = 1024 * 1024;

/** Bad answers to any request, of which some lead to another host, and some never end. */
export function badAnswers(elsewhere: string): { answers: HostileAnswer[]; endless: Endless } {
  const endless = { sent: 0, open: 0 };
  const flood = (chunk: Uint8Array<ArrayBuffer>, headers: Record<string, string>) => () => {
    endless.open++;
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull(controller) {
        endless.sent += chunk.length;
        // A client that reads on for ever would take the machine's memory.
        if (endless.sent > 1024 * MIB) controller.close();
        else controller.enqueue(chunk);
      },
      cancel: () => void endless.open--,
    });
    return new Response(body, { headers: { ...JSON_TYPE, etag: '"endless"', ...headers } });
  };
  const answers: HostileAnswer[] = [
    ...[301, 302, 307, 308].map((status) => ({
      what: `a redirect (${status}) to another host`,
      answer: () => new Response(null, { status, headers: { location: `${elsewhere}/v1` } }),
      words: new RegExp(`redirect \\(${status}\\), which is never followed`),
    })),
    ...[401, 403, 404, 410, 429, 500, 503].map((status) => ({
      what: `a bare ${status}`,
      answer: () => new Response(null, { status }),
      words: new RegExp(`the agent server answered ${status}\\.`),
    })),
    ...[
      [401, "unknown-device"],
      [404, "not-found"],
      [410, "device-deleted-not"],
    ].map(([status, type]) => ({
      what: `the problem ${status} ${type}`,
      answer: () => problem(Number(status), `urn:device-trust:${type}`),
      words: new RegExp(`the agent server answered ${status} ${type}\\.`),
    })),
    {
      what: "a 410 whose type is another's device-deleted",
      answer: () => problem(410, "https://example.com/device-deleted"),
      words: /the agent server answered 410 /,
    },
    {
      what: "a 410 that has the type device-deleted and is no problem document",
      answer: () =>
        Response.json({ type: "urn:device-trust:device-deleted", status: 410 }, { status: 410 }),
      words: /the agent server answered 410\./,
    },
    {
      what: "a proxy's page with 502",
      answer: () => new Response(HTML, { status: 502, headers: { "content-type": "text/html" } }),
      words: /the agent server answered 502\./,
    },
    {
      what: "an answer without end",
      answer: flood(new Uint8Array(64 * 1024).fill(0x20), {}),
      words: /larger than \d+ bytes; it was not read further/,
    },
    {
      what: "a small answer that is large once it is unpacked",
      answer: async () => {
        const zeros = new Blob([new Uint8Array(64 * MIB)]).stream();
        const packed = await new Response(zeros.pipeThrough(new CompressionStream("gzip"))).bytes();
        const headers = { ...JSON_TYPE, etag: '"packed"', "content-encoding": "gzip" };
        return new Response(packed, { headers });
      },
      words: /larger than \d+ bytes; it was not read further/,
    },
    {
      what: "an answer that is cut before its announced end",
      answer: async (usual) => cut(await usual(), 1),
      words: /Cannot reach the agent server at https:.*/,
    },
  ];
  return {
    answers,
    endless: { sent: () => endless.sent, givenUp: () => endless.open === 0 },
  };
}

/** Bad answers where JSON is expected: 200, and yet no answer. */
export const NO_JSON: HostileAnswer[] = [
  {
    what: "HTML and 200",
    answer: () => ok(HTML, { "content-type": "text/html" }),
    words: /answered 200 with 'text\/html' instead of JSON.*sign-in page/,
  },
  {
    what: "HTML that claims to be JSON",
    answer: () => ok(HTML),
    words: /is not JSON/,
  },
  {
    what: "the right answer as text",
    answer: async (usual) => ok(await (await usual()).text(), { "content-type": "text/plain" }),
    words: /answered 200 with 'text\/plain' instead of JSON/,
  },
  { what: "no content", answer: () => ok(""), words: /is not JSON/ },
  {
    what: "half of the right answer, whole to HTTP",
    answer: async (usual) => {
      const text = await (await usual()).text();
      return ok(text.slice(0, text.length / 2));
    },
    words: /is not JSON/,
  },
  { what: "null", answer: () => ok("null"), words: /refused and nothing changed/ },
  { what: "a list", answer: () => ok("[]"), words: /refused and nothing changed/ },
  { what: "an empty object", answer: () => ok("{}"), words: /refused and nothing changed/ },
];

/** The usual answer, its JSON changed by `change`; an ETag of its own when there was one. */
export function edited<T>(change: (body: T) => void): Distortion {
  return async (usual) => {
    const answer = await usual();
    // The real server's own answer: its form is what the wire contract says.
    const body: T = await answer.json();
    change(body);
    return Response.json(body, {
      status: answer.status,
      headers: answer.headers.has("etag") ? { etag: `"${crypto.randomUUID()}"` } : {},
    });
  };
}

/** The answer whole, and `missing` bytes more announced, which never come: the connection ends. */
async function cut(answer: Response, missing: number): Promise<Response> {
  const bytes = await answer.bytes();
  const headers = new Headers(answer.headers);
  headers.set("content-length", String(bytes.length + missing));
  headers.set("connection", "close");
  return new Response(new Blob([bytes]).stream(), { status: answer.status, headers });
}

const JSON_TYPE = { "content-type": "application/json" };

function ok(body: string, headers: Record<string, string> = JSON_TYPE): Response {
  return new Response(body, { headers: { etag: `"${crypto.randomUUID()}"`, ...headers } });
}

function problem(status: number, type: string): Response {
  return new Response(JSON.stringify({ type, title: "No", status }), {
    status,
    headers: { "content-type": "application/problem+json" },
  });
}
