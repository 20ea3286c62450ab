/** `doctor --bundle`: what is in the bundle, and that no secret is, on devices in every state. */
import assert from "node:assert/strict";
import { createDeviceKey } from "../agent/new_device_key.ts";
import { State } from "../agent/state.ts";
import { ensureRootOwnedDir } from "../platform/files.ts";
import { inPassableFolder, makeDeviceRoot } from "./device_root.ts";
import { type Outcome, programFromSource, runProgram } from "./product.ts";
import { ANY_KEY, Evidence, type Secret, secretKey, secretText } from "./secret_search.ts";

const DEVICE = {
  deviceId: "11111111-1111-4111-8111-111111111111",
  // Nobody listens there.
  server: "https://localhost:1",
  publicUrl: "https://localhost:1",
  leaving: false,
};

const PARTS = ["README.txt", "config.json", "doctor.json", "doctor.txt", "events.json", "log.txt"]
  .concat("policies.txt", "status.json", "status.txt", "versions.txt");

/** A device with secrets in every place that it may have some. */
class SecretDevice {
  readonly root: string;
  readonly secrets: Secret[] = [ANY_KEY];
  readonly env: Record<string, string> = {};

  constructor(readonly folder: string) {
    this.root = `${folder}/device`;
  }

  get stateDir(): string {
    return `${this.root}/var/lib/device-trust`;
  }

  get configFile(): string {
    return `${this.root}/etc/device-trust/config.json`;
  }

  async make(): Promise<this> {
    await makeDeviceRoot(this.root, []);
    const { root } = this;
    for (
      const path of [this.stateDir, `${root}/var/log/device-trust`, `${root}/etc/device-trust`]
    ) {
      ensureRootOwnedDir(path, { mode: 0o700, root });
    }
    const connectKey = this.#secret("connect key");
    const password = this.#secret("proxy password");
    const connectKeyFile = `${root}/etc/device-trust/connect-key`;
    await Deno.writeTextFile(connectKeyFile, `${connectKey}\n`);
    // Of a proxy that is not there, too, so that what is said of it is seen.
    const proxy = `http://operator:${password}%40x@127.0.0.1:1`;
    await Deno.writeTextFile(this.configFile, JSON.stringify({ proxy, connectKeyFile }));

    await createDeviceKey(`${this.stateDir}/device.key`);
    const pem = await Deno.readTextFile(`${this.stateDir}/device.key`);
    this.secrets.push(secretKey("device key", pem));
    this.env.DEVICE_TRUST_TOKEN = this.#secret("token in the environment");
    this.env.HTTPS_PROXY = `http://env:${this.#secret("password in the environment")}@127.0.0.1:1`;

    // What no version of the agent writes, as if one had.
    const log = `proxy ${proxy}\nkey ${connectKey}\n${pem}${
      JSON.stringify({ pem })
    }\nthe log's end\n`;
    await Deno.writeTextFile(`${root}/var/log/device-trust/agent.log`, log);
    this.#withState((state) => {
      state.saveDevice(DEVICE);
      state.recordEvent("server.failed", `No way through ${proxy} with ${connectKey}.`);
      state.recordEvent("device.enrolled", DEVICE.deviceId);
    });
    const managed = `${root}/etc/opt/chrome/policies/managed`;
    ensureRootOwnedDir(managed, { mode: 0o755, root });
    const theirs = JSON.stringify({ ProxyServer: this.#secret("another product's policy") });
    await Deno.writeTextFile(`${managed}/corp.json`, theirs);
    await Deno.writeTextFile(`${managed}/JumpCloudCertificateAutoselect.json`, OURS);
    return this;
  }

  /** `doctor --bundle`, in an environment with secrets. */
  bundle(path = `${this.folder}/support.tar.gz`): Promise<Outcome> {
    const env = Object.entries(this.env).map(([name, value]) => `${name}=${value}`);
    const program = programFromSource(this.root);
    return runProgram(["/usr/bin/env", ...env, ...program], ["doctor", "--bundle", path]);
  }

  /** The bundle's texts by name, unpacked by tar(1). No secret is in them, nor in the outcome. */
  async unpack({ out, err }: Outcome): Promise<Record<string, string>> {
    const path = `${this.folder}/support.tar.gz`;
    assert.equal((Deno.statSync(path).mode ?? 0) & 0o777, 0o600);
    const { code, stderr } = await new Deno.Command("tar", {
      args: ["-xzf", path, "-C", this.folder],
    }).output();
    assert.deepEqual([code, new TextDecoder().decode(stderr)], [0, ""]);
    const evidence = new Evidence();
    evidence.add("standard output", out);
    evidence.add("standard error", err);
    const texts: Record<string, string> = {};
    for (const { name } of Deno.readDirSync(`${this.folder}/support`)) {
      const file = `${this.folder}/support/${name}`;
      assert.equal((Deno.statSync(file).mode ?? 0) & 0o777, 0o600);
      texts[name] = await Deno.readTextFile(file);
      evidence.add(name, texts[name]);
    }
    for (const [name, sightings] of evidence.find(this.secrets)) {
      assert.deepEqual(sightings, [], name);
    }
    assert.deepEqual(Object.keys(texts).sort(), PARTS);
    return texts;
  }

  #withState(use: (state: State) => void): void {
    const state = new State(`${this.stateDir}/state.db`, Date.now);
    use(state);
    state.close();
  }

  #secret(name: string): string {
    const text = `hush-${crypto.randomUUID()}`;
    this.secrets.push(secretText(name, text));
    return text;
  }
}

const FILTER = {
  pattern: "https://portal.test",
  filter: { ISSUER: { CN: "device-trust.intermediate" } },
};
const OURS = JSON.stringify({ AutoSelectCertificateForUrls: [JSON.stringify(FILTER)] });

function withSecretDevice(test: (device: SecretDevice) => Promise<void>): Promise<void> {
  return inPassableFolder(async (folder) => test(await new SecretDevice(folder).make()));
}

Deno.test("a bundle tells all that is known of a device whose agent is stopped, and no secret", () =>
  withSecretDevice(async (device) => {
    const outcome = await device.bundle();
    assert.equal(outcome.code, 4, "as doctor without a bundle");
    assert.match(outcome.out, /FAIL {2}agent: /);
    const texts = await device.unpack(outcome);
    assert.equal(texts["doctor.txt"], outcome.out);
    assert.equal(JSON.parse(texts["status.json"] ?? "").device.id, DEVICE.deviceId);
    assert.match(texts["status.txt"] ?? "", /^agent +not running/m);
    const { events } = JSON.parse(texts["events.json"] ?? "");
    assert.deepEqual(events.map(({ type }: { type: string }) => type), [
      "server.failed",
      "device.enrolled",
    ]);
    assert.match(texts["versions.txt"] ?? "", /^device-trust \d.*\ndeno \d.*\nsystem .+\nkernel /);
    const { proxy, connectKeyFile } = JSON.parse(texts["config.json"] ?? "");
    assert.equal(proxy, "http://[removed]@127.0.0.1:1");
    assert.match(connectKeyFile, /connect-key$/, "the name, not what is in it");
    assert.match(texts["log.txt"] ?? "", /the log's end\n/);
    const policies = texts["policies.txt"] ?? "";
    assert.match(policies, /\/managed\/corp\.json \(not of device-trust\)\n/);
    assert.match(policies, /Autoselect\.json\n {2}\{"AutoSelectCertificateForUrls".*portal\.test/);
  }));

Deno.test("a device that is not enrolled has a bundle, too", () =>
  withSecretDevice(async (device) => {
    await Deno.remove(device.stateDir, { recursive: true });
    const outcome = await device.bundle();
    assert.equal(outcome.code, 3);
    const texts = await device.unpack(outcome);
    assert.match(texts["doctor.txt"] ?? "", /FAIL {2}enrolled: this device is not enrolled/);
    assert.deepEqual(JSON.parse(texts["events.json"] ?? ""), { events: [] });
  }));

Deno.test("what is broken is named where it is missing, and the rest is there", () =>
  withSecretDevice(async (device) => {
    for (const name of ["state.db", "state.db-wal", "state.db-shm"]) {
      await Deno.remove(`${device.stateDir}/${name}`).catch(() => {
        // SQLite leaves these only now and then.
      });
    }
    await Deno.writeTextFile(`${device.stateDir}/state.db`, "This is no database. ".repeat(100));
    const outcome = await device.bundle();
    assert.equal(outcome.code, 1);
    assert.match(outcome.err, /file is not a database/);
    const texts = await device.unpack(outcome);
    for (const name of ["doctor.txt", "doctor.json", "status.txt", "status.json", "events.json"]) {
      assert.match(texts[name] ?? "", /^This could not be had: .*not a database/, name);
    }
    assert.match(texts["log.txt"] ?? "", /the log's end\n/);
  }));

Deno.test("a configuration that is no JSON is not quoted", () =>
  withSecretDevice(async (device) => {
    // What was written there can be told from secrets by the configuration alone.
    for (const folder of [device.stateDir, `${device.root}/var/log`]) {
      await Deno.remove(folder, { recursive: true });
    }
    const text = await Deno.readTextFile(device.configFile);
    await Deno.writeTextFile(device.configFile, text.replace('{"proxy":', '{"proxy"'));
    const texts = await device.unpack(await device.bundle());
    assert.match(texts["config.json"] ?? "", /could not be had: Cannot use .* it is not JSON/);
    assert.match(texts["doctor.txt"] ?? "", /FAIL {2}config: /);
  }));

Deno.test("a file that is there already is left as it is, also a link to nowhere", () =>
  withSecretDevice(async (device) => {
    const file = `${device.folder}/mine`;
    await Deno.writeTextFile(file, "mine");
    await Deno.symlink(`${device.folder}/nowhere`, `${device.folder}/link`);
    for (const path of [file, `${device.folder}/link`, device.folder]) {
      const { code, out, err } = await device.bundle(path);
      assert.deepEqual([code, out], [1, ""]);
      assert.match(err, /is there already\. Name a new file\./);
    }
    const nowhere = await device.bundle(`${device.folder}/no/such/folder/b.tar.gz`);
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.err, /no\/such\/folder/);
    assert.equal(await Deno.readTextFile(file), "mine");
    assert.deepEqual([...Deno.readDirSync(device.folder)].map(({ name }) => name).sort(), [
      "device",
      "link",
      "mine",
    ]);
  }));
