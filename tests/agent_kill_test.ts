/**
 * The agent, with its worker's work, killed before each change that it makes to the world: through
 * enrolment, ON, renewal, OFF and unenrolment. The next start leaves what an undisturbed one would
 * have left.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { expectEmpty, expectLeft, expectServed, type SeenDevice } from "./converged_device.ts";
import { inPassableFolder, makeDeviceRoot } from "./device_root.ts";
import { killedAt, planKill, probed, type Role } from "./kill_plan.ts";
import {
  driveDevice,
  type DrivenServer,
  type Outcome,
  type Program,
  programFromSource,
  runProgram,
  startMockServer,
} from "./product.ts";
import { testWith } from "./skip.ts";

const ALICE = ["alice"];

/** As many devices as the longest phase has points to be killed at, and one that is not. */
const DEVICES = 52;

/** Processes at once: they wait for each other, and for the server, most of the time. */
const AT_ONCE = 3;

/** What an administrator has done, and what it leads to. */
interface Phase {
  role: Role;
  /** The command that is killed. */
  args: string[];
  /** What is started after that; the same command by default. */
  again?: string[];
  /** Its exit codes; 0 by default. */
  codes?: number[];
  expect: (device: FleetDevice) => Promise<unknown>;
}

testWith(
  ["libnss3", "certutil"],
  "killed before each of its changes, the agent leaves nothing that its next start does not put right",
  async (t) => {
    await inPassableFolder(async (folder) => {
      await using server = await startMockServer(programFromSource(), `${folder}/server`);
      const fleet = new Fleet(server, folder);
      await fleet.each((device) => makeDeviceRoot(device.root, ALICE));
      let kills = 0;
      const phase = async (name: string, phase: Phase) => {
        let points = 0;
        await t.step(name, async () => void (points = await fleet.play(phase)));
        await t.step(`${name} was killed at each of its ${points} points`, () => {
          assert.ok(points > 0);
        });
        kills += points;
      };
      const where = ["--server", server.agentUrl, "--server-ca", server.serverCa];
      const once = ["agent", "--once"];

      await phase("enrolment", {
        role: "enroll",
        args: ["enroll", ...where, "--connect-key-file", "-"],
        expect: (device) => device.bind(),
      });
      await server.distribute(true);
      const expect = (device: SeenDevice) => expectServed(device, ALICE);
      await phase("ON", { role: "agent", args: once, expect });
      await phase("renewal", { role: "renew", args: ["renew"], again: once, expect });
      await server.distribute(false);
      const empty = async (device: SeenDevice) => {
        await expectEmpty(device, ALICE);
        assert.equal(existsSync(`${device.root}/etc/opt`), false, "folders that we made");
      };
      await phase("OFF", { role: "agent", args: once, expect: empty });
      await server.distribute(true);
      await t.step("ON again", () => fleet.each((device) => device.run(once)));
      await phase("unenrolment", {
        role: "unenroll",
        args: ["unenroll"],
        // Killed after the last thing went, it leaves nothing to do.
        codes: [0, 3],
        expect: (device) => expectLeft(device, ALICE),
      });
      await t.step(`${kills} kills in all`, () => assert.ok(kills > 150));
    });
  },
);

/** Devices with one managed user each. */
class Fleet {
  readonly #devices: FleetDevice[];

  constructor(server: DrivenServer, folder: string) {
    this.#devices = Array.from({ length: DEVICES }, (_, at) => {
      return new FleetDevice(`${folder}/${at + 1}`, server);
    });
  }

  /**
   * Kills the n-th device's agent at the n-th point of a phase, until one of them comes to its end
   * unharmed. Gives the number of points.
   */
  async play({ role, args, again = args, codes = [0], expect }: Phase): Promise<number> {
    const failures: string[] = [];
    let points = 0;
    let unharmed = 0;
    await this.each(async (device, at) => {
      planKill(device.root, role, at);
      const { code, err } = await device.run(args);
      const killed = killedAt(device.root);
      try {
        if (killed === undefined) assert.equal(code, 0, err);
        else await device.run(again, codes);
        await expect(device);
      } catch (error) {
        failures.push(`At point ${at}, killed before ${killed}: ${error}`);
      }
      if (killed === undefined) unharmed++;
      else points++;
    });
    assert.deepEqual(failures, []);
    assert.ok(unharmed > 0, "the phase has more points than there are devices");
    return points;
  }

  /** Does something with every device, a few at a time. */
  async each(work: (device: FleetDevice, at: number) => Promise<unknown>): Promise<void> {
    const left = this.#devices.entries();
    const worker = async () => {
      for (const [index, device] of left) await work(device, index + 1);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }
}

/** One device of the fleet. */
class FleetDevice implements SeenDevice {
  deviceId = "";
  readonly #program: Program;

  constructor(readonly root: string, readonly server: DrivenServer) {
    this.#program = probed(programFromSource(root));
  }

  /** Runs a command to its end, which is one of these codes if it is not a kill. */
  async run(args: string[], codes?: number[]): Promise<Outcome> {
    const outcome = await runProgram(this.#program, args, this.server.connectKey);
    if (codes) {
      assert.ok(codes.includes(outcome.code), `${args[0]}: ${outcome.code} ${outcome.err}`);
    }
    return outcome;
  }

  /** Binds a user to its account, once it is enrolled. */
  async bind(): Promise<void> {
    const { device } = await driveDevice(this.#program).status();
    this.deviceId = device.id ?? "";
    const email = `${this.deviceId}@example.com`;
    const user = await this.server.admin("POST", "/users", { email });
    const path = `/devices/${this.deviceId}/users/${Object(user).userId}`;
    await this.server.admin("PUT", path, { username: "alice" });
  }
}
