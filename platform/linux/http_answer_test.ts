import assert from "node:assert/strict";
import fc from "fast-check";
import { getRequest, readAnswer } from "./http_answer.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("a request asks one host for one path and lets nothing else in", () => {
  const text = new TextDecoder().decode(getRequest("portal.test:8443", "/challenge?user=a%40b"));
  assert.match(text, /^GET \/challenge\?user=a%40b HTTP\/1\.1\r\nHost: portal\.test:8443\r\n/);
  assert.match(text, /\r\nConnection: close\r\n\r\n$/);
  for (const path of ["/a b", "/a\r\nX: y", "challenge", "/ä"]) {
    assert.throws(() => getRequest("portal.test", path), TypeError);
  }
  assert.throws(() => getRequest("a\r\nX: y", "/"), TypeError);
});

Deno.test("an answer ends by its length, its last chunk, or the end of the connection", () => {
  const length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhällo".replace("5", "6");
  const chunked = "HTTP/1.1 403 No\r\ntransfer-encoding: chunked\r\n\r\n" +
    "2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
  const closed = "HTTP/1.0 200 OK\r\n\r\nhello";
  assert.deepEqual(readAnswer(bytes(length), false), { status: 200, body: "hällo" });
  assert.deepEqual(readAnswer(bytes(chunked), false), { status: 403, body: "hello" });
  assert.equal(readAnswer(bytes(closed), false), undefined);
  assert.deepEqual(readAnswer(bytes(closed), true), { status: 200, body: "hello" });
});

Deno.test("an answer that is not there yet is waited for, at whatever byte it was cut", () => {
  const whole = bytes(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
  );
  // The bytes after the last chunk's size say nothing more.
  fc.assert(fc.property(fc.integer({ min: 0, max: whole.length - 5 }), (cut) => {
    assert.equal(readAnswer(whole.subarray(0, cut), false), undefined);
  }));
});

Deno.test("what is no HTTP/1.1 answer is refused", () => {
  for (const text of ["", "SSH-2.0-x\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n"]) {
    assert.throws(() => readAnswer(bytes(text), true), TypeError, text);
  }
});
