/** NSS databases with leaves that openssl made, and TLS servers that ask for them. */
import { fileURLToPath } from "node:url";
import { ChallengeOutcome, type ChallengeRequest } from "../agent/challenge.ts";
import { makeDatabase, run } from "./nss_witness.ts";

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));

/** Kinds of leaf key. */
export type KeyKind = "ec" | "rsa";

/** What a leaf of the fixture is. */
export interface FixtureLeaf {
  key?: KeyKind;
  days?: number;
  /** `clientAuth` by default. */
  usage?: string;
  /** Its issuer: the intermediate by default. */
  issuer?: "intermediate" | "root" | "elsewhere";
}

/** A folder with a device authority, a server authority and databases. */
export class ChallengeFixture implements Disposable {
  readonly folder: string = Deno.makeTempDirSync({ prefix: "challenge-" });
  readonly database: string = `${this.folder}/nssdb`;

  constructor() {
    makeDatabase(this.database);
    this.#selfSign("root", "/CN=Device Root");
    this.#selfSign("elsewhere", "/CN=Somebody Else");
    this.#selfSign("server-ca", "/CN=Server CA");
    this.issue("intermediate", "root", {
      subject: "/CN=device-trust.intermediate",
      extensions: "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign",
    });
    this.issueServer("serverAuth");
    for (const name of ["intermediate", "root"]) {
      const file = this.path(`${name}.pem`);
      run("certutil", "-A", "-d", `sql:${this.database}`, "-n", name, "-t", ",,", "-i", file);
    }
  }

  /** Makes a server's certificate, for this extended key usage. */
  issueServer(usage: string, { name = "server", issuer = "server-ca" } = {}): void {
    this.issue(name, issuer, {
      subject: `/CN=${name}`,
      extensions: "subjectAltName=DNS:localhost,DNS:*.challenge.localhost,IP:127.0.0.1\n" +
        `extendedKeyUsage=${usage}`,
    });
  }

  /** Puts a leaf and its key into the database, by pk12util; returns its SHA-256. */
  addLeaf(name: string, leaf: FixtureLeaf = {}): string {
    const { key = "ec", days = 10, usage = "clientAuth", issuer = "intermediate" } = leaf;
    this.issue(name, issuer, {
      subject: `/CN=${name}`,
      key,
      days,
      extensions: `keyUsage=critical,digitalSignature\nextendedKeyUsage=${usage}`,
    });
    const [pem, p12] = [this.path(`${name}.pem`), this.path(`${name}.p12`)];
    run(
      "openssl",
      ...["pkcs12", "-export", "-inkey", this.path(`${name}.key`), "-in", pem, "-name", name],
      ...["-passout", "pass:x", "-out", p12],
    );
    run("pk12util", "-i", p12, "-d", `sql:${this.database}`, "-W", "x", "-K", "");
    const printed = run("openssl", "x509", "-in", pem, "-noout", "-fingerprint", "-sha256");
    return (printed.split("=")[1] ?? "").trim().replaceAll(":", "").toLowerCase();
  }

  path(name: string): string {
    return `${this.folder}/${name}`;
  }

  read(name: string): string {
    return Deno.readTextFileSync(this.path(name));
  }

  /** Answers a challenge in a process of its own, by this program's own command. */
  async challenge(port: number, request: Partial<ChallengeRequest> = {}) {
    const full: ChallengeRequest = {
      directory: this.database,
      host: "localhost",
      port,
      path: "/",
      serverCa: this.read("server-ca.pem"),
      timeoutMs: 10_000,
      ...request,
    };
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", MAIN, "agent-challenge", JSON.stringify(full)],
    }).output();
    const text = new TextDecoder().decode(stdout);
    if (text === "") throw new Error(new TextDecoder().decode(stderr));
    return ChallengeOutcome.parse(JSON.parse(text));
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }

  #selfSign(name: string, subject: string): void {
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    const files = ["-keyout", this.path(`${name}.key`), "-out", this.path(`${name}.pem`)];
    run("openssl", "req", "-x509", ...key, ...files, "-subj", subject, "-days", "30");
  }

  /** Makes a certificate `NAME.pem` and its key `NAME.key`. */
  issue(
    name: string,
    issuer: string,
    how: { subject: string; extensions: string; key?: KeyKind; days?: number },
  ): void {
    const key = how.key === "rsa"
      ? ["-newkey", "rsa:2048"]
      : ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    const [csr, extensions] = [this.path(`${name}.csr`), this.path(`${name}.ext`)];
    const keyFile = this.path(`${name}.key`);
    run("openssl", "req", ...key, "-nodes", "-keyout", keyFile, "-out", csr, "-subj", how.subject);
    Deno.writeTextFileSync(extensions, how.extensions);
    run(
      "openssl",
      ...["x509", "-req", "-in", csr, "-extfile", extensions, "-days", String(how.days ?? 20)],
      ...["-CA", this.path(`${issuer}.pem`), "-CAkey", this.path(`${issuer}.key`)],
      ...["-out", this.path(`${name}.pem`)],
    );
  }
}

/** A `openssl s_server` that demands a certificate, and what it printed. Disposing ends it. */
export class OpensslServer implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  port = 0;

  private constructor(fixture: ChallengeFixture, args: readonly string[]) {
    this.#child = new Deno.Command("openssl", {
      args: [
        ...["s_server", "-accept", "127.0.0.1:0", "-www", "-naccept", "1"],
        ...["-cert", fixture.path("server.pem"), "-key", fixture.path("server.key")],
        ...args,
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Starts it; resolves once it listens. */
  static async start(fixture: ChallengeFixture, ...args: string[]): Promise<OpensslServer> {
    const server = new OpensslServer(fixture, args);
    for (let text = "";;) {
      const { value, done } = await server.#lines.read();
      if (done) throw new Error(`openssl s_server ended: ${await server.#errors()}`);
      text += value;
      const accept = /ACCEPT \S*:(\d+)/.exec(text);
      if (!accept) continue;
      server.port = Number(accept[1]);
      return server;
    }
  }

  /** What it said of the peer's certificates, once it has served its one connection. */
  async ended(): Promise<string> {
    const errors = await this.#errors();
    await this.#child.status;
    return errors;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await this.#lines.cancel();
    await this.#child.stdin.close();
    if (!this.#child.stderr.locked) await this.#child.stderr.cancel();
    await this.#child.status;
  }

  async #errors(): Promise<string> {
    return await new Response(this.#child.stderr).text();
  }
}
