/** Every request of the contract is made, and what is sent and answered is held against it. */
import assert from "node:assert/strict";
import { changeSettings } from "./fleet_changes.ts";
import { serverApps } from "./agent_app.ts";
import { NOWHERE } from "./scratch_admin.ts";
import { Contract } from "./scratch_contract.ts";
import { SCRATCH_START, SCRATCH_TOKEN } from "./scratch_context.ts";
import {
  type DeviceHost,
  newCsr,
  ScratchDevice,
  type ScratchServer,
  withServer,
} from "./scratch_device.ts";
import { keyThumbprint } from "./device_authentication.ts";

/** A server whose every answer is checked, and ways to ask it. */
interface Checked {
  server: ScratchServer;
  host: DeviceHost;
  contract: Contract;
  /** Asks the admin API for what follows `/admin/v1/`; asserts the status. */
  admin(status: number, request: string, body?: unknown): Promise<Record<string, unknown>>;
  /** Asks the portal, which gives the status; what its header says. */
  portal(status: number, url: string, cookie?: string): Promise<Headers>;
}

async function withChecked(test: (checked: Checked) => Promise<void>): Promise<void> {
  await withServer(async (server) => {
    const { agentApp, portalApp } = serverApps(server.context);
    const { publicUrl, portalUrl } = server.context;
    const nobody = { address: "192.0.2.7", certificates: [] };
    const document = await agentApp.fetch(new Request(`${publicUrl}/openapi.json`), {
      peer: nobody,
    });
    const contract = new Contract(await document.json());
    const host: DeviceHost = {
      context: server.context,
      clock: server.clock,
      fetch: async (request, peer = nobody) => {
        const { origin } = new URL(request.url);
        const app = origin === publicUrl ? agentApp : portalApp;
        const response = await app.fetch(request.clone(), { peer });
        // The page's step on a fresh name is no part of the contract.
        if (origin === publicUrl || origin === portalUrl) {
          await contract.check(request, response.clone());
        }
        return response;
      },
    };
    await test({
      server,
      host,
      contract,
      admin: async (status, line, body) => {
        const [method, path] = line.split(" ");
        const response = await host.fetch(
          new Request(`${publicUrl}/admin/v1/${path}`, {
            ...(method && { method }),
            headers: {
              authorization: `Bearer ${SCRATCH_TOKEN}`,
              ...(body !== undefined && { "content-type": "application/json" }),
            },
            ...(body !== undefined && { body: JSON.stringify(body) }),
          }),
        );
        const text = await response.text();
        assert.equal(response.status, status, `${line}: ${text}`);
        return text === "" ? {} : JSON.parse(text);
      },
      portal: async (status, url, cookie) => {
        const headers: HeadersInit = cookie === undefined ? {} : { cookie };
        const response = await host.fetch(new Request(new URL(url, portalUrl), { headers }));
        assert.equal(response.status, status, await response.text());
        return response.headers;
      },
    });
  });
}

/** The device API as it is meant to be used; leaves a device, its user and its leaf behind. */
async function askAsDevice({ server, host }: Checked) {
  const { context } = server;
  const device = await ScratchDevice.create(host);
  await device.enroll();
  await device.enroll();
  const userId = server.addUser("alice@example.com");
  context.store.bindings.put(device.deviceId, userId, "alice", SCRATCH_START);
  const first = await device.newLeaf(userId);
  let leaf = await device.newLeaf(userId, first.signer);
  const { serial } = leaf.answer;
  const filters = [{ browser: "chrome", location: "/etc/opt/chrome", state: "ok" }];
  const removed = [{ kind: "leaf", id: "aa" }];
  await device.report({ userId, state: "installed", serial, filters, removed });
  await device.report({ userId, state: "failed", error: { code: "disk-full", message: "full" } });
  const desired = await device.desired({ prefer: "wait=300" });
  await device.desired({ "if-none-match": desired.headers.get("etag") ?? "" });
  for (let reissue = 0; reissue < 3; reissue++) leaf = await device.newLeaf(userId);
  const { csr } = leaf;
  const certificates = [
    await device.certificate(userId, csr),
    await device.certificate(userId, (await newCsr()).csr),
    await device.certificate(NOWHERE, csr),
    await device.certificate(userId, (await newCsr("P-384")).csr),
    await device.certificate(userId, (await newCsr()).csr, first.signer),
  ];
  assert.deepEqual(certificates.map(({ status }) => status), [200, 429, 404, 422, 403]);
  changeSettings(context, { globalCertificateDistribution: false });
  assert.equal((await device.certificate(userId, csr)).status, 403);
  await device.desired();
  changeSettings(context, { globalCertificateDistribution: true });
  const lists = ["/v1/crl", "/v1/crl?issuer=00", "/v1/crl?issuer=none"];
  for (const path of [...lists, "/healthz"]) {
    await host.fetch(new Request(context.publicUrl + path));
  }
  const any = { "if-none-match": "*" };
  await host.fetch(new Request(`${context.publicUrl}/v1/crl`, { headers: any }));
  return { device, userId, csr };
}

/** Method, path and, where it has one, the body. */
type SignedRequest = [string, string, unknown?];

/** Every way in which the device API says no to any request. */
async function refuseDevice(device: ScratchDevice, userId: string, csr: string) {
  const requests = (of: ScratchDevice): SignedRequest[] => [
    ["GET", of.path("/desired-state")],
    ["POST", of.path(`/users/${userId}/certificates`), { csr }],
    ["POST", of.path("/reports"), { ...ABOUT, users: [] }],
    ["DELETE", of.path("")],
  ];
  const other = await ScratchDevice.create(device.server);
  await other.enroll();
  const keyid = keyThumbprint(device.publicKey);
  const nonce = "A".repeat(22);
  const enroll: SignedRequest = ["POST", "/v1/devices", device.enrollment()];
  await device.request("GET", device.path("/desired-state"), { nonce });
  await device.request("POST", "/v1/devices", { body: enroll[2], keyid, nonce });
  for (const [method, path, body] of requests(device).concat([enroll])) {
    const own = path === "/v1/devices" ? { keyid } : {};
    const refused = [
      await other.request(method, path, { body }),
      await device.request(method, path, { body, ...own, skew: 301 }),
      await device.request(method, path, { body, keyid: NOWHERE }),
      await device.request(method, path, { body, publicUrl: "https://elsewhere" }),
      await device.request(method, path, { body, ...own, nonce }),
    ];
    if (body !== undefined) {
      refused.push(await device.request(method, path, { body: {}, ...own }));
      refused.push(await device.request(method, path, { body: " ".repeat(1024 * 1024 + 1) }));
    }
    for (const { status } of refused) assert.ok(status >= 400 && status < 500, `${path} ${status}`);
  }
  for (let guess = 0; guess < 21; guess++) {
    await device.request("POST", "/v1/devices", { body: device.enrollment("wrong"), keyid });
  }
  await other.request("DELETE", other.path(""));
  for (const [method, path, body] of requests(other)) await other.request(method, path, { body });
}

const ABOUT = { agentVersion: "1", osVersion: "1", hostname: "h" };

/** The admin API as it is meant to be used, on a fleet with that leaf. */
async function askAsAdministrator(
  { admin, portal }: Checked,
  deviceId: string,
  userId: string,
) {
  const policy = { name: "p", users: ["*"], resources: ["*"], action: "deny" };
  const conditions = { device: "managed", ip: ["10.0.0.0/8"], os: ["linux"] };
  const { policyId } = await admin(201, "POST policies", { ...policy, conditions });
  await admin(200, `PUT policies/${policyId}`, { ...policy, enabled: false });
  await admin(200, "GET policies?limit=1");
  const request = { user: "alice@example.com", resource: "mail", os: "ios", ip: "192.0.2.1" };
  await admin(200, "POST policies/evaluate", { ...request, device: "managed" });
  await admin(404, "POST policies/evaluate", { ...request, device: "managed", user: "n@one" });
  await portal(200, "/challenge?user=alice@example.com&resource=mail");
  await admin(200, "POST policies/replay", { policy });
  await admin(200, "POST policies/replay", { policy: null, policyId });
  await admin(404, "POST policies/replay", { policy, policyId: NOWHERE });
  await admin(404, `PUT policies/${NOWHERE}`, policy);
  await admin(204, `DELETE policies/${policyId}`);

  const settings = await admin(200, "GET settings");
  await admin(200, "PUT settings", { ...settings, overlapSeconds: 60 });
  await admin(200, "POST settings/preview", { globalCertificateDistribution: false });
  for (const line of ["PUT settings", "POST settings/preview"]) {
    await admin(409, line, { brand: "Another" });
  }
  const { connectKeyId } = await admin(201, "POST connect-keys", { maxUses: 1 });
  await admin(201, "POST connect-keys", { expiresAt: "2026-04-01T00:00:00Z" });
  await admin(200, "GET connect-keys");
  await admin(204, `DELETE connect-keys/${connectKeyId}`);

  const bob = { email: "bob@example.com", name: "Bob", groups: ["staff"] };
  const { userId: bobId } = await admin(201, "POST users", bob);
  await admin(409, "POST users", bob);
  await admin(200, "GET users");
  await admin(200, `PUT devices/${deviceId}/users/${bobId}`, { username: "bob" });
  await admin(409, `PUT devices/${deviceId}/users/${bobId}`, { username: "alice" });
  await admin(404, `PUT devices/${NOWHERE}/users/${bobId}`, { username: "bob" });

  await admin(200, "PUT faults", { faults: [{ kind: "latency", rate: 0, milliseconds: 1 }] });
  await admin(200, "GET faults");
  await admin(200, "PUT faults", {});

  await admin(200, "GET authority");
  const { generations } = await admin(200, "POST authority/renew", { renew: "intermediate" });
  assert.ok(Array.isArray(generations) && generations.length === 2);
  await admin(200, "GET certificates/renew");
  await admin(200, "POST certificates/renew", { spreadSeconds: 60 });
  await admin(200, "GET certificates/renew");
  const { items } = await admin(200, "GET certificates");
  assert.ok(Array.isArray(items));
  await admin(200, `POST certificates/${items.at(-1).serial}/revoke`, { reason: "keyCompromise" });
  await admin(200, `POST certificates/${items.at(0).serial}/revoke`);
  await admin(200, "GET devices?state=failed&lastSeenBefore=2030-01-01T00:00:00Z");
  const removable = [`devices/${deviceId}`, `devices/${deviceId}/users/${userId}`];
  for (const path of [...removable, `users/${userId}`]) {
    await admin(200, `GET ${path}/removal-preview`);
  }
  await admin(204, `DELETE devices/${deviceId}/users/${userId}`);
  await admin(200, "GET devices");
  await admin(204, `DELETE users/${bobId}`);
  await admin(204, `DELETE devices/${deviceId}`);
  await admin(200, "GET events?limit=500");
}

/** Every way in which the admin API says no to any request of its kind. */
async function refuseAdministrator({ admin, contract, host }: Checked) {
  for (const { method, path, requestBody, parameters } of contract.operations) {
    if (!path.startsWith("/admin/")) continue;
    const real = path.replace("{serial}", "00").replace(/\{\w+\}/g, NOWHERE);
    const line = `${method.toUpperCase()} ${real.replace("/admin/v1/", "")}`;
    const stranger = await host.fetch(new Request(host.context.publicUrl + real, { method }));
    assert.equal(stranger.status, 401, line);
    if (requestBody) {
      await admin(413, line, " ".repeat(65_536));
      await admin(422, line, { misspelt: true });
    }
    if (path.includes("{") && !requestBody?.required) await admin(404, line);
    if (parameters.some(({ name }) => name === "limit")) await admin(422, `${line}?limit=0`);
  }
}

/** The page from beginning to end, what it refuses, and the challenge. */
async function askAsBrowser({ portal }: Checked) {
  const query = "user=alice@example.com&resource=mail";
  await portal(200, `/challenge?${query}`);
  await portal(200, "/challenge");
  await portal(422, `/challenge?user=${"a".repeat(321)}`);
  await portal(422, `/?resource=${"a".repeat(256)}`);
  const visit = async () => {
    const headers = await portal(302, `/?${query}`);
    const there = await portal(302, headers.get("location") ?? "");
    const cookie = headers.get("set-cookie")?.split(";")[0];
    return { back: there.get("location") ?? "", cookie };
  };
  const [own, stolen] = [await visit(), await visit()];
  await portal(200, own.back, own.cookie);
  await portal(403, stolen.back, own.cookie);
}

Deno.test("every request of the contract is answered as the contract says, in every way it says", async () => {
  await withChecked(async (checked) => {
    const { contract } = checked;
    const { device, userId, csr } = await askAsDevice(checked);
    await refuseDevice(device, userId, csr);
    await askAsAdministrator(checked, device.deviceId, userId);
    await refuseAdministrator(checked);
    await askAsBrowser(checked);
    // What is sent slowly is the business of listener_test.ts.
    const listed = contract.listed().filter((answer) => !answer.includes(" 408 "));
    assert.deepEqual(contract.seen(), listed);
    assert.ok(listed.length > 100);
  });
});
