/** One piece of the agent's work, as its worker process does it, with the user-agents that it runs. */
import { DeviceWorker, type WorkerWorld } from "../../agent/device_worker.ts";
import { KeyRefused } from "../../agent/key_refused.ts";
import { leave } from "../../agent/leave.ts";
import type { LocalClient } from "../../agent/local_client.ts";
import {
  LocalBundle,
  LocalCertificateRequest,
  UserAgentReport,
  UserSlice,
} from "../../agent/local_contract.ts";
import { openLog } from "../../agent/log.ts";
import { openServerClient, type ServerClock } from "../../agent/server_client.ts";
import { runUserAgent } from "../../agent/user_agent.ts";
import type { Account } from "../../platform/accounts.ts";
import { Problem, toProblem } from "../../platform/errors.ts";
import type { UserAgentExit } from "../../platform/platform.ts";
import type { Device } from "./device.ts";
import type { Home } from "./home.ts";
import { Killed, Process } from "./process.ts";
import { MINUTE } from "./timeline.ts";

/** What a worker is told; see agent/worker_messages.ts. The last two are an administrator's. */
export type WorkMessage =
  | { do: "desired"; etag: string; body: string; check: boolean }
  | { do: "retry" | "deleted" | "unenroll" | "renew" };

/** How work ended. */
export interface WorkResult {
  end: "done" | "refused" | "failed" | "device-killed";
  nextTry?: number;
}

const LOG = openLog({ write: () => {}, text: false });

/** Does it, with a new worker over the device's state. */
export async function doWork(
  device: Device,
  message: WorkMessage,
  clock: ServerClock,
): Promise<WorkResult> {
  const { trace } = device.world;
  const doomed = device.fuse;
  const process = new Process(
    doomed && doomed.victim !== "user-agent" ? doomed.fuse : undefined,
    () => trace.count(`kill ${doomed?.victim}`),
  );
  const work = new Work(device, process, clock);
  try {
    return await work.run(message);
  } catch (error) {
    process.dead = true;
    if (doomed?.victim === "device" && doomed.fuse.acts <= 0) return { end: "device-killed" };
    trace.line(`${device.name} worker failed: ${toProblem(error).message}`);
    return { end: "failed" };
  } finally {
    if (doomed && doomed.fuse.acts <= 0) {
      device.fuse = undefined;
      device.disturb();
    }
    work.close();
  }
}

class Work {
  readonly #worker: DeviceWorker;
  readonly #world: WorkerWorld;
  /** User-agents run one after the other: what is random in how long signing takes shall not show. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly device: Device,
    private readonly process: Process,
    clock: ServerClock,
  ) {
    const identity = device.identity();
    if (!identity) throw new Error("A device without an identity has no work.");
    const network = process.guard(device.network);
    const platform = process.guard({
      ...device.platform(),
      startUserAgent: (account: Account) => this.#inTurn(() => this.#userAgent(account)),
    });
    this.#world = {
      platform,
      identity,
      state: process.guard(device.state),
      client: openServerClient({
        publicUrl: identity.device.publicUrl,
        signer: identity.key.signer(identity.device.deviceId),
        clock: { ...clock },
        now: device.now,
        network,
      }),
      program: { argv: ["device-trust"], env: {}, files: [] },
      log: LOG,
      now: device.now,
      random: device.world.random.next,
      // Nothing of this work is to be told, or touched, before all of it is done.
      pause: (_, signal) =>
        new Promise((resolve) => signal.addEventListener("abort", () => resolve())),
      callUserAgent: () => Promise.resolve(true),
    };
    this.#worker = new DeviceWorker(this.#world);
  }

  async run(message: WorkMessage): Promise<WorkResult> {
    let refused = false;
    try {
      await this.#handle(message);
    } catch (error) {
      if (this.process.dead) throw error;
      this.device.world.trace.line(`${this.device.name} refused: ${toProblem(error).message}`);
      refused = true;
    }
    await this.#worker.settle();
    if (this.#worker.isClean()) await this.#leave();
    const nextTry = this.#worker.nextTry();
    return { end: refused ? "refused" : "done", ...(nextTry === undefined ? {} : { nextTry }) };
  }

  close(): void {
    this.#worker.stop();
  }

  async #handle(message: WorkMessage): Promise<void> {
    switch (message.do) {
      case "desired":
        return await this.#worker.desired(message.etag, message.body, message.check);
      case "retry":
        return await this.#worker.sync(false);
      case "deleted":
        return await this.#worker.leave("deleted");
      case "unenroll":
        return await this.#leave();
      case "renew":
        await this.#worker.renew();
    }
  }

  async #leave(): Promise<void> {
    await leave(this.#worker, { ...this.#world, deviceKey: "/nowhere/device.key" });
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(run, run);
    this.#turn = turn;
    return turn;
  }

  async #userAgent(account: Account): Promise<UserAgentExit> {
    const { device, process } = this;
    const home = device.homes.get(account.name);
    if (!home || process.dead) throw new Killed();
    const doomed = device.fuse;
    const own = !doomed || doomed.victim === "device" ? process : new Process(
      doomed.victim === "user-agent" && doomed.fuse.acts > 0 ? doomed.fuse : undefined,
      () => device.world.trace.count("kill user-agent"),
    );
    try {
      const result = await this.#runUserAgent(home, own);
      device.world.trace.line(`${device.name}/${home.name} user-agent: ${result}`);
      return { code: 0, timedOut: false, errors: "" };
    } catch (error) {
      if (process.dead) throw error;
      device.world.trace.line(`${device.name}/${home.name} user-agent ended: ${String(error)}`);
      return { code: error instanceof Killed ? 137 : 1, timedOut: false, errors: String(error) };
    }
  }

  async #runUserAgent(home: Home, process: Process): Promise<string> {
    const { now, world: { random, timeline } } = this.device;
    const ledger = home.ledgerPlace(now);
    return await runUserAgent({
      client: process.guard(this.#channel(String(home.account.uid))),
      stateDir: "/nowhere",
      ledger: process.guard({
        ...ledger,
        open: async () => process.guard(await ledger.open()),
      }),
      checkHome: () => {
        if (home.trouble !== "home-missing") return Promise.resolve();
        return Promise.reject(new Problem("home-missing", "The home is not mounted."));
      },
      openStore: () => process.guard(home.openStore()),
      removeCreated: () => Promise.resolve([]),
      runningBrowsers: () => Promise.resolve([]),
      now,
      random: random.next,
      sleep: (milliseconds) => Promise.resolve(timeline.pass(Math.min(milliseconds, MINUTE))),
    });
  }

  /** The channel between user-agent and agent: what crosses it is text, and parsed at both ends. */
  #channel(uid: string): LocalClient {
    const { requests } = this.#worker;
    const asked = async <T>(answer: () => T | Promise<T>): Promise<T> => {
      try {
        return await answer();
      } catch (error) {
        if (this.process.dead) throw new Problem("unreachable", "The agent is gone.");
        const { code, message } = toProblem(error);
        throw error instanceof KeyRefused ? new KeyRefused(message) : new Problem(code, message);
      }
    };
    return {
      slice: () =>
        asked(() => ({ etag: '"1"', slice: UserSlice.parse(text(requests.slice(uid))) })),
      certificate: (request) =>
        asked(async () => {
          const parsed = LocalCertificateRequest.parse(text(request));
          return LocalBundle.parse(text(await requests.certificate(uid, parsed)));
        }),
      report: (report) => asked(() => requests.report(uid, UserAgentReport.parse(text(report)))),
      close: () => {},
    };
  }
}

function text(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
