/** A run of the product under watch: what must stay where it is, and all that is to be seen. */
import assert from "node:assert/strict";
import { withDatabaseCopy } from "./device_root.ts";
import { run } from "./nss_witness.ts";
import {
  type DrivenDevice,
  type Outcome,
  type Program,
  programFromSource,
  runProgram,
} from "./product.ts";
import { type RunWatch, watchRun, withExecTrace } from "./run_watch.ts";
import { ANY_KEY, Evidence, type Secret, secretKey, type Sighting } from "./secret_search.ts";

/** Where the product's processes put what they put nowhere else. */
const LOG = "log";
const TEMPORARY = "tmp";

/** Files that hold a server's private keys, each its own. */
const SERVER_KEYS = {
  "root key": "ca/1/root.key",
  "intermediate key": "ca/1/intermediate.key",
  "key of the authority of its TLS": "tls/ca/ca.key",
  "TLS key": "tls/server.pem",
};

/** Watches from its start to {@link expectSecretsInPlace}. */
export class SecretRun implements AsyncDisposable {
  readonly evidence = new Evidence();
  readonly #watch: RunWatch;
  readonly #secrets = new Map<Secret, string | undefined>();

  /** @param folders names of folders in `folder`, all that the product may write to */
  constructor(readonly folder: string, folders: readonly string[]) {
    const watched = [...folders, LOG, TEMPORARY].map((name) => [name, this.path(name)]);
    Deno.mkdirSync(this.path(LOG));
    Deno.mkdirSync(this.path(TEMPORARY));
    Deno.chmodSync(this.path(TEMPORARY), 0o777);
    this.#watch = watchRun(this.evidence, Object.fromEntries(watched));
  }

  /** A path in the folder. */
  path(name: string): string {
    return `${this.folder}/${name}`;
  }

  /** The product, its standard error in a file of its own where nobody else reads it. */
  program(name: string, root?: string, standardError?: "to file"): Program {
    const own = ["/usr/bin/env", `TMPDIR=${this.path(TEMPORARY)}`, ...programFromSource(root)];
    const redirected = ["-c", 'exec "$@" 2>>"$0"', this.path(`${LOG}/${name}.log`), ...own];
    const [first = "", ...rest] = standardError ? ["/bin/sh", ...redirected] : own;
    return withExecTrace([first, ...rest], this.path(`${LOG}/${name}.exec`));
  }

  /** Runs a command, and keeps all that it says. */
  async command(program: Program, args: string[], input = ""): Promise<Outcome> {
    const outcome = await runProgram(program, args, input);
    this.evidence.add(`output of ${args[0]}`, outcome.out + outcome.err);
    this.#watch.look();
    return outcome;
  }

  /** Keeps what an agent has logged so far. */
  hear(device: DrivenDevice): void {
    this.evidence.add("log of agent", device.log());
    this.#watch.look();
  }

  /** A secret that may be in this file, and nowhere else; without one, nowhere at all. */
  keep(secret: Secret, file?: string): void {
    this.#secrets.set(secret, file);
  }

  /** Keeps the key in a file, which is there now. */
  async keepKey(name: string, file: string): Promise<void> {
    this.keep(secretKey(`${name} of ${file}`, await Deno.readTextFile(this.path(file))), file);
    assert.equal(((await Deno.stat(this.path(file))).mode ?? 0) & 0o077, 0, file);
  }

  /** Keeps all private keys of a server with its data in this folder. */
  async keepServerKeys(folder: string): Promise<void> {
    for (const [name, file] of Object.entries(SERVER_KEYS)) {
      await this.keepKey(name, `${folder}/${file}`);
    }
  }

  /** Keeps the private keys of the leaves in a user's database; gives how many there are. */
  async keepLeafKeys(directory: string): Promise<number> {
    const keys = await withDatabaseCopy(directory, leafKeys) ?? [];
    for (const pem of keys) this.keep(secretKey(`leaf key ${this.#secrets.size}`, pem));
    return keys.length;
  }

  /** Ends the watch, and fails unless every secret was in its own place and nowhere else. */
  async expectSecretsInPlace(): Promise<void> {
    this.#watch.look();
    await this[Symbol.asyncDispose]();
    const found = this.evidence.find([ANY_KEY, ...this.#secrets.keys()]);
    for (const sightings of found.values()) {
      for (const sighting of sightings) sighting.place = finalPlace(sighting.place);
    }
    const out: Record<string, Sighting[]> = {};
    for (const [{ name }, file] of this.#secrets) {
      const sightings = found.get(name) ?? [];
      // Where a secret may be it was found: so the search finds such a thing.
      if (file) {
        assert.ok(sightings.some(({ place }) => place === file), `${name} is not in ${file}`);
      }
      const elsewhere = sightings.filter(({ place }) => place !== file && !isKeyStore(place));
      if (elsewhere.length > 0) out[name] = elsewhere;
    }
    const keyFiles = new Set(this.#secrets.values());
    const keys = (found.get(ANY_KEY.name) ?? []).filter(({ place }) => !keyFiles.has(place));
    if (keys.length > 0) out[ANY_KEY.name] = keys;
    assert.deepEqual(out, {}, "secrets were seen");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch[Symbol.asyncDispose]();
  }
}

/** A file, or a folder of files, is made beside its place, no less closed, and then renamed. */
function finalPlace(place: string): string {
  return place.replace(/\/\.([^/]+)\.new-[^/]+\//, "/$1/").replace(/\.new$/, "")
    .replace(/(\/var\/lib\/device-trust)\/\.device-trust-[0-9a-f]{16}\.tmp$/, "$1/device.key");
}

/** An NSS database's keys, and SQLite's journal of them. */
function isKeyStore(place: string): boolean {
  return /\/key4\.db(-journal|-wal|-shm)?$/.test(place);
}

/** The private keys of our leaves in a database, PEM, as Mozilla's own tool exports them. */
function leafKeys(directory: string): string[] {
  const names = run("certutil", "-L", "-d", `sql:${directory}`)
    .match(/^.*Device Trust Certificate - [0-9a-f]{8}/gm) ?? [];
  return names.map((name) => {
    const file = `${directory}/leaf.p12`;
    run("pk12util", "-o", file, "-d", `sql:${directory}`, "-n", name, "-W", "export");
    return run(
      "openssl",
      ...["pkcs12", "-in", file, "-nodes", "-nocerts", "-passin", "pass:export"],
    );
  });
}
