/** One HTTP/1.1 exchange over bytes, for connections that no HTTP client can make. Pure. */
import { concat } from "../../ca/der.ts";

/** An answer that the server ended by closing, or by its own length. */
export interface HttpAnswer {
  status: number;
  /** UTF-8. */
  body: string;
}

/** A GET that asks for JSON and for the connection to end with the answer. */
export function getRequest(authority: string, path: string): Uint8Array<ArrayBuffer> {
  if (!/^\/[!-~]*$/.test(path) || !/^[!-~]+$/.test(authority)) {
    throw new TypeError(`Cannot ask for '${path}' of '${authority}': not a path, or not a host`);
  }
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: ${authority}`,
    "Accept: application/json, text/html;q=0.5",
    "User-Agent: device-trust (X11; Linux)",
    "Connection: close",
  ];
  return new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`);
}

/**
 * Reads an answer (RFC 9112). Undefined while it is incomplete; at the end of the connection
 * (`ended`) what is there is all there will be.
 *
 * @throws TypeError for what is no HTTP/1.1 answer
 */
export function readAnswer(bytes: Uint8Array, ended: boolean): HttpAnswer | undefined {
  // Latin-1 keeps offsets in characters and bytes the same.
  const text = new TextDecoder("latin1").decode(bytes);
  const end = text.indexOf("\r\n\r\n");
  if (end === -1) {
    if (ended || bytes.length > 32 * 1024) throw new TypeError("the answer is not HTTP/1.1");
    return undefined;
  }
  const status = /^HTTP\/1\.[01] (\d{3})\b/.exec(text)?.[1];
  if (status === undefined) throw new TypeError("the answer is not HTTP/1.1");
  const head = text.slice(0, end);
  const rest = bytes.subarray(end + 4);
  const length = /\r\ncontent-length:[ \t]*(\d+)[ \t]*(?:\r\n|$)/i.exec(head)?.[1];
  const chunked = /\r\ntransfer-encoding:[ \t]*chunked[ \t]*(?:\r\n|$)/i.test(head);
  const body = chunked
    ? unchunk(rest)
    : length !== undefined && rest.length >= Number(length)
    ? rest.subarray(0, Number(length))
    : undefined;
  if (!body && !ended) return undefined;
  return { status: Number(status), body: new TextDecoder().decode(body ?? rest) };
}

/** Undefined until the last chunk is there. */
function unchunk(bytes: Uint8Array): Uint8Array | undefined {
  const parts: Uint8Array[] = [];
  for (let at = 0;;) {
    const line = new TextDecoder("latin1").decode(bytes.subarray(at, at + 18));
    const size = /^([0-9a-f]{1,8})(?:;[^\r\n]*)?\r\n/i.exec(line);
    if (!size?.[1]) return undefined;
    const length = parseInt(size[1], 16);
    if (length === 0) return concat(parts);
    const start = at + size[0].length;
    if (start + length > bytes.length) return undefined;
    parts.push(bytes.subarray(start, start + length));
    at = start + length + 2;
  }
}
