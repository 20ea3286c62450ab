/**
 * Clocks that are wrong: the device's by years, set forward and back, and the server's. Everything
 * goes by the server's time; nothing is removed, and nothing renewed again and again, because of a
 * clock. The clock is in the test's hand, agent, user-agent and server are real.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { runAgent } from "../agent/agent.ts";
import { openLog } from "../agent/log.ts";
import { makeRunFolders } from "../platform/run_folders.ts";
import { State } from "../agent/state.ts";
import type { WorkerMessage } from "../agent/worker_messages.ts";
import { openServerTls } from "../ca/server_tls.ts";
import { certificateNames } from "../mock_server/listen_address.ts";
import { systemPaths } from "../platform/paths.ts";
import { type ClockDevice, DAY, withClockDevice, YEAR } from "./clock_device.ts";
import { makeDeviceRoot } from "./device_root.ts";
import { withDistortedServer } from "./distorted_server.ts";
import { driveDevice, programFromSource } from "./product.ts";
import { until } from "./until.ts";

/** Several rounds, after which there is what was there before, and nobody asked for anything. */
async function expectRest(device: ClockDevice, serials: string[], what: string): Promise<void> {
  const before = device.requests;
  for (let round = 1; round <= 3; round++) assert.equal(await device.round(), 0, what);
  assert.deepEqual(device.serials(), serials, what);
  assert.equal(device.requests, before, what);
}

for (
  const [name, ahead] of Object.entries({
    "20 years behind": -20 * YEAR,
    "20 years ahead": 20 * YEAR,
  })
) {
  Deno.test(`a device whose clock is ${name} at its start gets its leaf once, by the server's time`, () =>
    withClockDevice(async (device) => {
      assert.equal(await device.round(), 0);
      assert.equal(device.requests, 1);
      const [leaf] = device.leaves();
      assert.ok(leaf && Math.abs(leaf.notAfter.getTime() - Date.now() - 30 * DAY) < DAY);
      await expectRest(device, [leaf.serial], "while it is wrong");
      const direction = ahead > 0 ? "ahead of" : "behind";
      assert.match(
        await device.status(),
        new RegExp(
          `^clock +this computer's clock is 20 years ${direction} the agent server's\\n +-> timedatectl`,
          "m",
        ),
      );
      assert.match(await device.status(), /installed .* in 30 days .* in 1[4-6] days/);
      device.ahead = 0;
      await expectRest(device, [leaf.serial], "once it is right");
      assert.doesNotMatch(await device.status(), /^clock/m);
    }, ahead));
}

Deno.test("a clock that jumps while the server is away removes nothing, and nothing after it", () =>
  withClockDevice(async (device) => {
    await device.round();
    const serials = device.serials();
    assert.equal(serials.length, 1);
    await device.server.vanish();
    for (const ahead of [40 * DAY, 20 * YEAR, -20 * YEAR]) {
      device.ahead = ahead;
      assert.equal(await device.round(), 1, "the server is away");
      assert.deepEqual(device.serials(), serials);
      assert.equal(device.store.keys.size, 1);
    }
    await device.server.comeBack();
    for (const ahead of [40 * DAY, 20 * YEAR, -20 * YEAR, 0]) {
      device.ahead = ahead;
      await expectRest(device, serials, `${ahead / DAY} days ahead`);
    }
    const events = await device.serverEvents();
    assert.ok(!events.includes("certificate.reissued") && !events.includes("certificate.renewed"));
  }));

Deno.test("a leaf is renewed by the server's time, once, whatever the device's clock says", () =>
  withClockDevice(async (device) => {
    await device.round();
    const [first = ""] = device.serials();
    device.ahead = 15.5 * DAY;
    await expectRest(device, [first], "the device's clock alone says that it is due");
    for (const ahead of [0, -YEAR]) {
      device.ahead = ahead;
      await device.setServerClock(13 * DAY);
      await expectRest(device, device.serials(), "not yet");
    }
    await device.setServerClock(16 * DAY);
    assert.equal(await device.round(), 0);
    assert.equal(device.requests, 2);
    const both = device.serials();
    assert.ok(both.length === 2 && both[0] === first, "the elder stays for its overlap");
    await expectRest(device, both, "the successor is new");
    await device.setServerClock(24 * DAY);
    assert.equal(await device.round(), 0);
    assert.deepEqual(device.serials(), both.slice(1), "after the overlap, by the server's time");
    assert.equal(device.requests, 2);
  }));

Deno.test("a server's clock that goes wrong and right again causes one leaf at most", () =>
  withClockDevice(async (device) => {
    await device.round();
    await device.setServerClock(200 * DAY);
    assert.equal(await device.round(), 0);
    assert.equal(device.requests, 2, "by its time the first has expired");
    const serials = device.serials();
    await expectRest(device, serials, "while it is wrong");
    assert.match(await device.status(), /clock is 200 days behind the agent server's/);
    await device.setServerClock(0);
    await expectRest(device, serials, "once it is right");
    assert.equal(serials.length, 1);
  }));

Deno.test("a leaf that expired while the device was off is replaced once, also by a wrong clock", () =>
  withClockDevice(async (device) => {
    await device.round();
    const [first] = device.serials();
    await device.setServerClock(31 * DAY);
    device.ahead = 5 * YEAR;
    assert.equal(await device.round(), 0);
    const serials = device.serials();
    assert.ok(serials.length === 1 && serials[0] !== first);
    assert.equal(device.store.keys.size, 1, "the old key went with its leaf");
    await expectRest(device, serials, "replaced once");
  }));

Deno.test("the audit log outlives a clock that is wrong by years", () =>
  withClockDevice(async (device) => {
    await device.round();
    const ids = () => device.state.events(100).map(({ eventId }) => eventId);
    const before = ids();
    assert.ok(before.length > 1);
    await device.server.vanish();
    device.ahead = 20 * YEAR;
    await device.round();
    device.state.recordEvent("user.failed", "by a wrong clock");
    await device.server.comeBack();
    await device.round();
    assert.deepEqual(ids().slice(-before.length), before);
  }));

/** A worker that notes what it is told, a line each, and is idle at once. */
const WORKER = `
const [file] = Deno.args;
const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream());
let handled = 0;
for await (const chunk of lines) {
  for (const line of chunk.split("\\n").filter(Boolean)) {
    Deno.writeTextFileSync(file, line + "\\n", { append: true });
    const { do: what, uid } = JSON.parse(line);
    if (what === "channel") console.log(JSON.stringify({ is: "channel", uid }));
    const idle = { is: "idle", handled: ++handled, uids: [], enrolled: true };
    console.log(JSON.stringify(idle));
  }
}
`;

for (const [name, jump] of Object.entries({ "two years on": 2 * YEAR, "a day back": -DAY })) {
  Deno.test(`a clock that jumps ${name} under a running agent is trusted again once the server told the time`, () =>
    withDistortedServer(async (server, folder) => {
      const root = `${folder}/device`;
      await makeDeviceRoot(root, []);
      await driveDevice(programFromSource(root)).enroll(server);
      const paths = systemPaths({ os: "linux", root });
      makeRunFolders(paths, root);
      const told = `${folder}/told`;
      await Deno.writeTextFile(`${folder}/worker.js`, WORKER);
      const argv = [Deno.execPath(), "run", "-A", "--quiet", `${folder}/worker.js`, told] as const;
      let ahead = 0;
      const now = () => Date.now() + ahead;
      const end = new AbortController();
      const running = runAgent({
        paths,
        privileged: false,
        meeting: "sockets",
        system: {},
        state: new State(`${paths.stateDir}/state.db`, now),
        deviceKey: `${paths.stateDir}/device.key`,
        program: { argv, env: {}, files: [] },
        log: openLog({ write: () => {}, text: false }),
        now,
        random: () => 0,
        enrollByConfiguration: () => Promise.resolve(false),
        signal: end.signal,
      });
      const messages = (): WorkerMessage[] =>
        existsSync(told)
          ? Deno.readTextFileSync(told).split("\n").filter(Boolean).map((line) => JSON.parse(line))
          : [];
      const asked = () => server.asked("desired-state").length;
      try {
        await until("it holds a question", () => messages().length === 1 && asked() === 2);
        assert.deepEqual(messages()[0]?.clock, { offset: 0, known: true });
        ahead = jump;
        // Somebody knocks before anybody else has looked at the clock.
        const knock = await Deno.connect({ transport: "unix", path: paths.control });
        await until("the worker is told of the knock", () => messages().length >= 2);
        knock.close();
        const isRight = ({ clock }: WorkerMessage) =>
          clock.known && Math.abs(clock.offset + jump) < 60_000;
        await until(
          "the worker is told of the time",
          () => messages().slice(1).some((message) => message.do === "retry" && isRight(message)),
        );
        for (const message of messages().slice(1)) {
          assert.ok(!message.clock.known || isRight(message), JSON.stringify(message));
        }
        // It was told that its clock is wrong, then the time; what it asks then is held.
        await until("it holds a question again", () => asked() === 5);
      } finally {
        end.abort();
        await running;
      }
      assert.equal(asked(), 5, "it does not ask over and over");
    }));
}

for (const [name, at] of Object.entries({ "is over": -3 * YEAR, "has not begun": 3 * YEAR })) {
  Deno.test(`a TLS certificate whose time ${name} by this clock is told as a matter of clocks`, () =>
    withClockDevice(async (device) => {
      await device.round();
      const serials = device.serials();
      const { server } = device;
      await server.vanish();
      // By the authority that the device trusts.
      const tls = await openServerTls(dirname(dirname(server.tls.caPath)), {
        ...certificateNames(["localhost"]),
        now: new Date(Date.now() + at),
      });
      {
        await using _other = await server.impersonate(tls, () => new Response("", { status: 500 }));
        assert.equal(await device.round(), 1);
      }
      assert.equal(device.state.sync().error?.code, "clock");
      assert.match(
        await device.status(),
        /^problem +Cannot use the TLS certificate .* this computer's clock, .*GMT\..*\n +-> timedatectl/m,
      );
      assert.deepEqual(device.serials(), serials);
      await server.comeBack();
      await expectRest(device, serials, "once it is right");
      assert.doesNotMatch(await device.status(), /^problem/m);
    }));
}
