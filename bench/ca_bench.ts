/**
 * What the authority costs, beside openssl started for every leaf and cfssl as a server. The HTTP
 * rows are driven by wrk, eight connections, so that no client of ours slows either of them.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createCsr } from "../agent/csr.ts";
import { type Authority, openAuthority } from "../ca/authority.ts";
import { checkCsr } from "../ca/csr.ts";
import { issueLeaf } from "../ca/issue.ts";
import { signCrl } from "../ca/revoke.ts";
import { newSerial } from "../ca/sign.ts";
import { type Bench, type BenchOptions, type Row, time } from "./measure.ts";

const SERVER = fileURLToPath(new URL("./ca_server.ts", import.meta.url));

/** Leaves, requests, revocation lists. */
export const bench: Bench = {
  title: "The certificate authority",
  async measure(options) {
    const folder = await Deno.makeTempDir({ prefix: "bench-ca-" });
    try {
      const authority = await openAuthority(folder, { brand: "JumpCloud", now: new Date() });
      const csr = await newRequest();
      await Deno.writeTextFile(join(folder, "request.pem"), csr);
      return [
        ...await inProcess(authority, csr, options),
        ...await beside("openssl", options, () => opensslLeaves(folder, options)),
        ...await beside("wrk", options, () => ourServer(folder, csr, options)),
        ...await beside(
          "wrk",
          options,
          () => beside("cfssl", options, () => cfsslServer(folder, csr, options)),
        ),
      ];
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
};

async function newRequest(): Promise<string> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const { publicKey, privateKey } = await crypto.subtle.generateKey(algorithm, true, [
    "sign",
    "verify",
  ]);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", publicKey));
  return await createCsr(
    spki,
    "P-256",
    async (message) =>
      new Uint8Array(await crypto.subtle.sign(algorithm, privateKey, message.slice())),
  );
}

async function inProcess(
  authority: Authority,
  csr: string,
  { times }: BenchOptions,
): Promise<Row[]> {
  const { spki } = await checkCsr(csr);
  const issue = () =>
    issueLeaf(authority, {
      spki,
      deviceId: crypto.randomUUID(),
      userId: crypto.randomUUID(),
      nameSuffix: "00c0ffee",
      crlUrl: "https://agent.example/v1/crl",
      now: new Date(),
      ttlSeconds: 30 * 86_400,
    });
  await time(times(200), issue);
  const message = new Uint8Array(500);
  const sign = () =>
    crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, authority.intermediate.key, message);
  const now = new Date();
  const entries = Array.from({ length: 10_000 }, () => ({
    serial: newSerial(),
    revokedAt: now,
    reason: "superseded" as const,
  }));
  const list = { entries, number: 1, thisUpdate: now, nextUpdate: new Date(now.getTime() + 1000) };
  const leaves = await time(times(1000), issue);
  return [
    { what: "CA: issue a leaf", samples: leaves, unit: "ms" },
    { what: "of it: the ECDSA signature", samples: await time(times(1000), sign), unit: "ms" },
    {
      what: "CA: check a request",
      samples: await time(times(500), () => checkCsr(csr)),
      unit: "ms",
    },
    {
      what: "CA: a list of 10,000 revoked",
      samples: await time(times(10), () => signCrl(authority, list)),
      unit: "ms",
    },
    { what: "leaves, in process, one by one", samples: [perSecond(leaves)], unit: "1/s" },
  ];
}

async function opensslLeaves(folder: string, { times }: BenchOptions): Promise<Row[]> {
  const generation = join(folder, "1");
  const extensions = join(folder, "extensions");
  await Deno.writeTextFile(
    extensions,
    "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n" +
      "extendedKeyUsage=clientAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n" +
      "subjectAltName=URI:urn:device-trust:x:y\n" +
      "crlDistributionPoints=URI:https://agent.example/v1/crl\n",
  );
  const args = ["x509", "-req", "-in", join(folder, "request.pem"), "-days", "30"]
    .concat("-CA", join(generation, "intermediate.pem"))
    .concat("-CAkey", join(generation, "intermediate.key"), "-extfile", extensions);
  const samples = await time(times(100), async () => {
    const command = new Deno.Command("openssl", {
      args: [...args, "-set_serial", `0x${newSerial()}`],
    });
    const { success, stderr } = await command.output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  });
  return [{
    what: "leaves, openssl x509 -req in a loop",
    samples: [perSecond(samples)],
    unit: "1/s",
  }];
}

async function ourServer(folder: string, csr: string, options: BenchOptions): Promise<Row[]> {
  await using server = start(Deno.execPath(), ["run", "-A", "--quiet", SERVER, folder]);
  const port = Number(await server.firstOutput());
  const samples = [await drive(folder, `http://127.0.0.1:${port}/`, csr, options)];
  return [{ what: "leaves over HTTP, ours (request checked)", samples, unit: "1/s" }];
}

async function cfsslServer(folder: string, csr: string, options: BenchOptions): Promise<Row[]> {
  const config = join(folder, "cfssl.json");
  const profile = { expiry: "720h", usages: ["digital signature", "client auth"] };
  await Deno.writeTextFile(config, JSON.stringify({ signing: { default: profile } }));
  const port = freePort();
  await using _server = start(
    "cfssl",
    ["serve", "-address", "127.0.0.1", "-port", `${port}`]
      .concat("-config", config, "-loglevel", "5", "-ca", join(folder, "1", "intermediate.pem"))
      .concat("-ca-key", join(folder, "1", "intermediate.key")),
  );
  const url = `http://127.0.0.1:${port}/api/v1/cfssl/sign`;
  await answers(url);
  const body = JSON.stringify({ certificate_request: csr });
  const samples = [await drive(folder, url, body, options)];
  return [{ what: "leaves over HTTP, cfssl serve", samples, unit: "1/s" }];
}

/** Requests a second that wrk gets answered; any answer but success is an error. */
async function drive(
  folder: string,
  url: string,
  body: string,
  { smoke }: BenchOptions,
): Promise<number> {
  const script = join(folder, "post.lua");
  await Deno.writeTextFile(
    script,
    `wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n` +
      `wrk.body = ${JSON.stringify(body)}\n`,
  );
  const { stdout } = await new Deno.Command("wrk", {
    args: ["-t", "1", "-c", "8", "-d", smoke ? "1s" : "5s", "-s", script, url],
  }).output();
  const text = new TextDecoder().decode(stdout);
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(text)?.[1];
  if (rate === undefined || /Non-2xx|Socket errors/.test(text)) throw new Error(text);
  return Number(rate);
}

/** A program that runs until the scope ends. */
function start(program: string, args: string[]) {
  const child = new Deno.Command(program, { args, stdout: "piped", stderr: "null" }).spawn();
  const reader = child.stdout.getReader();
  return {
    async firstOutput(): Promise<string> {
      const { value } = await reader.read();
      return new TextDecoder().decode(value);
    },
    async [Symbol.asyncDispose](): Promise<void> {
      child.kill("SIGTERM");
      await reader.cancel();
      await child.status;
    },
  };
}

/** Waits, for ten seconds at most, until something answers there. */
async function answers(url: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    try {
      await (await fetch(url)).body?.cancel();
      return;
    } catch (cause) {
      if (performance.now() > deadline) throw new Error(`Nothing answers at ${url}.`, { cause });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** The rows of a program's part, or a line that says why there are none. */
async function beside(
  program: string,
  { progress }: BenchOptions,
  rows: () => Promise<Row[]>,
): Promise<Row[]> {
  try {
    await new Deno.Command(program, { stdout: "null", stderr: "null", args: ["version"] }).output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    progress(`${program} is not installed: no row with it`);
    return [];
  }
  progress(program);
  return await rows();
}

function perSecond(milliseconds: readonly number[]): number {
  const sum = milliseconds.reduce((total, sample) => total + sample, 0);
  return milliseconds.length * 1000 / sum;
}
