import assert from "node:assert/strict";
import { LIMITS } from "../agent/contract.ts";
import { deleteDevice, unbindUser } from "./fleet_changes.ts";
import { SCRATCH_START } from "./scratch_context.ts";
import {
  assertRefused,
  newCsr,
  type ScratchDevice,
  type ScratchServer,
  withServer,
} from "./scratch_device.ts";

/** A report's body without anything that is about users. */
const ABOUT = { agentVersion: "0.2.0", osVersion: "13", hostname: "renamed" };

function send(device: ScratchDevice, users: unknown[], path = device.path("/reports")) {
  return device.request("POST", path, { body: { ...ABOUT, users } });
}

/** What the audit log knows of a user's reports, oldest first. */
function news({ context }: ScratchServer, userId: string): unknown[] {
  return context.store.events.ofType("user.reported", 0)
    .filter((event) => event.userId === userId).map(({ detail }) => detail);
}

Deno.test("a report is 204, and everything that it says is kept", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { answer } = await device.newLeaf(userId);
    server.clock.now += 1000;
    const filters = [{ browser: "chrome", location: "/etc/opt/chrome", state: "shadowed" }];
    const error = { code: "store-locked", message: "the database has a password" };
    const removed = [{ kind: "leaf", id: "aa" }, { kind: "key", id: "bb" }];
    const user = { userId, state: "failed", serial: answer.serial, filters, error, removed };
    const response = await send(device, [user]);
    assert.equal(response.status, 204);
    assert.equal(await response.text(), "");

    const { reports, devices } = server.context.store;
    const { serial = null, removed: _, ...rest } = user;
    assert.deepEqual(reports.get(device.deviceId, userId), {
      ...rest,
      serial,
      at: server.clock.now,
    });
    assert.deepEqual(
      reports.receipts(device.deviceId).map(({ kind, id, at }) => [kind, id, at]).sort(),
      [["key", "bb", server.clock.now], ["leaf", "aa", server.clock.now]],
    );
    const { hostname, osVersion, agentVersion, lastSeenAt } = devices.get(device.deviceId) ?? {};
    assert.deepEqual({ hostname, osVersion, agentVersion }, ABOUT);
    assert.equal(lastSeenAt, server.clock.now);
  });
});

Deno.test("the audit log tells of what a report changes, and not of its repetitions", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const failed = (code: string) => ({
      userId,
      state: "failed",
      filters: [],
      error: { code, message: code },
    });
    const removed = [{ kind: "leaf", id: "aa" }];
    const said = [
      { userId, state: "waiting", filters: [] },
      { userId, state: "waiting", filters: [] },
      failed("store-locked"),
      failed("store-locked"),
      failed("disk-full"),
      { userId, state: "removed", filters: [], removed },
    ];
    for (const user of said) assert.equal((await send(device, [user])).status, 204);
    assert.deepEqual(news(server, userId), [
      { state: "waiting" },
      { state: "failed", error: { code: "store-locked", message: "store-locked" } },
      { state: "failed", error: { code: "disk-full", message: "disk-full" } },
      { state: "removed", removed },
    ]);
  });
});

Deno.test("a user who was managed once may be reported; one who never was spoils the report", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { userId: stranger } = await server.managed("bob@example.com");
    const { reports, devices } = server.context.store;
    unbindUser(server.context, device.deviceId, userId);
    const gone = { userId, state: "removed", filters: [], removed: [{ kind: "leaf", id: "aa" }] };
    for (const never of [stranger, crypto.randomUUID()]) {
      const both = [gone, { userId: never, state: "installed", filters: [] }];
      await assertRefused(await send(device, both), 422, "invalid");
    }
    assert.deepEqual(reports.ofDevice(device.deviceId), [], "nothing of it is kept");
    assert.deepEqual(reports.receipts(device.deviceId), []);
    assert.equal(devices.get(device.deviceId)?.hostname, "laptop");
    assert.equal((await send(device, [gone])).status, 204);
    assert.equal(reports.receipts(device.deviceId).length, 1);
  });
});

Deno.test("only the newest leaf's report ends its elder's life, and nobody else's leaf counts", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { device: other, userId: bob } = await server.managed("bob@example.com");
    const elder = await device.newLeaf(userId);
    const newest = await device.newLeaf(userId, elder.signer);
    const bobs = await other.newLeaf(bob);
    const superseded = () =>
      server.context.store.certificates.get(elder.answer.serial ?? "")?.supersededAt;
    const says = async (state: string, serial?: string) => {
      assert.equal((await send(device, [{ userId, state, serial, filters: [] }])).status, 204);
    };
    await says("installed", elder.answer.serial);
    await says("installed", bobs.answer.serial);
    await says("installed", "00");
    await says("installed");
    await says("requesting", newest.answer.serial);
    await says("failed", newest.answer.serial);
    assert.equal(superseded(), null);
    const { certificates } = server.context.store;
    assert.equal(certificates.get(bobs.answer.serial ?? "")?.installedAt, null);
    server.clock.now += 1000;
    await says("installed", newest.answer.serial);
    server.clock.now += 1000;
    await says("installed", newest.answer.serial);
    assert.equal(superseded(), SCRATCH_START + 1000, "the first report counts");
  });
});

Deno.test("a device speaks for itself alone: every path of another one is 403", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    const { device: other, userId } = await server.managed("bob@example.com");
    const { csr, answer } = await other.newLeaf(userId);
    const certificates = other.path(`/users/${userId}/certificates`);
    for (
      const refused of [
        await send(device, [{ userId, state: "removed", filters: [] }], other.path("/reports")),
        await device.request("GET", other.path("/desired-state")),
        await device.request("POST", certificates, { body: { csr } }),
        await device.request("DELETE", other.path("")),
        await device.request("GET", `/v1/devices/${crypto.randomUUID()}/desired-state`),
      ]
    ) await assertRefused(refused, 403, "other-device");
    assert.deepEqual(server.context.store.reports.ofDevice(other.deviceId), []);
    assert.equal(server.context.store.certificates.get(answer.serial ?? "")?.revokedAt, null);
    assert.equal((await other.desired()).status, 200);
  });
});

Deno.test("a report has at most 1 MiB, where everything else has at most 64 KiB", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const text = JSON.stringify({ ...ABOUT, users: [{ userId, state: "absent", filters: [] }] });
    const sized = (bytes: number) => text + " ".repeat(bytes - text.length);
    const report = (bytes: number) =>
      device.request("POST", device.path("/reports"), { body: sized(bytes) });
    assert.equal((await report(LIMITS.reportBytes)).status, 204);
    await assertRefused(await report(LIMITS.reportBytes + 1), 413, "body-too-large");

    const { csr } = await newCsr();
    const request = JSON.stringify({ csr });
    const certificate = (bytes: number) =>
      device.request("POST", device.path(`/users/${userId}/certificates`), {
        body: request + " ".repeat(bytes - request.length),
      });
    await assertRefused(await certificate(LIMITS.bodyBytes + 1), 413, "body-too-large");
    assert.equal((await certificate(LIMITS.bodyBytes)).status, 201);
  });
});

Deno.test("a report of another form is 422, and nothing of it is kept", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const good = { userId, state: "installed", filters: [] };
    const filter = { browser: "chrome", location: "/", state: "ok" };
    for (
      const users of [
        [{ ...good, state: "fine" }],
        [{ ...good, userId: userId.toUpperCase() }],
        [{ ...good, serial: "XY" }],
        [{ ...good, filters: Array(65).fill(filter) }],
        [{ ...good, removed: [{ kind: "house", id: "1" }] }],
        [{ userId, state: "installed" }],
        Array(2001).fill(good),
        good,
      ]
    ) {
      const response = await device.request("POST", device.path("/reports"), {
        body: { ...ABOUT, users },
      });
      await assertRefused(response, 422, "invalid");
    }
    assert.deepEqual(server.context.store.reports.ofDevice(device.deviceId), []);
  });
});

Deno.test("DELETE is 204, revokes everything of the device, and all later requests are 410", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const bob = server.addUser("bob@example.com");
    server.context.store.bindings.put(device.deviceId, bob, "bob", SCRATCH_START);
    const { device: other } = await server.managed("carol@example.com");
    server.context.store.bindings.put(other.deviceId, userId, "alice", SCRATCH_START);
    const elsewhere = await other.newLeaf(userId);
    const first = await device.newLeaf(userId);
    const leaves = [first, await device.newLeaf(userId, first.signer), await device.newLeaf(bob)];

    const response = await device.request("DELETE", device.path(""));
    assert.equal(response.status, 204);
    assert.equal(await response.text(), "");
    const { certificates, events } = server.context.store;
    for (const { answer } of leaves) {
      assert.equal(certificates.get(answer.serial ?? "")?.reason, "cessationOfOperation");
    }
    assert.equal(certificates.get(elsewhere.answer.serial ?? "")?.revokedAt, null);
    const [deleted] = events.ofType("device.deleted", 0);
    assert.equal(deleted?.deviceId, device.deviceId);
    assert.equal(deleted.detail["by"], "agent");

    await assertRefused(await device.desired(), 410, "device-deleted");
    await assertRefused(await device.desired({ prefer: "wait=300" }), 410, "device-deleted");
    await assertRefused(await device.certificate(userId, first.csr), 410, "device-deleted");
    await assertRefused(await device.request("DELETE", device.path("")), 410, "device-deleted");
    assert.equal((await other.desired()).status, 200);
  });
});

Deno.test("a deleted device may still send the receipts of its removals", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    deleteDevice(server.context, device.deviceId, "administrator");
    const removed = [{ kind: "leaf", id: "aa" }, { kind: "root", id: "bb" }];
    const gone = { userId, state: "removed", filters: [], removed };
    assert.equal((await send(device, [gone])).status, 204);
    assert.equal(server.context.store.reports.receipts(device.deviceId).length, 2);
  });
});
