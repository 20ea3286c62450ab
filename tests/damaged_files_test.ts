/**
 * Files of ours that are damaged, removed, or of a newer version; a store that its user removed: what
 * the agent makes of it by itself, what it says that a person must do, and that nobody else's
 * certificate is lost over it.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Ledger } from "../agent/ledger.ts";
import { ledgerPath } from "../agent/ledger_file.ts";
import { userPaths } from "../platform/paths.ts";
import { expectEmpty, expectServed, plantOthers, type SeenDevice } from "./converged_device.ts";
import { databaseOf, homeOf, makeDeviceRoot } from "./device_root.ts";
import { type DistortedServer, withDistortedServer } from "./distorted_server.ts";
import { type CertutilState, certutilTrust, NSS_WITNESSES, run } from "./nss_witness.ts";
import {
  type Administration,
  driveDevice,
  type Outcome,
  programFromSource,
  runProgram,
} from "./product.ts";
import { testWith } from "./skip.ts";

const ALICE = ["alice"];

/** A device whose user has a leaf, and things of somebody else's beside it. */
class Device implements SeenDevice {
  deviceId = "";
  planted?: CertutilState;
  readonly server: Administration;
  readonly #program;

  constructor(readonly root: string, private readonly at: DistortedServer) {
    this.server = at.administrator;
    this.#program = programFromSource(root);
  }

  /** Where the agent's state is. */
  get state(): string {
    return `${this.root}/var/lib/device-trust/state.db`;
  }

  /** Where alice's ledger is. */
  get ledger(): string {
    return ledgerPath(userPaths({ os: "linux", home: homeOf(this.root, "alice") }));
  }

  /** Enrols it, plants the others' things and has the leaf installed. */
  async install(): Promise<void> {
    await makeDeviceRoot(this.root, ALICE);
    await plantOthers(this, "alice");
    this.deviceId = await driveDevice(this.#program).enroll(this.at);
    const user = await this.server.admin("POST", "/users", { email: `${this.deviceId}@x.org` });
    const path = `/devices/${this.deviceId}/users/${Object(user).userId}`;
    await this.server.admin("PUT", path, { username: "alice" });
    await this.round();
  }

  /** Enrols it; gives the deviceId. */
  async enroll(): Promise<string> {
    return await driveDevice(this.#program).enroll(this.at);
  }

  async run(...args: string[]): Promise<Outcome> {
    return await runProgram(this.#program, args);
  }

  /** Distribution goes OFF: everything of ours goes, nothing of anybody else's. */
  async switchOff(): Promise<void> {
    await this.server.distribute(false);
    await this.round();
    await expectEmpty(this, ALICE);
  }

  /** One round of the agent, which ends well. */
  async round(): Promise<Outcome> {
    const outcome = await this.run("agent", "--once");
    assert.equal(outcome.code, 0, outcome.err);
    return outcome;
  }
}

/** What may happen to a database. */
const DAMAGES: Record<string, (path: string) => void> = {
  "has garbage in its middle": (path) =>
    rewrite(path, (bytes) => {
      const page = 4096;
      return bytes.slice().fill(0xa5, page * Math.floor(bytes.length / page / 2), -page);
    }),
  "has garbage everywhere": (path) => rewrite(path, (bytes) => bytes.slice().fill(0xa5)),
  "was cut in half": (path) => rewrite(path, (bytes) => bytes.slice(0, bytes.length / 2)),
};

/** What makes it a new one. */
const LOSSES: Record<string, (path: string) => void> = {
  "is empty": (path) => Deno.truncateSync(path, 0),
  "was removed": (path) => Deno.removeSync(path),
};

function rewrite(path: string, change: (bytes: Uint8Array) => Uint8Array): void {
  Deno.writeFileSync(path, change(Deno.readFileSync(path)));
}

for (const [what, damage] of Object.entries({ ...DAMAGES, ...LOSSES })) {
  const isDamage = what in DAMAGES;

  testWith(NSS_WITNESSES, `a state file that ${what} costs nobody a certificate`, async () => {
    await withInstalled(async (device, serials) => {
      damage(device.state);
      if (isDamage) {
        const { code, err } = await device.run("status");
        assert.equal(code, 1, err);
        assert.match(err, /state\.db' is damaged \(.*systemctl restart device-trust/);
      }
      const { code, err } = await device.run("agent", "--once");
      if (code === 3) {
        const told = await device.run("status");
        assert.equal(told.code, 3);
        const words = isDamage
          ? /state was damaged; it is at .*\.corrupt-\w+ now\. Enrol .* stays the same: device-trust/
          : /^This device is not enrolled\. Enrol it: /;
        assert.match(told.out, words);
        assert.equal(await device.enroll(), device.deviceId, "it stays the same device");
        await device.round();
      } else assert.equal(code, 0, err);
      const { out } = await device.run("status");
      assert.doesNotMatch(out, /problem/);
      assert.deepEqual(await expectServed(device, ALICE), serials);
      await device.switchOff();
    });
  });

  testWith(NSS_WITNESSES, `a ledger that ${what} is written anew from the store`, async (t) => {
    for (const wanted of [true, false]) {
      await t.step(wanted ? "while a leaf is wanted" : "when none is wanted any more", async () => {
        await withInstalled(async (device, serials) => {
          damage(device.ledger);
          if (wanted) {
            await device.round();
            assert.deepEqual(await expectServed(device, ALICE), serials);
          }
          await device.switchOff();
          assert.equal((await device.run("unenroll")).code, 0);
          assert.equal(
            existsSync(dirname(device.ledger)),
            false,
            "what was set aside is gone, too",
          );
        });
      });
    }
  });
}

testWith(NSS_WITNESSES, "files of a newer version are refused and stay as they are", async () => {
  await withInstalled(async (device, serials) => {
    for (const path of [device.state, device.ledger]) {
      const before = Deno.readFileSync(path);
      setVersion(path, 1000);
      const newer = Deno.readFileSync(path);
      const words = /its version is 1000 and this program knows .* Install the newer/;
      const commands = path === device.state ? ["agent --once", "status", "unenroll", "renew"] : [];
      for (const command of commands) {
        const { code, err } = await device.run(...command.split(" "));
        assert.equal(code, 1, command);
        assert.match(err, words);
      }
      if (path === device.ledger) {
        assert.equal((await device.run("agent", "--once")).code, 4);
        const { code, out } = await device.run("status");
        assert.equal(code, 4);
        assert.match(out.replace(/\s+/g, " "), words);
      }
      assert.deepEqual(Deno.readFileSync(path), newer);
      Deno.writeFileSync(path, before);
    }
    await device.round();
    assert.deepEqual(await expectServed(device, ALICE), serials);
  });
});

testWith(NSS_WITNESSES, "ledger and store that disagree come to agree", async (t) => {
  await withInstalled(async (device, serials) => {
    await t.step("the ledger names what is not in the store", async () => {
      writeLedger(device, (ledger) => {
        ledger.recordKey("ab".repeat(32), new Uint8Array([1]), "P-256");
        ledger.recordCertificate({
          sha256: "cd".repeat(32),
          role: "leaf",
          serial: "01",
          commonName: "X",
        });
      });
      await device.round();
      assert.deepEqual(await expectServed(device, ALICE), serials);
    });
    await t.step("the store has what the ledger does not name", async () => {
      writeLedger(device, (ledger) => {
        for (const { sha256 } of ledger.certificates()) ledger.forgetCertificate(sha256);
        for (const key of ledger.keys()) ledger.forgetKey(key);
      });
      await device.round();
      assert.deepEqual(await expectServed(device, ALICE), serials);
    });
    await t.step(
      "the user removed the leaf and left its key, which gets the same leaf",
      async () => {
        const directory = databaseOf(device.root, "alice");
        const names = Object.keys(certutilTrust(directory));
        const leaf = names.find((name) => name.includes("Device Trust Certificate")) ?? "";
        run("certutil", "-D", "-d", `sql:${directory}`, "-n", leaf);
        await device.round();
        assert.deepEqual(await expectServed(device, ALICE), serials);
      },
    );
    await t.step("the user removed the whole store", async () => {
      Deno.removeSync(dirname(databaseOf(device.root, "alice")), { recursive: true });
      delete device.planted;
      await device.round();
      assert.notDeepEqual(await expectServed(device, ALICE), serials);
    });
    await device.switchOff();
  });
});

/** Runs a test with such a device, installed, and the serials of its leaves. */
async function withInstalled(
  test: (device: Device, serials: string[]) => Promise<void>,
): Promise<void> {
  await withDistortedServer(async (server, folder) => {
    const device = new Device(`${folder}/device`, server);
    await device.install();
    await test(device, await expectServed(device, ALICE));
  });
}

function writeLedger({ ledger: path }: Device, write: (ledger: Ledger) => void): void {
  const ledger = new Ledger(path, Date.now);
  try {
    write(ledger);
  } finally {
    ledger.close();
  }
}

function setVersion(path: string, version: number): void {
  using database = new DatabaseSync(path);
  database.exec(`PRAGMA user_version = ${version}`);
}
