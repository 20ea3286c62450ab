import "reflect-metadata";
import assert from "node:assert/strict";
import { join } from "node:path";
import { type Extension, X509Certificate } from "@peculiar/x509";
import { type Authority, AuthorityError, openAuthority } from "./authority.ts";
import { ask, inFolder } from "../tests/ask.ts";
import { testWith } from "../tests/skip.ts";

const NOW = new Date("2026-03-01T12:00:00.789Z");
const BRAND = "JumpCloud";

const open = (folder: string, brand = BRAND) => openAuthority(folder, { brand, now: NOW });

function code(expected: AuthorityError["code"]) {
  return (error: unknown) => {
    assert.ok(error instanceof AuthorityError, String(error));
    assert.equal(error.code, expected);
    return true;
  };
}

async function tree(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    const { mode } = await Deno.stat(path);
    found.push(`${name} ${((mode ?? 0) & 0o777).toString(8)}`);
    if (isDirectory) found.push(...await tree(path));
  }
  return found.sort();
}

Deno.test("an authority survives a restart: the second opening finds the first one's", () =>
  inFolder(async (folder) => {
    const first = await open(join(folder, "data", "ca"));
    const second = await openAuthority(join(folder, "data", "ca"), {
      brand: BRAND,
      now: new Date("2030-01-01T00:00:00Z"),
    });
    assert.equal(second.root.pem, first.root.pem);
    assert.equal(second.intermediate.pem, first.intermediate.pem);
    assert.equal(second.intermediate.keyIdentifier, first.intermediate.keyIdentifier);
  }));

Deno.test("keys are 0600 in 0700 folders, and the key in memory cannot be exported", () =>
  inFolder(async (folder) => {
    const authority = await open(join(folder, "ca"));
    assert.deepEqual(await tree(folder), [
      "1 700",
      "ca 700",
      "intermediate.key 600",
      "intermediate.pem 644",
      "root.key 600",
      "root.pem 644",
    ]);
    const text = await Deno.readTextFile(join(folder, "ca", "1", "root.key"));
    assert.match(text, /^-----BEGIN PRIVATE KEY-----\n/);
    await assert.rejects(crypto.subtle.exportKey("pkcs8", authority.intermediate.key));
  }));

Deno.test("root and intermediate hold exactly what S4 and invariant 9 say", () =>
  inFolder(async (folder) => {
    const authority = await open(folder);
    const root = new X509Certificate(new Uint8Array(authority.root.der));
    const intermediate = new X509Certificate(new Uint8Array(authority.intermediate.der));
    assert.equal(root.subject, "CN=JumpCloud Production Device Identification Root CA");
    assert.equal(root.issuer, root.subject);
    assert.equal(intermediate.subject, "CN=device-trust.intermediate");
    assert.equal(intermediate.issuer, root.subject);
    assert.equal(root.notBefore.toISOString(), "2026-03-01T11:00:00.000Z");
    assert.equal(root.notAfter.toISOString(), "2046-03-01T12:00:00.000Z");
    assert.equal(intermediate.notAfter.toISOString(), "2036-03-01T00:00:00.000Z");
    for (const { serialNumber } of [root, intermediate]) assert.match(serialNumber, /^.{32}$/);
    assert.deepEqual(Array.from(root.extensions, oidAndCritical), [
      "2.5.29.19!",
      "2.5.29.15!",
      "2.5.29.14",
      "2.5.29.35",
    ]);
    assert.deepEqual(Array.from(intermediate.extensions, oidAndCritical), [
      ...Array.from(root.extensions, oidAndCritical),
      "2.5.29.37",
    ]);
  }));

testWith(
  ["openssl"],
  "openssl reads root and intermediate as they are meant",
  () =>
    inFolder(async (folder) => {
      await open(folder);
      const text = (name: string) =>
        ask("openssl", ["x509", "-in", join(folder, "1", name), "-noout", "-text"]).text;
      assert.match(text("root.pem"), /Basic Constraints: critical\s+CA:TRUE\n/);
      assert.match(text("root.pem"), /Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
      assert.match(text("intermediate.pem"), /CA:TRUE, pathlen:0\n/);
      assert.match(text("intermediate.pem"), /Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
      assert.match(
        text("intermediate.pem"),
        /Extended Key Usage: \s+TLS Web Client Authentication\n/,
      );
      assert.match(text("intermediate.pem"), /NIST CURVE: P-256/);
    }),
);

Deno.test("another brand than the authority was made with is refused by its own error", () =>
  inFolder(async (folder) => {
    await open(folder, "Acme1");
    await assert.rejects(open(folder, "Acme2"), code("brand-mismatch"));
    await assert.rejects(open(folder, "JumpCloud"), code("brand-mismatch"));
    for (const brand of ["", "a b", "x".repeat(33), "../x", "CN=x"]) {
      await assert.rejects(open(folder, brand), code("brand"), brand);
    }
    await open(folder, "Acme1");
  }));

Deno.test("without a brand it is the authority's own, and for a new one the default", () =>
  inFolder(async (folder) => {
    const acme = join(folder, "acme");
    await open(acme, "Acme1");
    assert.equal((await openAuthority(acme, { now: NOW })).brand, "Acme1");
    const fresh = await openAuthority(join(folder, "fresh"), { now: NOW });
    assert.equal(fresh.brand, "JumpCloud");
  }));

Deno.test("files that do not belong together are refused, and never replaced", async (t) => {
  const damages: [string, (ours: string, theirs: string) => Promise<void>][] = [
    ["another's intermediate key", (a, b) => copy(b, a, "intermediate.key")],
    ["another's intermediate", (a, b) => copy(b, a, "intermediate.pem")],
    ["another's root", (a, b) => copy(b, a, "root.pem")],
    ["a missing key", (a) => Deno.remove(join(a, "1", "intermediate.key"))],
    ["an empty key", (a) => Deno.writeTextFile(join(a, "1", "intermediate.key"), "")],
    ["garbage", (a) => Deno.writeTextFile(join(a, "1", "intermediate.pem"), "garbage")],
    [
      "a key of another kind",
      (a) =>
        Deno.writeTextFile(
          join(a, "1", "intermediate.key"),
          "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ),
    ],
  ];
  for (const [name, damage] of damages) {
    await t.step(name, () =>
      inFolder(async (folder) => {
        const [ours, theirs] = [join(folder, "ours"), join(folder, "theirs")];
        await open(ours);
        await open(theirs);
        await damage(ours, theirs);
        const before = await contents(ours);
        await assert.rejects(open(ours), code("damaged"));
        assert.deepEqual(await contents(ours), before);
      }));
  }
});

Deno.test("what the file system says is passed on, for it is no damage", () =>
  inFolder(async (folder) => {
    await open(folder);
    const path = join(folder, "1", "root.pem");
    await Deno.remove(path);
    await Deno.mkdir(path);
    await assert.rejects(open(folder), (error) => !(error instanceof AuthorityError));
  }));

Deno.test("what a crash left half-made is swept and never used", () =>
  inFolder(async (folder) => {
    const remnant = join(folder, ".1.new-crashed");
    await Deno.mkdir(remnant);
    await Deno.writeTextFile(join(remnant, "root.key"), "half");
    const authority = await open(folder);
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["1"]);
    assert.equal((await open(folder)).root.pem, authority.root.pem);
  }));

Deno.test("many that open at once all get the same authority", () =>
  inFolder(async (folder) => {
    const all: Authority[] = await Promise.all(Array.from({ length: 8 }, () => open(folder)));
    assert.equal(new Set(all.map(({ root }) => root.pem)).size, 1);
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["1"]);
  }));

Deno.test("a folder that cannot be written is the file system's error and leaves nothing", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "file"), "");
    await assert.rejects(open(join(folder, "file")), (error) => !(error instanceof AuthorityError));
  }));

Deno.test("kill -9 at any instant leaves a whole authority or none", () =>
  inFolder(async (folder) => {
    const script = join(folder, "open.ts");
    await Deno.writeTextFile(
      script,
      `import { openAuthority } from ${JSON.stringify(import.meta.resolve("./authority.ts"))};
      for (let i = 0; ; i++) {
        await openAuthority(Deno.args[0] + "/" + i, { brand: "JumpCloud", now: new Date() });
        console.log(i);
      }`,
    );
    const config = new URL("../deno.json", import.meta.url).pathname;
    for (let round = 0; round < 5; round++) {
      const data = join(folder, `data-${round}`);
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--config", config, script, data],
        stdout: "piped",
        stderr: "null",
      }).spawn();
      const reader = child.stdout.getReader();
      await reader.read();
      // Making one takes about 20 ms: each round strikes another part of it.
      await new Promise((resolve) => setTimeout(resolve, round * 4));
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
      const made = [...Deno.readDirSync(data)];
      assert.ok(made.length > 0, "the child had begun");
      for (const { name } of made) await open(join(data, name));
    }
  }));

function oidAndCritical(extension: Extension): string {
  return extension.type + (extension.critical ? "!" : "");
}

async function copy(from: string, to: string, name: string): Promise<void> {
  await Deno.copyFile(join(from, "1", name), join(to, "1", name));
}

async function contents(folder: string): Promise<string[]> {
  const names = [...Deno.readDirSync(join(folder, "1"))].map(({ name }) => name).sort();
  return await Promise.all(
    names.map(async (name) => name + await Deno.readTextFile(join(folder, "1", name))),
  );
}
