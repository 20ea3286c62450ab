/**
 * What hostile_user_test.ts has told of mallory's processes: what they run with, what they tell, and
 * whom they hold up.
 */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { createCsr } from "../agent/csr.ts";
import { EXTRA_GROUP, RAN, setHostileStage } from "./hostile_stage.ts";
import { httpRequest } from "./hostile_user.ts";
import { asUser, execute, executeAs, tellStory } from "./private_root.ts";
import { driveDevice, runProgram } from "./product.ts";
import { until } from "./until.ts";
import { processesWith, type ProcessFacts, processFacts } from "./story_processes.ts";

const P256 = { name: "ECDSA", namedCurve: "P-256" };

await tellStory(async (step) => {
  const stage = await setHostileStage(step);
  const { program, server, device, alice, mallory, client, ids, known, serve } = stage;
  const store = `${mallory.home}/.pki/nssdb`;
  const sockets = `/run/device-trust/users/${mallory.uid}`;

  const { userAgent, lock } = await step(
    "a database that she holds keeps her user-agent",
    async () => {
      await serve(false);
      await device.untilUsers("hers is gone too", ({ state }) => state === "removed");
      const lock = client.start("lock", `${store}/cert9.db`);
      await lock.next();
      await serve(true);
      let found: ProcessFacts | undefined;
      await until("her user-agent runs", () => {
        found = processesWith("user-agent").find(({ status }) =>
          status.Uid?.startsWith(`${mallory.uid} `)
        );
        return found !== undefined;
      });
      assert.ok(found);
      return { userAgent: found, lock };
    },
  );

  await step("it has her rights, all of her groups, and nobody else's", async () => {
    const { status } = processFacts(userAgent.pid);
    const four = (id: number) => Array.from({ length: 4 }, () => id).join(" ");
    assert.equal(status.Uid, four(mallory.uid));
    assert.equal(status.Gid, four(mallory.gid));
    const extra = (await execute("getent", "group", EXTRA_GROUP)).split(":")[2];
    assert.deepEqual(
      status.Groups?.split(" ").map(Number).toSorted(),
      [mallory.gid, Number(extra)].toSorted(),
    );
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) {
      assert.match(status[set] ?? "", /^0+$/, set);
    }
    assert.equal(status.NoNewPrivs, "1");
  });

  await step("nothing of her environment has reached it, nor have her programs run", () => {
    const { environment } = processFacts(userAgent.pid);
    const { DENO_DIR, DENO_NO_UPDATE_CHECK: _, ...rest } = environment;
    assert.ok(!DENO_DIR?.startsWith(mallory.home), DENO_DIR);
    assert.deepEqual(rest, {
      HOME: mallory.home,
      USER: mallory.name,
      LOGNAME: mallory.name,
      SHELL: "/bin/sh",
      PATH: "/usr/local/bin:/usr/bin:/bin",
      LANG: "C.UTF-8",
    });
    assert.equal(Deno.readTextFileSync(RAN), "");
  });

  await step(
    "stopped for ever, it delays neither alice's certificate nor her receipts",
    async () => {
      await executeAs(mallory, "sh", "-c", `kill -STOP ${userAgent.pid}`);
      assert.match(processFacts(userAgent.pid).status.State ?? "", /^T/);
      // Reports that would burst the agent's own, were they passed on as they come.
      const removed = Array.from({ length: 10 }, () => ({ kind: "leaf", id: "\x01".repeat(1000) }));
      const report = { userId: ids.mallory, state: "installed", held: [], removed };
      const request = httpRequest("POST", "/reports", JSON.stringify(report));
      const requests = Array.from({ length: 26 }, () => request);
      const answers = await client.ask(`${sockets}/worker.sock`, requests);
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([204]));
      await serve(false);
      await serve(true);
      assert.match(processFacts(userAgent.pid).status.State ?? "", /^T/);
    },
  );

  await step("let go, it does its work", async () => {
    await executeAs(mallory, "sh", "-c", `kill -CONT ${userAgent.pid}`);
    await lock[Symbol.asyncDispose]();
    await device.untilUsers("both are served", ({ state }) => state === "installed");
  });

  await step("her status is hers alone", async () => {
    const { stdout } = await new Deno.Command("setpriv", {
      ...asUser(mallory, program[0], ["status", "--json"]),
    }).output();
    const text = new TextDecoder().decode(stdout);
    const { users } = JSON.parse(text);
    assert.deepEqual(users.map(({ userId }: { userId: string }) => userId), [ids.mallory]);
    for (const others of [alice.name, ids.alice]) assert.ok(!text.includes(others));
  });

  await step("what she reports writes nobody else's line on root's terminal", async () => {
    const forged = `x\n${alice.name}      removed\x1b[2J\x9b2J\u2028\u202e`;
    const report = {
      userId: ids.mallory,
      state: "failed",
      held: [],
      removed: [],
      error: { code: "internal", message: forged },
    };
    const message = httpRequest("POST", "/reports", JSON.stringify(report));
    const [answer] = await client.ask(`${sockets}/agent.sock`, [message]);
    assert.equal(answer?.status, 204);
    for (const command of ["status", "doctor"]) {
      const { out } = await runProgram(program, [command]);
      assert.match(out, /removed/, command);
      assert.deepEqual(out.match(/[\p{Cf}\p{Zl}]|(?!\n)\p{Cc}/gu), null, command);
      assert.doesNotMatch(out, /^dt-alice +removed/m, command);
    }
  });

  await step("a certificate that she asks for alice is her own", async () => {
    const before = await known(alice);
    const pair = await crypto.subtle.generateKey(P256, false, ["sign", "verify"]);
    const spki = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey));
    const csr = await createCsr(spki, "P-256", async (message) => {
      const bytes = new Uint8Array(message);
      return new Uint8Array(
        await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, pair.privateKey, bytes),
      );
    }, alice.name);
    const body = JSON.stringify({ csr, userId: ids.alice, username: alice.name });
    const [answer] = await client.ask(`${sockets}/agent.sock`, [
      httpRequest("POST", "/certificates", body),
    ]);
    assert.equal(answer?.status, 200, answer?.body);
    const { leaf } = JSON.parse(answer?.body ?? "");
    const names = new X509Certificate(leaf).subjectAltName;
    assert.equal(names, `URI:urn:device-trust:${ids.device}:${ids.mallory}`);
    assert.deepEqual(await known(alice), before);
  });

  await step("an agent that cannot look into homes at all does all of its work", async () => {
    await device[Symbol.asyncDispose]();
    // What ProtectHome=yes of its unit comes to: root without a way past the modes of files.
    const without = "--bounding-set=-dac_override,-dac_read_search,-fowner";
    await using blind = driveDevice(["/usr/bin/setpriv", without, "--inh-caps=-all", ...program]);
    blind.startAgent();
    await server.distribute(false);
    await blind.untilUsers("both are removed", ({ state }) => state === "removed");
    await server.distribute(true);
    await blind.untilUsers("both are served", ({ state }) => state === "installed");
    await blind.unenroll();
    const ours = ["(", "-type", "d", "-name", "device-trust", ")", "-o", "-name", ".pki"];
    assert.equal(await execute("find", "/home", ...ours), "");
    assert.equal(Deno.readTextFileSync(RAN), "");
  });
});
