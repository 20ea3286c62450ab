import assert from "node:assert/strict";
import { once } from "node:events";
import * as https from "node:https";
import { join } from "node:path";
import { DerError } from "./der.ts";
import { openServerTls } from "./server_tls.ts";
import { ask, inFolder } from "../tests/ask.ts";
import { testWith } from "../tests/skip.ts";

const DAY = 86_400_000;
const NOW = new Date("2026-03-01T12:00:00Z");
const NAMES = {
  names: ["localhost", "*.challenge.localhost", "agent.example"],
  ips: ["127.0.0.1", "::1"],
};

const later = (days: number) => new Date(NOW.getTime() + days * DAY);

Deno.test("the second start finds certificate and authority of the first", () =>
  inFolder(async (folder) => {
    const first = await openServerTls(folder, { ...NAMES, now: NOW });
    assert.deepEqual(await openServerTls(folder, { ...NAMES, now: later(1) }), first);
    assert.deepEqual(await openServerTls(folder, { ...NAMES, now: later(366) }), first);
    assert.equal(await Deno.readTextFile(first.caPath), first.caPem);
  }));

Deno.test("another set of names, or an end that is near, gives a new certificate of the same authority", () =>
  inFolder(async (folder) => {
    const first = await openServerTls(folder, { ...NAMES, now: NOW });
    const named = await openServerTls(folder, { ...NAMES, names: ["other.example"], now: NOW });
    const addressed = await openServerTls(folder, { names: ["other.example"], ips: [], now: NOW });
    const renewed = await openServerTls(folder, {
      names: ["other.example"],
      ips: [],
      now: later(368),
    });
    const all = [first, named, addressed, renewed];
    assert.equal(new Set(all.map(({ certPem }) => certPem)).size, 4);
    assert.equal(new Set(all.map(({ keyPem }) => keyPem)).size, 4);
    assert.equal(new Set(all.map(({ caPem }) => caPem)).size, 1);
  }));

Deno.test("a damaged certificate is replaced, a damaged authority is not", () =>
  inFolder(async (folder) => {
    const first = await openServerTls(folder, { ...NAMES, now: NOW });
    for (const text of ["", "garbage", first.keyPem, first.certPem, first.keyPem + "x"]) {
      await Deno.writeTextFile(join(folder, "server.pem"), text);
      const again = await openServerTls(folder, { ...NAMES, now: NOW });
      assert.equal(again.caPem, first.caPem);
      assert.notEqual(again.certPem, first.certPem);
    }
    await Deno.writeTextFile(first.caPath, "garbage");
    await assert.rejects(openServerTls(folder, { ...NAMES, now: NOW }), DerError);
  }));

Deno.test("keys are 0600, and a half-written replacement is no obstacle", () =>
  inFolder(async (folder) => {
    await openServerTls(folder, { ...NAMES, now: NOW });
    await Deno.writeTextFile(join(folder, "server.pem.new"), "half");
    await openServerTls(folder, { names: ["other.example"], ips: [], now: NOW });
    const mode = (path: string) => (Deno.statSync(join(folder, path)).mode ?? 0) & 0o777;
    assert.equal(mode("server.pem"), 0o600);
    assert.equal(mode("ca/ca.key"), 0o600);
    assert.equal(mode("ca/ca.pem"), 0o644);
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), [
      "ca",
      "server.pem",
    ]);
  }));

testWith(
  ["openssl"],
  "openssl accepts it for each name and address, and for nothing else",
  () =>
    inFolder(async (folder) => {
      const { certPem, caPath } = await openServerTls(folder, { ...NAMES, now: new Date() });
      const path = join(folder, "cert.pem");
      await Deno.writeTextFile(path, certPem);
      const verify = (...options: string[]) =>
        ask(
          "openssl",
          ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", caPath]
            .concat(options, path),
        ).ok;
      for (const name of ["localhost", "x.challenge.localhost", "agent.example"]) {
        assert.ok(verify("-verify_hostname", name), name);
      }
      for (const address of NAMES.ips) assert.ok(verify("-verify_ip", address), address);
      for (const name of ["challenge.localhost", "a.b.challenge.localhost", "evil.example"]) {
        assert.ok(!verify("-verify_hostname", name), name);
      }
      assert.ok(!verify("-verify_ip", "127.0.0.2"));
      assert.ok(!ask("openssl", ["verify", "-purpose", "sslclient", "-CAfile", caPath, path]).ok);
    }),
);

testWith(
  ["curl"],
  "curl trusts a listener with it by the authority's file, and not without",
  () =>
    inFolder(async (folder) => {
      const tls = await openServerTls(folder, { ...NAMES, now: new Date() });
      const server = https.createServer({ cert: tls.certPem, key: tls.keyPem }, (_, response) => {
        response.end("hello");
      }).listen(0, "127.0.0.1");
      await once(server, "listening");
      const address = server.address();
      assert.ok(address && typeof address === "object");
      const get = async (...options: string[]) => {
        const { stdout } = await new Deno.Command("curl", {
          args: ["-s", ...options, `https://localhost:${address.port}/`],
        }).output();
        return new TextDecoder().decode(stdout);
      };
      assert.equal(await get("--cacert", tls.caPath), "hello");
      assert.equal(await get(), "");
      server.close();
      await once(server, "close");
    }),
);
