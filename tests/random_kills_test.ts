/**
 * 200 `kill -9` at instants that nobody chose, of the agent, its worker and its user-agents, while
 * an administrator turns distribution ON and OFF and has leaves renewed. Whenever they are let be,
 * what is on the devices is what the agent server says, counted by certutil: no orphan.
 */
import { expectEmpty, expectServed, isReported, type SeenDevice } from "./converged_device.ts";
import { inPassableFolder, makeDeviceRoot } from "./device_root.ts";
import {
  driveDevice,
  type DrivenServer,
  type Program,
  programFromSource,
  startMockServer,
} from "./product.ts";
import { until } from "./until.ts";
import { processesUnder, type RunningProgram, startProgram } from "./running_agent.ts";
import { Random } from "./simulation/random.ts";
import { testWith } from "./skip.ts";

/** `KILLS=2000` makes a long run of it, `SEED` plays one again (as far as processes obey one). */
const KILLS = Number(Deno.env.get("KILLS") ?? 200);
const SEED = Number(Deno.env.get("SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0]);

/** Devices at once, each with a server of its own. */
const DEVICES = 2;
/** Kills after which a device is let be, and looked at. */
const BATCH = 20;
/** How often to look for a process that works, before the agent is killed instead. */
const LOOKS = 6;
/** Longest that a process is let live once it was chosen, milliseconds. */
const LONGEST_LIFE = 250;

const NAMES = ["alice", "bob", "carol"];

testWith(
  ["libnss3", "certutil"],
  `${KILLS} kills at random instants leave no orphan (SEED=${SEED})`,
  async () => {
    await inPassableFolder(async (folder) => {
      const worlds = Array.from({ length: DEVICES }, (_, at) => async () => {
        await using server = await startMockServer(programFromSource(), `${folder}/server-${at}`);
        await using device = await Victim.prepare(`${folder}/${at}`, server, SEED + at);
        for (let kills = 0; kills < KILLS / DEVICES; kills += BATCH) await device.suffer();
      });
      await Promise.all(worlds.map((play) => play()));
    });
  },
);

/** A device whose processes are killed, and its administrator. */
class Victim implements SeenDevice, AsyncDisposable {
  readonly #program: Program;
  readonly #random: Random;
  #agent: RunningProgram;
  #isOn = true;

  private constructor(
    readonly root: string,
    readonly server: DrivenServer,
    readonly deviceId: string,
    seed: number,
  ) {
    this.#random = new Random(seed);
    this.#program = programFromSource(root);
    this.#agent = startProgram(this.#program, ["agent"]);
  }

  /** One with some users, enrolled, its agent running. */
  static async prepare(root: string, server: DrivenServer, seed: number): Promise<Victim> {
    await makeDeviceRoot(root, NAMES);
    const deviceId = await driveDevice(programFromSource(root)).enroll(server);
    for (const name of NAMES) await server.bind(deviceId, name);
    await server.distribute(true);
    const victim = new Victim(root, server, deviceId, seed);
    await victim.#converge(0);
    return victim;
  }

  /** Is killed so many times while there is work, then let be, and has converged. */
  async suffer(): Promise<void> {
    for (let kills = 1; kills < BATCH; kills++) {
      await this.#administer();
      await (this.#random.chance(0.2) ? this.#killAgent() : this.#killSomething());
    }
    await this.#turn(this.#random.chance(0.6));
    // The last kill is the agent's: who starts anew waits for no back-off.
    await this.#killAgent();
    try {
      await this.#converge(Date.now());
    } catch (error) {
      throw new Error(this.#agent.log(), { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent[Symbol.asyncDispose]();
  }

  /** Something for the agent to do. */
  async #administer(): Promise<void> {
    if (this.#random.chance(0.4)) await this.#turn(!this.#isOn);
    else if (this.#random.chance(0.5)) {
      await this.server.admin("POST", "/certificates/renew", { spreadSeconds: 0 });
    }
  }

  async #turn(on: boolean): Promise<void> {
    this.#isOn = on;
    await this.server.distribute(on);
  }

  /** Kills something that works for the agent, at some instant of its life; else the agent. */
  async #killSomething(): Promise<void> {
    for (let looks = 0; looks < LOOKS; looks++) {
      await pause(this.#random.between(0, LONGEST_LIFE));
      const pids = workersUnder(this.root);
      if (pids.length > 0 && kill(this.#random.pick(pids))) return;
    }
    // At rest, or after a failure: not for long.
    await this.#killAgent();
  }

  async #killAgent(): Promise<void> {
    await pause(this.#random.between(0, LONGEST_LIFE));
    await this.#agent.end("SIGKILL");
    // What the service manager does.
    this.#agent = startProgram(this.#program, ["agent"]);
  }

  /** Waits until nothing works, and everything is as the administrator wants it. */
  async #converge(since: number): Promise<void> {
    const wanted = this.#isOn ? "installed" : "removed";
    const isReady = () => isReported(this, NAMES, wanted, since);
    await until("the device has converged", () => {
      return isReady() && workersUnder(this.root).length === 0 && isReady();
    });
    await (this.#isOn ? expectServed(this, NAMES) : expectEmpty(this, NAMES));
  }
}

/** Processes that work on the device under `root`, beside the agent. */
function workersUnder(root: string): number[] {
  return processesUnder(root).filter(({ role }) => role === "agent-worker" || role === "user-agent")
    .map(({ pid }) => pid);
}

/** False when it has ended by itself. */
function kill(pid: number): boolean {
  try {
    Deno.kill(pid, "SIGKILL");
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
