import assert from "node:assert/strict";
import { DesiredState } from "../agent/contract.ts";
import { preferredWait } from "./desired_state_request.ts";
import {
  bindUser,
  changeSettings,
  deleteDevice,
  revokeCertificate,
  settleLeaves,
  unbindUser,
} from "./fleet_changes.ts";
import {
  assertRefused,
  type ScratchDevice,
  type ScratchServer,
  withServer,
} from "./scratch_device.ts";

async function state(device: ScratchDevice): Promise<DesiredState> {
  const answer = await device.desired();
  assert.equal(answer.status, 200);
  return DesiredState.parse(await answer.json());
}

/** Starts a held request; resolves when the server holds it. */
async function held(
  { context }: ScratchServer,
  device: ScratchDevice,
  wait = 300,
): Promise<{ answer: Promise<Response> }> {
  const etag = (await device.desired()).headers.get("etag") ?? "";
  const before = context.changes.size;
  const answer = device.desired({ "if-none-match": etag, prefer: `wait=${wait}` });
  while (context.changes.size === before) await new Promise((resolve) => setTimeout(resolve, 1));
  return { answer };
}

Deno.test("the desired state names brand, switch, patterns, anchors and managed users", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { answer } = await device.newLeaf(userId);
    const { authority, store } = server.context;
    assert.deepEqual(await state(device), {
      brand: "JumpCloud",
      distribution: { enabled: true },
      certificate: { keyAlgorithm: "P-256", overlapSeconds: 604_800 },
      selection: { patterns: store.settings.current.selectionPatterns },
      macosApplications: [],
      trustAnchors: { root: authority.root.pem, intermediate: authority.intermediate.pem },
      users: [{
        userId,
        username: "alice",
        email: "alice@example.com",
        renewal: answer.renewal,
        leaves: [{ serial: answer.serial, status: "current" }],
      }],
    });
  });
});

Deno.test("OFF is a desired state that is not enabled and lists no leaf", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    await device.newLeaf(userId);
    changeSettings(server.context, { globalCertificateDistribution: false });
    const off = await state(device);
    assert.equal(off.distribution.enabled, false);
    assert.deepEqual(off.users.map(({ leaves, renewal }) => ({ leaves, renewal })), [
      { leaves: [], renewal: undefined },
    ]);
    changeSettings(server.context, { globalCertificateDistribution: true });
    assert.deepEqual((await state(device)).users[0]?.leaves, [], "OFF revoked, ON does not undo");
  });
});

Deno.test("a strong entity tag stands for the state, and If-None-Match is answered with 304", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const first = await device.desired();
    const etag = first.headers.get("etag") ?? "";
    assert.match(etag, /^"[\w-]{43}"$/);
    assert.equal((await device.desired()).headers.get("etag"), etag);
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
      const answer = await device.desired({ "if-none-match": known });
      assert.equal(answer.status, 304, known);
      assert.equal(answer.headers.get("etag"), etag);
      assert.equal(await answer.text(), "");
    }
    await device.newLeaf(userId);
    const changed = await device.desired({ "if-none-match": etag });
    assert.equal(changed.status, 200);
    assert.notEqual(changed.headers.get("etag"), etag);
  });
});

Deno.test("a wait without a tag, or with a stale one, is answered at once", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    const prefer = { prefer: "wait=300" };
    const cases: Record<string, string>[] = [prefer, { ...prefer, "if-none-match": '"stale"' }];
    for (const headers of cases) {
      const answer = await device.desired(headers);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get("preference-applied"), "wait=300");
    }
  });
});

Deno.test("a wait that nothing interrupts ends with 304 and says what was applied", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    const started = performance.now();
    const answer = await (await held(server, device, 1)).answer;
    assert.equal(answer.status, 304);
    assert.equal(answer.headers.get("preference-applied"), "wait=1");
    assert.ok(performance.now() - started >= 990);
    assert.equal(server.context.changes.size, 0);
  });
});

Deno.test("Prefer is read as RFC 7240 writes it, and waits are cut at 300 s", () => {
  const cases: [string | null, number | undefined][] = [
    [null, undefined],
    ["wait=10", 10],
    ["WAIT = 10", 10],
    ["respond-async, wait=10", 10],
    ["wait=10; foo=bar", 10],
    ['wait="10"', 10],
    ["wait=0", 0],
    ["wait=301", 300],
    ["wait=999999999", 300],
    ["wait=-1", undefined],
    ["wait=1.5", undefined],
    ["wait=abc", undefined],
    ["await=10", undefined],
    ["", undefined],
  ];
  for (const [prefer, seconds] of cases) assert.equal(preferredWait(prefer), seconds, `${prefer}`);
});

Deno.test("a held request is answered the moment its device's state changes", async () => {
  await withServer(async (server) => {
    const { context, clock } = server;
    const { device, userId } = await server.managed();
    const bob = server.addUser("bob@example.com");
    let serial = "";
    const changes: [string, () => unknown][] = [
      ["bind", () => bindUser(context, device.deviceId, bob, "bob")],
      ["rename", () => bindUser(context, device.deviceId, bob, "robert")],
      ["unbind", () => unbindUser(context, device.deviceId, bob)],
      ["issue", async () => serial = (await device.newLeaf(userId)).answer.serial ?? ""],
      ["revoke", () => revokeCertificate(context, serial, "privilegeWithdrawn")],
      ["patterns", () => changeSettings(context, { selectionPatterns: ["https://a.example"] })],
      ["OFF", () => changeSettings(context, { globalCertificateDistribution: false })],
      ["ON", () => changeSettings(context, { globalCertificateDistribution: true })],
      ["issue again", () => device.newLeaf(userId)],
      ["expiry", () => {
        clock.now += 31 * 86_400_000;
        settleLeaves(context);
      }],
    ];
    for (const [what, change] of changes) {
      const { answer } = await held(server, device);
      await change();
      const { status } = await answer;
      assert.equal(status, 200, what);
    }
  });
});

Deno.test("what concerns another device does not end a held request", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    const { device: other, userId } = await server.managed("bob@example.com");
    const { answer } = await held(server, device, 1);
    await other.newLeaf(userId);
    server.context.changes.wakeAll();
    assert.equal((await answer).status, 304);
  });
});

Deno.test("a newer held request of the same device ends the older one with 304", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    const { answer: older } = await held(server, device);
    const etag = (await device.desired()).headers.get("etag") ?? "";
    const newer = device.desired({ "if-none-match": etag, prefer: "wait=300" });
    assert.equal((await older).status, 304);
    changeSettings(server.context, { globalCertificateDistribution: false });
    assert.equal((await newer).status, 200);
  });
});

Deno.test("deletion ends a held request with 410 device-deleted, as every later one", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    const { answer } = await held(server, device);
    deleteDevice(server.context, device.deviceId, "administrator");
    await assertRefused(await answer, 410, "device-deleted");
    await assertRefused(await device.desired(), 410, "device-deleted");
  });
});

Deno.test("the end of an overlap wakes the device and revokes the elder as superseded", async () => {
  await withServer(async (server) => {
    const { context, clock } = server;
    const { device, userId } = await server.managed();
    const first = await device.newLeaf(userId);
    const second = await device.newLeaf(userId, first.signer);
    clock.now += 1_000_000_000;
    await device.report({ userId, state: "installed", serial: second.answer.serial });
    clock.now += 604_800_000 - 1;
    settleLeaves(context);
    const { answer } = await held(server, device);
    assert.equal(context.store.certificates.get(first.answer.serial ?? "")?.revokedAt, null);
    clock.now += 1;
    settleLeaves(context);
    const [user] = DesiredState.parse(await (await answer).json()).users;
    assert.deepEqual(user?.leaves, [{ serial: second.answer.serial, status: "current" }]);
    const elder = context.store.certificates.get(first.answer.serial ?? "");
    assert.equal(elder?.reason, "superseded");
  });
});
