/** Enrolment against a real agent server whose answers get lost or lie, and on copied disks. */
import assert from "node:assert/strict";
import { openAuthority } from "../ca/authority.ts";
import { Problem } from "../platform/errors.ts";
import { inPassableFolder } from "../tests/device_root.ts";
import { DistortedServer, type Distortion } from "../tests/distorted_server.ts";
import type { EnrollmentAnswer } from "./contract.ts";
import { enroll, EnrolledElsewhere, type EnrollmentWorld } from "./enrollment.ts";
import { readIdentity } from "./identity.ts";
import { State } from "./state.ts";

/** A server, and a device that may enrol there. */
interface World {
  folder: string;
  server: DistortedServer;
  device: Device;
}

/** A device in this process. */
class Device {
  readonly deviceKey: string;
  /** SHA-256 of its machine id. */
  machine: string | undefined = "a".repeat(64);

  constructor(readonly state: State, folder: string, private readonly server: DistortedServer) {
    this.deviceKey = `${folder}/device.key`;
  }

  /** Gives the deviceId. */
  async enroll(connectKey = this.server.connectKey): Promise<string> {
    const { deviceId } = await enroll(this.#world(), {
      server: this.server.agentUrl,
      serverCa: this.server.tls.caPem,
      connectKey: () => Promise.resolve(connectKey),
    });
    assert.equal(await this.identity(), deviceId, "it is what it was told to be");
    return deviceId;
  }

  /** The deviceId that it would act as. */
  async identity(): Promise<string | undefined> {
    return (await readIdentity(this.#world()))?.device.deviceId;
  }

  key(): string {
    return Deno.readTextFileSync(this.deviceKey);
  }

  #world(): EnrollmentWorld {
    return {
      state: this.state,
      deviceKey: this.deviceKey,
      system: {
        os: "linux",
        hostname: "laptop",
        osVersion: "Test 1",
        ...(this.machine === undefined ? {} : { machine: this.machine }),
      },
      now: Date.now,
    };
  }
}

async function withDevice(test: (world: World) => Promise<void>): Promise<void> {
  await inPassableFolder(async (folder) => {
    await using server = await DistortedServer.start(`${folder}/server`);
    const state = new State(`${folder}/state.db`, Date.now);
    try {
      await test({ folder, server, device: new Device(state, folder, server) });
    } finally {
      state.close();
    }
  });
}

/** What the server does is done, and its answer never arrives: the connection ends before. */
const lost: Distortion = async (usual) => {
  await usual();
  const headers = { "content-type": "application/json", "content-length": "1000" };
  const begun = new Blob(["{"]).stream();
  return new Response(begun, { status: 201, headers: { ...headers, connection: "close" } });
};

/** The server's answer, changed. */
function changed(change: (answer: EnrollmentAnswer) => object): Distortion {
  return async (usual) => {
    const response = await usual();
    return Response.json(change(await response.json()), { status: response.status });
  };
}

function problem(code: string, words: RegExp) {
  return (error: unknown) =>
    error instanceof Problem && error.code === code && words.test(error.message);
}

function devicesOf({ context }: DistortedServer): number {
  return context.store.devices.count();
}

Deno.test("a lost reply is made good by enrolling again: the same key, the same device", () =>
  withDevice(async ({ server, device }) => {
    const { connectKey } = Object(
      await server.administrator.admin("POST", "/connect-keys", {
        maxUses: 1,
      }),
    );
    {
      using _lost = server.distort("enrollment", lost);
      await assert.rejects(device.enroll(connectKey), problem("unreachable", /Cannot reach/));
    }
    assert.equal(devicesOf(server), 1, "the server has registered it");
    assert.equal(await device.identity(), undefined, "and the device does not know it");
    const key = device.key();
    // The connect key has no use left: only the device's own key can get it an answer.
    const deviceId = await device.enroll(connectKey);
    assert.equal(device.key(), key);
    assert.equal(devicesOf(server), 1);
    assert.ok(server.context.store.devices.get(deviceId), "the one that it had registered");
  }));

Deno.test("a cloned image is not enrolled, and gets a key and an id of its own", () =>
  withDevice(async ({ server, device }) => {
    const original = await device.enroll();
    const key = device.key();
    device.machine = "b".repeat(64);
    assert.equal(await device.identity(), undefined);
    const clone = await device.enroll();
    assert.notEqual(clone, original);
    assert.notEqual(device.key(), key);
    assert.equal(devicesOf(server), 2);
    assert.ok(device.state.events(10).some(({ type }) => type === "device.cloned"));
  }));

Deno.test("a key that was copied before its enrolment was finished is not used either", () =>
  withDevice(async ({ server, device }) => {
    {
      using _lost = server.distort("enrollment", lost);
      await assert.rejects(device.enroll());
    }
    const key = device.key();
    device.machine = "b".repeat(64);
    await device.enroll();
    assert.notEqual(device.key(), key);
    assert.equal(devicesOf(server), 2);
  }));

Deno.test("a machine without an id, or one that lost it, keeps its identity", () =>
  withDevice(async ({ device }) => {
    device.machine = undefined;
    const id = await device.enroll();
    device.machine = "c".repeat(64);
    assert.equal(await device.identity(), id, "the id came later");
    device.machine = undefined;
    assert.equal(await device.identity(), id);
  }));

Deno.test("a lost record: the same key, the same device, and users whose stores are looked at", () =>
  withDevice(async ({ server, device }) => {
    const id = await device.enroll();
    const key = device.key();
    assert.equal(device.state.isSuccessor(), false);
    device.state.forgetDevice();
    assert.equal(await device.identity(), undefined);
    assert.equal(await device.enroll(), id);
    assert.equal(device.key(), key);
    assert.equal(devicesOf(server), 1);
    assert.equal(device.state.isSuccessor(), true);
  }));

Deno.test("a lost record on a copied disk: the copied key is not used", () =>
  withDevice(async ({ server, device }) => {
    const original = await device.enroll();
    const key = device.key();
    device.state.forgetDevice();
    device.machine = "b".repeat(64);
    assert.notEqual(await device.enroll(), original);
    assert.notEqual(device.key(), key);
    assert.equal(devicesOf(server), 2);
  }));

Deno.test("a deleted key file: not enrolled, and enrolling makes a new device", () =>
  withDevice(async ({ server, device }) => {
    const id = await device.enroll();
    Deno.removeSync(device.deviceKey);
    assert.equal(await device.identity(), undefined);
    assert.notEqual(await device.enroll(), id);
    assert.equal(devicesOf(server), 2);
  }));

Deno.test("anchors that do not verify are refused, and the device is not enrolled", () =>
  withDevice(async ({ folder, server, device }) => {
    const now = new Date();
    const other = await openAuthority(`${folder}/other`, { brand: "JumpCloud", now });
    const old = await openAuthority(`${folder}/old`, {
      brand: "JumpCloud",
      now: new Date("1990-01-01"),
    });
    const rogue = { root: other.root.pem, intermediate: other.intermediate.pem };
    const cases: [string, (anchors: EnrollmentAnswer["trustAnchors"]) => object][] = [
      ["another root", (anchors) => ({ ...anchors, root: rogue.root })],
      ["another intermediate", (anchors) => ({ ...anchors, intermediate: rogue.intermediate })],
      [
        "the two exchanged",
        ({ root, intermediate }) => ({ root: intermediate, intermediate: root }),
      ],
      ["the root twice", ({ root }) => ({ root, intermediate: root })],
      ["expired ones", () => ({ root: old.root.pem, intermediate: old.intermediate.pem })],
      ["a TLS authority", (anchors) => ({ ...anchors, root: server.tls.caPem })],
      ["bytes that are none", (anchors) => ({
        ...anchors,
        root: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
      })],
    ];
    for (const [what, change] of cases) {
      using _bad = server.distort(
        "enrollment",
        changed((answer) => ({ ...answer, trustAnchors: change(answer.trustAnchors) })),
      );
      await assert.rejects(device.enroll(), problem("bundle-rejected", /./), what);
      assert.equal(await device.identity(), undefined, what);
      const { deviceId, root, intermediate } = device.state.device() ?? {};
      assert.deepEqual([deviceId, root, intermediate], [undefined, undefined, undefined], what);
    }
    await device.enroll();
    assert.equal(devicesOf(server), 1, "it was one device all the time");
  }));

Deno.test("an answer that is not of this API is refused, and the device is not enrolled", () =>
  withDevice(async ({ server, device }) => {
    const cases: [RegExp, (answer: EnrollmentAnswer) => object][] = [
      [/'deviceId'/, (answer) => ({ ...answer, deviceId: "../../etc" })],
      [/'publicUrl'/, (answer) => ({ ...answer, publicUrl: "http://localhost" })],
      [/'publicUrl'/, (answer) => ({ ...answer, publicUrl: `${answer.publicUrl}/` })],
      [/'trustAnchors/, ({ trustAnchors: _, ...answer }) => answer],
      [/'/, () => []],
    ];
    for (const [words, change] of cases) {
      using _bad = server.distort("enrollment", changed(change));
      await assert.rejects(device.enroll(), problem("server-refused", words), String(words));
      assert.equal(await device.identity(), undefined);
    }
    await device.enroll();
  }));

Deno.test("a device that is enrolled elsewhere asks nobody", () =>
  withDevice(async ({ folder, server, device }) => {
    const id = await device.enroll();
    await using elsewhere = await DistortedServer.start(`${folder}/elsewhere`);
    const there = new Device(device.state, folder, elsewhere);
    await assert.rejects(there.enroll(), EnrolledElsewhere);
    assert.equal(elsewhere.asked("enrollment").length, 0);
    assert.equal(await device.enroll("no key is needed"), id);
    assert.equal(server.asked("enrollment").length, 1);
  }));
