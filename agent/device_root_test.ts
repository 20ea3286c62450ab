import assert from "node:assert/strict";
import { emptyMemoryStore, openMemoryStore } from "../platform/memory_store.ts";
import { Problem } from "../platform/errors.ts";
import type { TrustStore } from "../platform/trust_store.ts";
import { makeLibraryCa } from "../tests/library_ca.ts";
import { DeviceRoot } from "./device_root.ts";
import { openLog } from "./log.ts";
import { State } from "./state.ts";
import { sha256Hex } from "./verify.ts";

const ca = makeLibraryCa("");

/** A device whose store outlives what works on it. */
class Device {
  readonly state = new State(":memory:", () => 7);
  readonly kept = emptyMemoryStore();
  readonly logged: string[] = [];
  /** What becomes of a store before it is used. */
  spoil: (store: TrustStore) => TrustStore = (store) => store;
  opened = 0;
  readonly #device = { deviceId: "d", publicUrl: "https://a", server: "https://a", leaving: false };

  constructor() {
    this.state.saveUser({
      userId: "u",
      username: "ada",
      state: "removed",
      details: {},
      attempts: 0,
      unreported: false,
      removed: [],
    });
  }

  root(der: Uint8Array): DeviceRoot {
    return new DeviceRoot({
      state: this.state,
      platform: {
        openDeviceStore: () => {
          this.opened++;
          return this.spoil(openMemoryStore(this.kept));
        },
      },
      identity: { device: { ...this.#device, root: pem(der) } },
      log: openLog({ text: true, write: (line) => void this.logged.push(line) }),
    });
  }

  async put(der: Uint8Array): Promise<void> {
    await openMemoryStore(this.kept).install("root", der);
  }

  held(): string[] {
    return [...this.kept.certificates.keys()];
  }

  removed(): unknown {
    return this.state.user("u")?.removed;
  }
}

function pem(der: Uint8Array): string {
  const text = der.toBase64().replace(/.{64}/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;
}

const root = ca.selfSigned("/CN=Root");
const sha256 = await sha256Hex(root);

Deno.test("the root is added once, and removed with a receipt", async () => {
  const device = new Device();
  const work = device.root(root);
  await work.install();
  await work.install();
  assert.equal(device.opened, 1);
  assert.deepEqual(device.held(), [sha256]);
  assert.equal(await device.root(root).remove(), undefined);
  assert.deepEqual(device.held(), []);
  assert.deepEqual(device.removed(), [{ kind: "root", id: sha256 }]);
  assert.equal(await device.root(root).remove(), undefined);
  assert.equal(device.opened, 2);
  // It comes back when it is wanted again, also in the same life.
  await work.remove();
  await device.root(root).install();
  assert.deepEqual(device.held(), [sha256]);
  device.state.close();
});

Deno.test("a root that was there before us stays when ours would go", async () => {
  const device = new Device();
  await device.put(root);
  await device.root(root).install();
  assert.equal(await device.root(root).remove(), undefined);
  assert.deepEqual(device.held(), [sha256]);
  assert.deepEqual(device.removed(), []);
  device.state.close();
});

Deno.test("a new root comes beside the old, and both leave together; a stranger's stays", async () => {
  const device = new Device();
  const [next, foreign] = [ca.selfSigned("/CN=Root"), ca.selfSigned("/CN=Root")];
  await device.put(foreign);
  await device.root(root).install();
  await device.root(next).install();
  assert.equal(device.held().length, 3);
  await device.root(next).remove();
  assert.deepEqual(device.held(), [await sha256Hex(foreign)]);
  device.state.close();
});

Deno.test("what stops before the root is there, or after it went, is made good", async () => {
  const device = new Device();
  const broken = () => Promise.reject(new Problem("internal", "the power failed"));
  device.spoil = (store) => ({ ...store, install: broken });
  await device.root(root).install();
  assert.match(device.logged.join(), /root\.failed.*the power failed/);
  assert.deepEqual(device.state.deviceCertificates(), [sha256], "it was known before it was put");
  device.spoil = (store) => store;
  await device.root(root).install();
  assert.deepEqual(device.held(), [sha256]);

  device.spoil = (store) => ({ ...store, removeCertificate: broken });
  const left = await device.root(root).remove();
  assert.match(left?.message ?? "", /root certificate is left: the power failed/);
  assert.deepEqual(device.state.deviceCertificates(), [sha256]);
  device.spoil = (store) => store;
  // Somebody took it away by hand meanwhile.
  device.kept.certificates.clear();
  assert.equal(await device.root(root).remove(), undefined);
  assert.deepEqual(device.state.deviceCertificates(), []);
  device.state.close();
});

Deno.test("where a device has no such place, nothing is kept", async () => {
  const device = new Device();
  const identity = { device: { deviceId: "d", publicUrl: "x", server: "x", leaving: false } };
  const log = openLog({ write: (line) => void device.logged.push(line) });
  const work = new DeviceRoot({ state: device.state, platform: {}, identity, log });
  await work.install();
  assert.equal(await work.remove(), undefined);
  assert.deepEqual(device.logged, []);
  device.state.close();
});
