import assert from "node:assert/strict";
import { assertRefused, newKeys, ScratchDevice, signerOf, withServer } from "./scratch_device.ts";
import { withRunning } from "./scratch_running.ts";

const NONCE = "A".repeat(22);

Deno.test("a request that comes a second time is replay, as long as it would be in time", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    const request = await device.sign("GET", device.path("/desired-state"));
    assert.equal((await server.fetch(request.clone())).status, 200);
    for (const seconds of [0, 299, 1]) {
      server.clock.now += seconds * 1000;
      await assertRefused(await server.fetch(request.clone()), 401, "replay");
    }
    server.clock.now += 1000;
    await assertRefused(await server.fetch(request.clone()), 401, "clock-skew");
  });
});

Deno.test("a replayed report does not bring back what it said", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const report = (state: string) =>
      device.sign("POST", device.path("/reports"), {
        body: {
          ...{ agentVersion: "1", osVersion: "1", hostname: "h" },
          users: [{ userId, state, filters: [] }],
        },
      });
    const [old, later] = [await report("installed"), await report("removed")];
    assert.equal((await server.fetch(old.clone())).status, 204);
    assert.equal((await server.fetch(later)).status, 204);
    await assertRefused(await server.fetch(old), 401, "replay");
    assert.equal(server.context.store.reports.get(device.deviceId, userId)?.state, "removed");
  });
});

Deno.test("a nonce counts for its device, and only after a signature that verifies", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    const { device: other } = await server.managed("bob@example.com");
    const path = device.path("/desired-state");
    const forger = await ScratchDevice.create(server);
    const forged = await forger.request("GET", path, { keyid: device.deviceId, nonce: NONCE });
    await assertRefused(forged, 401, "bad-signature");
    const late = await device.request("GET", path, { nonce: NONCE, skew: -301 });
    await assertRefused(late, 401, "clock-skew");
    for (const who of [device, other]) {
      const own = who.path("/desired-state");
      assert.equal((await who.request("GET", own, { nonce: NONCE })).status, 200);
      await assertRefused(await who.request("GET", own, { nonce: NONCE }), 401, "replay");
    }
  });
});

Deno.test("of the same request many times at once, one is taken", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    const request = await device.sign("GET", device.path("/desired-state"));
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => server.fetch(request.clone())),
    );
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    assert.equal(answers.filter(({ status }) => status === 401).length, 19);
  });
});

Deno.test("300 s of skew are allowed; more is clock-skew, with the way back to server time", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    const path = device.path("/desired-state");
    for (const skew of [-300, 0, 300]) {
      assert.equal((await device.request("GET", path, { skew })).status, 200, `${skew}`);
    }
    for (const skew of [-301, 301, -86_400, 10 * 365 * 86_400]) {
      const answer = await device.request("GET", path, { skew });
      assert.equal(answer.headers.get("date"), new Date(server.clock.now).toUTCString());
      const { skewSeconds } = await assertRefused(answer, 401, "clock-skew");
      assert.equal(skewSeconds, -skew, "server minus client");
      const corrected = await device.request("GET", path, { skew: skew + skewSeconds });
      assert.equal(corrected.status, 200);
    }
    const unsigned = await device.request("GET", path, {
      skew: 301,
      tamper: ({ headers }) => headers.set("signature", `device=:${"A".repeat(86)}==:`),
    });
    const problem = await assertRefused(unsigned, 401, "bad-signature");
    assert.equal(problem.skewSeconds, undefined, "a stranger is told nothing");
  });
});

Deno.test("a device that nobody enrolled is unknown-device on every path of the device API", async () => {
  await withServer(async (server) => {
    const { device: victim, userId } = await server.managed();
    const stranger = await server.newDevice();
    stranger.deviceId = crypto.randomUUID();
    const report = { agentVersion: "1", osVersion: "1", hostname: "h", users: [] };
    for (const path of [stranger.path(""), victim.path("")]) {
      for (
        const answer of [
          await stranger.request("GET", `${path}/desired-state`),
          await stranger.request("POST", `${path}/users/${userId}/certificates`, { body: {} }),
          await stranger.request("POST", `${path}/reports`, { body: report }),
          await stranger.request("DELETE", path),
        ]
      ) await assertRefused(answer, 401, "unknown-device");
    }
    assert.equal((await victim.desired()).status, 200);
  });
});

Deno.test("without the device's own signature nothing happens, however well a leaf signs", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { signer } = await device.newLeaf(userId);
    const path = device.path("");
    const onlyLeaf = ({ headers }: { headers: Headers }) => {
      for (const name of ["signature-input", "signature"]) {
        headers.set(name, headers.get(name)?.replace(/^.*, *(?=leaf=)/, "") ?? "");
      }
    };
    const none = ({ headers }: { headers: Headers }) => {
      for (const name of ["signature-input", "signature"]) headers.delete(name);
    };
    for (const tamper of [onlyLeaf, none]) {
      const answer = await device.request("DELETE", path, { leaf: signer, tamper });
      await assertRefused(answer, 401, "bad-signature");
    }
    const asDevice = signerOf("device", device.deviceId, await newKeys("RSA-2048"));
    const wrongKind = await device.request("GET", device.path("/desired-state"), {
      leaf: asDevice,
      tamper: ({ headers }) => {
        for (const name of ["signature-input", "signature"]) {
          headers.set(name, headers.get(name)?.replace(/^.*, *(?=device=)/, "") ?? "");
        }
      },
    });
    await assertRefused(wrongKind, 401, "bad-signature");
    assert.equal((await device.desired()).status, 200);
  });
});

Deno.test("a request signed for another URL than the server's public one is bad-signature", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    for (const publicUrl of ["https://127.0.0.1:8442", "http://localhost:8442", ""]) {
      const answer = await device.request("GET", device.path("/desired-state"), { publicUrl });
      await assertRefused(answer, 401, "bad-signature");
    }
    const behindProxy = async (publicUrl?: string) => {
      const path = device.path("/desired-state");
      const signed = await device.sign("GET", path, publicUrl === undefined ? {} : { publicUrl });
      return await server.fetch(new Request(`http://10.0.0.1:81${path}`, signed));
    };
    assert.equal((await behindProxy()).status, 200, "what the connection says does not count");
    await assertRefused(await behindProxy("http://10.0.0.1:81"), 401, "bad-signature");
  });
});

Deno.test("a restart of the server opens no replay window", async () => {
  await withRunning(async (server) => {
    const { device, userId } = await server.managed();
    const get = await device.sign("GET", device.path("/desired-state"));
    const post = await device.sign("POST", device.path("/reports"), {
      body: {
        ...{ agentVersion: "1", osVersion: "1", hostname: "h" },
        users: [{ userId, state: "absent", filters: [] }],
      },
    });
    const statuses = async () => {
      const answers = [await server.fetch(get.clone()), await server.fetch(post.clone())];
      return await Promise.all(
        answers.map(async (
          answer,
        ) => [answer.status, JSON.parse(await answer.text() || "{}").type]),
      );
    };
    const [first, second] = await statuses();
    assert.deepEqual([first?.[0], second], [200, [204, undefined]]);
    const replay = [401, "urn:device-trust:replay"];
    assert.deepEqual(await statuses(), [replay, replay]);
    await server.restart();
    assert.deepEqual(await statuses(), [replay, replay]);
    assert.equal((await device.desired()).status, 200, "the device itself goes on");
    server.clock.now += 300_000;
    await server.restart();
    assert.deepEqual(await statuses(), [replay, replay], "to the last second");
  });
});
