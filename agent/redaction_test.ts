/** Secrets that others wrote into what leaves the device. */
import assert from "node:assert/strict";
import { userInfo, withoutSecrets, withoutUserInfo } from "./redaction.ts";

Deno.test("what is known to be secret goes wherever it stands, the longest first", () => {
  assert.equal(
    withoutSecrets("a key-and-more, a key-, and an a", ["key-", "key-and-more", "a"]),
    "a [removed], a [removed], and an a",
  );
});

Deno.test("private keys go, whole or cut off, in lines or in JSON", () => {
  const body = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49\nAwEHBG0wawIBAQQg==";
  const key = `-----BEGIN EC PRIVATE KEY-----\n${body}\n-----END EC PRIVATE KEY-----`;
  const json = JSON.stringify({ key, then: "kept" });
  assert.equal(withoutSecrets(`before\n${key}\nafter`, []), "before\n[removed]\nafter");
  assert.equal(withoutSecrets(json, []), '{"key":"[removed]","then":"kept"}');
  assert.ok(!withoutSecrets(key.slice(0, 50), []).includes("MIGH"));
  const certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
  assert.equal(withoutSecrets(certificate, []), certificate);
});

Deno.test("a URL loses its user name and password and stays what it is otherwise", () => {
  assert.equal(
    withoutUserInfo("http://me:p%40ss@proxy.test:3128/x"),
    "http://[removed]@proxy.test:3128/x",
  );
  assert.equal(withoutSecrets("see https://a:b@c.test.", []), "see https://[removed]@c.test.");
  for (const url of ["http://proxy.test:3128", "https://a.test/x@y", "alice@example.com"]) {
    assert.equal(withoutUserInfo(url), url);
  }
});

Deno.test("user name and password are known as they are written and as they are", () => {
  assert.deepEqual(userInfo("http://me:p%40ss@proxy.test:3128"), [
    "me:p%40ss",
    "me:p@ss",
    "p%40ss",
    "p@ss",
  ]);
  assert.deepEqual(userInfo("http://proxy.test"), []);
  assert.deepEqual(userInfo("http://a:100%@proxy.test"), ["a:100%", "a:100%", "100%", "100%"]);
});
