import assert from "node:assert/strict";
import { Contract, references } from "./scratch_contract.ts";
import { type ScratchServer, withServer } from "./scratch_device.ts";

/** The requests of DESIGN section 5 and what its mass changes and renewals need, but for `/openapi.json` itself and `/metrics`. */
const REQUESTS = `
POST /v1/devices
GET /v1/devices/{deviceId}/desired-state
POST /v1/devices/{deviceId}/users/{userId}/certificates
POST /v1/devices/{deviceId}/reports
DELETE /v1/devices/{deviceId}
GET /v1/crl
GET /healthz
GET /admin/v1/settings
PUT /admin/v1/settings
POST /admin/v1/settings/preview
GET /admin/v1/connect-keys
POST /admin/v1/connect-keys
DELETE /admin/v1/connect-keys/{connectKeyId}
GET /admin/v1/users
POST /admin/v1/users
DELETE /admin/v1/users/{userId}
GET /admin/v1/users/{userId}/removal-preview
GET /admin/v1/devices
PUT /admin/v1/devices/{deviceId}/users/{userId}
DELETE /admin/v1/devices/{deviceId}/users/{userId}
GET /admin/v1/devices/{deviceId}/users/{userId}/removal-preview
DELETE /admin/v1/devices/{deviceId}
GET /admin/v1/devices/{deviceId}/removal-preview
GET /admin/v1/policies
POST /admin/v1/policies
PUT /admin/v1/policies/{policyId}
DELETE /admin/v1/policies/{policyId}
POST /admin/v1/policies/evaluate
POST /admin/v1/policies/replay
GET /admin/v1/certificates
POST /admin/v1/certificates/{serial}/revoke
POST /admin/v1/certificates/renew
GET /admin/v1/certificates/renew
GET /admin/v1/authority
POST /admin/v1/authority/renew
GET /admin/v1/events
GET /admin/v1/faults
PUT /admin/v1/faults
GET /
GET /challenge
`.trim().split("\n");

async function fetchDocument(server: ScratchServer): Promise<Record<string, unknown>> {
  const { publicUrl } = server.context;
  const response = await server.fetch(new Request(`${publicUrl}/openapi.json`));
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "application/json");
  return await response.json();
}

Deno.test("the contract is OpenAPI 3.1, in which every reference leads somewhere", async () => {
  await withServer(async (server) => {
    const json = await fetchDocument(server);
    const { document, operations } = new Contract(json);
    assert.match(document.openapi, /^3\.1\.\d+$/);
    const names = operations.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    const ids = operations.flatMap(({ operationId }) => operationId ?? []);
    assert.equal(new Set(ids).size, ids.length);
    const found = references(json);
    assert.ok(found.length > 10);
    for (const reference of found) {
      const name = /^#\/components\/schemas\/(\w+)$/.exec(reference)?.[1] ?? "";
      assert.ok(Object.hasOwn(document.components.schemas, name), reference);
    }
  });
});

Deno.test("every path names its parameters, every operation who may call it, where and how", async () => {
  await withServer(async (server) => {
    const { publicUrl, portalUrl } = server.context;
    const { operations, document } = new Contract(await fetchDocument(server));
    for (const { name, path, parameters, security, servers, responses } of operations) {
      const inPath = parameters.filter((parameter) => parameter.in === "path");
      const templates = [...path.matchAll(/\{(\w+)\}/g)].map(([, template]) => template);
      assert.deepEqual(inPath.map((parameter) => parameter.name).sort(), templates.sort(), name);
      assert.ok(inPath.every(({ required }) => required), name);
      const scheme = path.startsWith("/admin/")
        ? ["adminToken"]
        : path.startsWith("/v1/devices")
        ? ["deviceSignature"]
        : [];
      assert.deepEqual(security.flatMap(Object.keys), scheme, name);
      assert.equal(scheme.length > 0, "401" in responses, name);
      for (const used of scheme) assert.ok(document.components.securitySchemes[used], name);
      const ofPortal = path === "/" || path === "/challenge";
      assert.deepEqual(servers, [ofPortal ? portalUrl : publicUrl], name);
    }
  });
});

Deno.test("the contract lists the requests of the design and no others", async () => {
  await withServer(async (server) => {
    const { operations } = new Contract(await fetchDocument(server));
    assert.deepEqual(operations.map(({ name }) => name).sort(), [...REQUESTS].sort());
  });
});
