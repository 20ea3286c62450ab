import assert from "node:assert/strict";
import { assertProblem, NOWHERE, withAdmin } from "./scratch_admin.ts";

Deno.test("policies are added, listed, replaced, evaluated and deleted", async () => {
  await withAdmin(async (call, { addUser }) => {
    const userId = addUser("alice@example.com", ["staff"]);
    const body = {
      name: "Managed devices only",
      enabled: true,
      users: ["group:staff"],
      resources: ["mail"],
      conditions: { device: "unmanaged" },
      action: "deny",
    };
    const made = await call("POST", "policies", body);
    assert.equal(made.status, 201);
    const { policyId } = made.body;
    assert.deepEqual(made.body, { policyId, ...body });
    const request = { user: "Alice@example.com", resource: "mail", os: "linux", ip: "192.0.2.1" };
    const evaluate = async (device: string, more = {}) =>
      (await call("POST", "policies/evaluate", { ...request, device, ...more })).body;
    const denied = await evaluate("unmanaged");
    assert.deepEqual([denied.decision, denied.policy], ["deny", policyId]);
    assert.match(denied.why, /'Managed devices only'/);
    assert.equal((await evaluate("managed")).policy, null);
    assert.equal((await evaluate("managed", { os: "android" })).decision, "deny");

    const replaced = { ...made.body, users: [userId], action: "restrict" };
    const put = await call("PUT", `policies/${policyId}`, replaced);
    assert.equal(put.status, 200);
    assert.deepEqual((await call("GET", "policies")).body.items, [replaced]);
    assert.equal((await evaluate("unmanaged")).decision, "mfa");
    assertProblem(
      await call("PUT", `policies/${policyId}`, { ...body, policyId: NOWHERE }),
      422,
      "invalid",
    );
    assertProblem(await call("PUT", `policies/${NOWHERE}`, body), 404, "not-found");
    assertProblem(await call("POST", "policies", { ...body, action: "block" }), 422, "invalid");
    assertProblem(
      await call("POST", "policies", { ...body, conditions: { ip: ["10.0.0.0/40"] } }),
      422,
      "invalid",
    );
    for (const more of [{ os: "beos" }, { ip: "here" }, { device: "both" }, { user: "" }]) {
      const bad = { ...request, device: "managed", ...more };
      assertProblem(await call("POST", "policies/evaluate", bad), 422, "invalid");
    }
    const unknown = { ...request, device: "managed", user: "nobody@example.com" };
    assertProblem(await call("POST", "policies/evaluate", unknown), 404, "not-found");
    assert.equal((await call("DELETE", `policies/${policyId}`)).status, 204);
    assertProblem(await call("DELETE", `policies/${policyId}`), 404, "not-found");
    const types = (await call("GET", "events")).body.items.map((event: { type: string }) =>
      event.type
    );
    assert.deepEqual(types, ["policy.deleted", "policy.changed", "policy.created"]);
  });
});
