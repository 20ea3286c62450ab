/**
 * What hostile_user_test.ts has told: mallory, a managed user, against root's agent and against
 * alice, who is served all the while. What mallory puts into her own home is hostile_homes_story.ts.
 */
import assert from "node:assert/strict";
import { fingerprints } from "./fingerprints.ts";
import { setHostileStage } from "./hostile_stage.ts";
import { type Answer, chunkedRequest, httpRequest, vandalise } from "./hostile_user.ts";
import { z } from "zod";
import { tellStory } from "./private_root.ts";
import { memoryOf, processesWith, processFacts } from "./story_processes.ts";

const RUN = "/run/device-trust";
/** What root works with, beside the agent's run folder. */
const ROOTS_FOLDERS = [
  "/var/lib/device-trust",
  "/etc/opt/chrome",
  "/etc/chromium",
  "/usr/local/lib/device-trust",
];

const Counts = z.record(z.string(), z.number());

const is = (status: number) => (answer: Answer) => answer.status === status;

const isRefused = ({ status, error }: Answer) =>
  error !== undefined || status === 400 || status === 431;

await tellStory(async (step) => {
  const { device, agent, alice, mallory, client, ids, known, serve, untilAtRest } =
    await setHostileStage(step);
  const sockets = `${RUN}/users/${mallory.uid}`;
  const door = `${sockets}/agent.sock`;

  await step("she can plant, replace or delete nothing where root works", async () => {
    const folders = [RUN, `${RUN}/users`, sockets, `${RUN}/users/${alice.uid}`, ...ROOTS_FOLDERS];
    const files = [
      `${RUN}/control.sock`,
      ...[alice, mallory].map(({ uid }) => `${RUN}/users/${uid}/agent.sock`),
      ...["agent.lock", "worker.lock", "state.db", "device.key"]
        .map((name) => `/var/lib/device-trust/${name}`),
      "/etc/opt/chrome/policies/managed/JumpCloudCertificateAutoselect.json",
    ];
    const before = fingerprints(RUN, ...ROOTS_FOLDERS);
    const did = await vandalise(mallory, folders, files);
    assert.equal(did, "");
    assert.deepEqual(fingerprints(RUN, ...ROOTS_FOLDERS), before);
  });

  await step("her own socket is the only one that she can connect to", async () => {
    const question = httpRequest("GET", "/desired-state");
    for (const other of [`${RUN}/users/${alice.uid}/agent.sock`, `${RUN}/control.sock`]) {
      assert.deepEqual(await client.ask(other, [question]), [{ error: "PermissionDenied" }]);
    }
    const [own] = await client.ask(door, [question]);
    assert.equal(own?.status, 200);
    assert.match(own?.body ?? "", new RegExp(ids.mallory));
    assert.doesNotMatch(own?.body ?? "", new RegExp(ids.alice));
  });

  await step("nothing that she says there is about anybody else", async () => {
    const aliceNow = async () => {
      const { users } = await device.status();
      return [users.find(({ username }) => username === alice.name), await known(alice)];
    };
    const before = await aliceNow();
    const forged = { userId: ids.alice, state: "removed", held: [], removed: [] };
    const csr = "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n";
    const elsewhere = `/v1/devices/${crypto.randomUUID()}/users/${ids.alice}/certificates`;
    const requests: [request: string, answer: (answer: Answer) => boolean][] = [
      [httpRequest("POST", "/reports", JSON.stringify(forged)), is(409)],
      [httpRequest("POST", "/certificates", JSON.stringify({ csr, userId: ids.alice })), is(409)],
      [httpRequest("POST", `/v1/devices/${ids.device}/users/${ids.alice}/certificates`), is(404)],
      [httpRequest("POST", elsewhere, JSON.stringify({ csr })), is(404)],
      [httpRequest("GET", `/../${alice.uid}/desired-state`), is(404)],
      [httpRequest("POST", "/unenroll"), is(404)],
      [httpRequest("POST", "/reports", "x".repeat(64 * 1024 + 1)), is(413)],
      [httpRequest("POST", "/reports", "{"), is(422)],
      [chunkedRequest("POST", "/reports", "x".repeat(64 * 1024 + 1)), is(413)],
      // What is no HTTP may be hung up on without a word.
      ["GET\r\n\r\n", isRefused],
      ["\0\x01\x02".repeat(5000), isRefused],
      [`GET / HTTP/1.1\r\nx: ${"y".repeat(1_000_000)}\r\n\r\n`, isRefused],
    ];
    const answers = await client.ask(door, requests.map(([request]) => request));
    for (const [at, [request, isRight]] of requests.entries()) {
      const answer = answers[at] ?? {};
      assert.ok(isRight(answer), `${request.slice(0, 60)}: ${JSON.stringify(answer)}`);
    }
    assert.deepEqual(await aliceNow(), before);
    assert.doesNotMatch(device.log(), /(worker|server)\.failed/);
  });

  await step(
    "10,000 requests: a few are served, none costs memory, alice notices nothing",
    async () => {
      const before = memoryOf(processFacts(agent));
      const started = performance.now();
      await using flood = client.start("flood", door, 10_000);
      const all = flood.next();
      await serve(false);
      await serve(true);
      await all;
      const answers = await flood.end();
      const minutes = (performance.now() - started) / 60_000;
      const { "429": refused = 0, ...others } = Counts.parse(answers);
      const heard = Object.values(others).reduce((sum, count) => sum + count, 0);
      // Each minute by the clock, and each run of her user-agent, has 30.
      assert.ok(heard <= 30 * (Math.ceil(minutes) + 1 + 4), JSON.stringify(answers));
      assert.ok(refused + heard >= 10_000, JSON.stringify(answers));
      expectBounded(before);
    },
  );

  for (const name of ["agent.sock", "worker.sock"]) {
    await step(`thousands of connections to ${name} at once: four are let in`, async () => {
      const before = memoryOf(processFacts(agent));
      // A database that she holds keeps her user-agent, and with it the worker, waiting.
      await serve(false);
      await device.untilUsers("hers is gone too", ({ state }) => state === "removed");
      await using lock = client.start("lock", `${mallory.home}/.pki/nssdb/cert9.db`);
      await lock.next();
      await serve(true);
      await using hold = client.start("hold", `${sockets}/${name}`, 5000);
      await hold.next();
      await serve(false);
      await serve(true);
      expectBounded(before);
      for (const { pid } of [processFacts(agent), ...processesWith("agent-worker")]) {
        const open = [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
        assert.ok(open < 200, `${open} open files`);
      }
    });
  }

  await step("nothing of this is remembered against anybody", async () => {
    await device.untilUsers("both are served", ({ state }) => state === "installed");
    await untilAtRest();
    assert.doesNotMatch(device.log(), /(worker|server|door)\.failed/);
  });

  /** Much less than 10,000 bodies of 60 kB, or 5000 connections' buffers. */
  function expectBounded(before: { now: number }): void {
    const { most } = memoryOf(processFacts(agent));
    assert.ok(most < before.now + 64, `the agent: ${before.now} -> ${most} MiB`);
    for (const worker of processesWith("agent-worker")) {
      const { most } = memoryOf(worker);
      assert.ok(most < 256, `the worker: ${most} MiB`);
    }
  }
});
