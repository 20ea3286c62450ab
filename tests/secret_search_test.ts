/** That a secret which gets out is seen: what tests/secrets_test.ts relies on. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { inPassableFolder } from "./device_root.ts";
import { until } from "./until.ts";
import { SecretRun } from "./secret_run.ts";
import { Evidence, secretKey, secretText } from "./secret_search.ts";

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const PEM = String(privateKey.export({ type: "pkcs8", format: "pem" }));
const PKCS8 = new Uint8Array(privateKey.export({ type: "pkcs8", format: "der" }));
const KEY = secretKey("key", PEM);

const FORMS: Record<string, Uint8Array | string> = {
  "PKCS#8": PKCS8,
  "SEC1": new Uint8Array(privateKey.export({ type: "sec1", format: "der" })),
  "PEM": PEM,
  "PEM of SEC1": String(privateKey.export({ type: "sec1", format: "pem" })),
  "PEM in JSON": JSON.stringify({ message: `Cannot read ${PEM}` }),
  "PEM in JSON in JSON": JSON.stringify(JSON.stringify({ PEM })),
  "JWK": JSON.stringify(privateKey.export({ format: "jwk" })),
  "hexadecimal": PKCS8.toHex(),
  "upper-case hexadecimal": PKCS8.toHex().toUpperCase(),
  "openssl's text": PKCS8.toHex().replace(/../g, "$&:").replace(/.{45}/g, "$&\n    "),
  "base64 of a text before it": Buffer.concat([Buffer.from("a"), PKCS8]).toString("base64"),
  "base64url of a text before it": Buffer.concat([Buffer.from("ab"), PKCS8]).toString("base64url"),
  "its bytes in JSON": JSON.stringify(PKCS8),
  "its bytes in a list": JSON.stringify([...PKCS8], null, 2),
};

for (const [form, content] of Object.entries(FORMS)) {
  Deno.test(`a private key is seen as ${form}`, () => {
    const evidence = new Evidence();
    evidence.add("nothing", "nothing");
    evidence.add("place", content);
    assert.deepEqual(evidence.find([KEY]).get("key")?.map(({ place }) => place), ["place"]);
  });
}

Deno.test("an RSA key is seen by any of its primes", () => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const { q = "" } = privateKey.export({ format: "jwk" });
  const evidence = new Evidence();
  evidence.add("place", Buffer.from(q, "base64url").toString("hex"));
  const pem = String(privateKey.export({ type: "pkcs8", format: "pem" }));
  assert.equal(evidence.find([secretKey("key", pem)]).get("key")?.length, 1);
});

Deno.test("what was overwritten or removed was seen all the same", () => {
  const evidence = new Evidence();
  for (const content of ["a token", "another thing", ""]) evidence.add("place", content);
  assert.equal(evidence.find([secretText("token", "token")]).get("token")?.length, 1);
});

const LEAKS: Record<string, (run: SecretRun, secret: string) => Promise<void>> = {
  "an argument": (run, secret) =>
    runUntilSeen(run, ["sh", "-c", "read line", secret], "argv of sh"),
  "an environment variable": (run, secret) =>
    runUntilSeen(run, ["cat"], "environment of cat", { env: { X: secret } }),
  "the environment of a child's child": (run, secret) =>
    runUntilSeen(run, ["sh", "-c", 'read line; X="$line" cat'], "environment of cat", {
      input: `${secret}\n`,
    }),
  "a log line": async (run, secret) => {
    const program = ["/bin/sh", "-c", 'echo "{\\"reason\\":\\"$(cat)\\"}" >&2', "log"] as const;
    await run.command(program, [], secret);
  },
  "a file": async (run, secret) => {
    await Deno.mkdir(run.path("device/etc"), { recursive: true });
    await Deno.writeTextFile(run.path("device/etc/file"), btoa(`${secret}.`));
  },
  "a temporary file that goes again": async (run, secret) => {
    const path = run.path("tmp/file");
    await Deno.writeTextFile(path, secret);
    await until("it was seen", () => run.evidence.places().includes("tmp/file"));
    await Deno.remove(path);
  },
  "a row that SQLite has in its log": async (run, secret) => {
    await Deno.mkdir(run.path("device"), { recursive: true });
    const database = new DatabaseSync(run.path("device/state.db"));
    database.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (text)");
    database.prepare("INSERT INTO t VALUES (?)").run(secret);
    await until("it was seen", () => run.evidence.places().includes("device/state.db-wal"));
    database.close();
  },
};

for (const [where, leak] of Object.entries(LEAKS)) {
  Deno.test(`a secret in ${where} is seen, and told of without being told`, async () => {
    await inPassableFolder(async (folder) => {
      await using run = new SecretRun(folder, ["device"]);
      const secret = `secret-${crypto.randomUUID()}`;
      run.keep(secretText("the token", secret));
      await leak(run, secret);
      await assert.rejects(run.expectSecretsInPlace(), (error) => {
        assert.match(String(error), /secrets were seen[\s\S]*the token/);
        assert.ok(!Deno.inspect(error, { depth: 10 }).includes(secret));
        return true;
      });
    });
  });
}

Deno.test("a secret in its own file is in place, and missed where it is not", async () => {
  await inPassableFolder(async (folder) => {
    await Deno.mkdir(`${folder}/device`);
    const secret = secretText("the token", crypto.randomUUID());
    {
      await using run = new SecretRun(folder, ["device"]);
      run.keep(secret, "device/token");
      await assert.rejects(run.expectSecretsInPlace(), /the token is not in device\/token/);
    }
    await Deno.writeFile(`${folder}/device/token`, secret.parts[0] ?? new Uint8Array());
    for (const name of ["log", "tmp"]) await Deno.remove(`${folder}/${name}`, { recursive: true });
    await using run = new SecretRun(folder, ["device"]);
    run.keep(secret, "device/token");
    await run.expectSecretsInPlace();
  });
});

/** Runs a program that waits for the end of its input, until something of it was seen. */
async function runUntilSeen(
  run: SecretRun,
  [program, ...args]: readonly [string, ...string[]],
  place: string,
  { env = {}, input = "" }: { env?: Record<string, string>; input?: string } = {},
): Promise<void> {
  const child = new Deno.Command(program, { args, env, stdin: "piped", stdout: "null" }).spawn();
  const writer = child.stdin.getWriter();
  try {
    await writer.write(new TextEncoder().encode(input));
    await until(`${place} was seen`, () => run.evidence.places().includes(place));
  } finally {
    await writer.close();
    await child.status;
  }
}
