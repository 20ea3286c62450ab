import assert from "node:assert/strict";
import { adminApi } from "./admin_api.ts";
import { type Answer, assertProblem, withAdmin } from "./scratch_admin.ts";
import { SCRATCH_TOKEN, withScratch } from "./scratch_context.ts";

Deno.test("without the exact admin token every path is 401 and says how to authenticate", async () => {
  await withScratch(async ({ context }) => {
    const app = adminApi(context);
    const wrong = [undefined, "", "Bearer", "Bearer ", `Basic ${SCRATCH_TOKEN}`, SCRATCH_TOKEN]
      .concat([`Bearer ${SCRATCH_TOKEN}x`, `Bearer ${SCRATCH_TOKEN.slice(1)}`, "Bearer wrong"])
      .concat([`Bearer ${SCRATCH_TOKEN} ${SCRATCH_TOKEN}`, `Bearer ${context.adminTokenHash}`]);
    for (const authorization of wrong) {
      for (const path of ["settings", "users", "nothing"]) {
        const headers: HeadersInit = authorization === undefined ? {} : { authorization };
        const response = await app.request(`/admin/v1/${path}`, { headers });
        assert.equal(response.status, 401, `${authorization} ${path}`);
        assert.match(response.headers.get("www-authenticate") ?? "", /^Bearer /);
        assert.equal((await response.json()).type, "urn:device-trust:unauthorized");
      }
    }
    const headers = { authorization: `bearer  ${SCRATCH_TOKEN}` };
    assert.equal((await app.request("/admin/v1/settings", { headers })).status, 200);
  });
});

Deno.test("a body without or with another media type is refused, not dropped", async () => {
  await withScratch(async ({ context }) => {
    const app = adminApi(context);
    const body = JSON.stringify({ globalCertificateDistribution: false });
    const send = (headers: Record<string, string>) =>
      app.request("/admin/v1/settings", {
        method: "PUT",
        headers: {
          authorization: `Bearer ${SCRATCH_TOKEN}`,
          "content-length": `${body.length}`,
          ...headers,
        },
        body: new TextEncoder().encode(body),
      });
    assert.equal((await send({})).status, 422);
    assert.equal((await send({ "content-type": "text/plain" })).status, 422);
    assert.equal(context.store.settings.current.globalCertificateDistribution, true);
    assert.equal((await send({ "content-type": "application/json" })).status, 200);
    assert.equal(context.store.settings.current.globalCertificateDistribution, false);
  });
});

Deno.test("a connect key is shown once and only its hash is kept", async () => {
  await withAdmin(async (call, { context }) => {
    const made = await call("POST", "connect-keys", {
      maxUses: 2,
      expiresAt: "2026-04-01T00:00:00Z",
    });
    assert.equal(made.status, 201);
    const { connectKey, connectKeyId } = made.body;
    assert.match(connectKey, /^[\w-]{43}$/);
    const open = (await call("POST", "connect-keys", {})).body;
    assert.notEqual(open.connectKey, connectKey);
    const list = await call("GET", "connect-keys");
    assert.deepEqual(list.body.items, [{
      connectKeyId,
      createdAt: "2026-03-01T12:00:00.000Z",
      expiresAt: "2026-04-01T00:00:00.000Z",
      maxUses: 2,
      uses: 0,
    }, {
      connectKeyId: open.connectKeyId,
      createdAt: "2026-03-01T12:00:00.000Z",
      expiresAt: null,
      maxUses: null,
      uses: 0,
    }]);
    assert.doesNotMatch(JSON.stringify((await call("GET", "events")).body), new RegExp(connectKey));
    const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(connectKey));
    assert.equal(context.store.connectKeys.hashes()[0]?.hash, new Uint8Array(hash).toHex());

    assert.equal((await call("DELETE", `connect-keys/${connectKeyId}`)).status, 204);
    assertProblem(await call("DELETE", `connect-keys/${connectKeyId}`), 404, "not-found");
    assertProblem(await call("DELETE", "connect-keys/none"), 404, "not-found");
    for (const body of [{ maxUses: 0 }, { maxUses: "1" }, { expiresAt: "tomorrow" }, { uses: 1 }]) {
      assertProblem(await call("POST", "connect-keys", body), 422, "invalid");
    }
  });
});

Deno.test("every list comes in pages, without gap or repetition, and refuses bad cursors", async () => {
  await withAdmin(async (call, { addManaged, issue }) => {
    for (let index = 0; index < 5; index++) {
      await issue(addManaged(`user${index}@example.com`));
      await call("POST", "connect-keys", {});
      const policy = { name: `p${index}`, users: ["*"], resources: ["*"], action: "relax" };
      await call("POST", "policies", policy);
    }
    for (const list of ["users", "devices", "policies", "certificates", "connect-keys", "events"]) {
      const whole = (await call("GET", list)).body;
      assert.equal(whole.nextCursor, null, list);
      const found: unknown[] = [];
      let cursor: string | null = "";
      while (cursor !== null) {
        const page: Answer = await call("GET", `${list}?limit=2${cursor && `&cursor=${cursor}`}`);
        assert.ok(page.body.items.length <= 2);
        found.push(...page.body.items);
        cursor = page.body.nextCursor;
      }
      assert.deepEqual(found, whole.items, list);
      assert.equal((await call("GET", `${list}?limit=500`)).status, 200, list);
      for (const query of ["limit=0", "limit=501", "limit=-1", "limit=x", "limit=", "cursor=!!"]) {
        assertProblem(await call("GET", `${list}?${query}`), 422, "invalid");
      }
      assertProblem(await call("GET", `${list}?cursor=`), 422, "invalid");
    }
  });
});
