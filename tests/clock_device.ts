/**
 * A device all of whose parts go by one clock that a test sets: the agent's rounds, its server client
 * and its user-agent are real, and so is the server that they ask; the store is in memory.
 */
import { X509Certificate } from "node:crypto";
import { runAgentOnce } from "../agent/agent_once.ts";
import { enroll } from "../agent/enrollment.ts";
import { socketExchange } from "../agent/exchange.ts";
import { openLocalClient } from "../agent/local_client.ts";
import { openLog } from "../agent/log.ts";
import { pause } from "../agent/pause.ts";
import { makeRunFolders } from "../platform/run_folders.ts";
import { accountSockets } from "../agent/sockets.ts";
import { State } from "../agent/state.ts";
import { readStatus } from "../agent/status.ts";
import { statusText } from "../agent/status_text.ts";
import { runUserAgent } from "../agent/user_agent.ts";
import { type Certificate, parseCertificate } from "../ca/certificate.ts";
import type { Account } from "../platform/accounts.ts";
import { ensureRootOwnedDir, readUserFile } from "../platform/files.ts";
import { emptyMemoryStore, openMemoryStore } from "../platform/memory_store.ts";
import { type SystemPaths, systemPaths } from "../platform/paths.ts";
import type { DevicePlatform, UserAgentExit } from "../platform/platform.ts";
import { type DistortedServer, withDistortedServer } from "./distorted_server.ts";

/** Milliseconds. */
export const DAY = 86_400_000;
/** Milliseconds. */
export const YEAR = 365.25 * DAY;

/** The device, with one managed user, alice. */
export class ClockDevice {
  /** How far its clock is ahead of this machine's, milliseconds. */
  ahead = 0;
  /** How far the server's clock is ahead of this machine's, milliseconds, as was asked for last. */
  serverAhead = 0;
  readonly store = emptyMemoryStore();
  readonly state: State;
  readonly #paths: SystemPaths;
  readonly #home: string;
  readonly #platform: DevicePlatform;

  constructor(readonly server: DistortedServer, folder: string) {
    const root = `${folder}/device`;
    this.#home = `${folder}/home`;
    this.#paths = systemPaths({ os: "linux", root });
    Deno.mkdirSync(root);
    Deno.mkdirSync(this.#home);
    ensureRootOwnedDir(this.#paths.stateDir, { mode: 0o700, root });
    makeRunFolders(this.#paths, root);
    this.state = new State(`${this.#paths.stateDir}/state.db`, this.now);
    this.#platform = {
      os: "linux",
      paths: this.#paths,
      root,
      privileged: false,
      meeting: "sockets",
      makeRunFolders: (uid) => makeRunFolders(this.#paths, root, uid),
      readUserFile,
      system: () => Promise.resolve({ os: "linux", hostname: "laptop", osVersion: "Test 1" }),
      account: (name) => Promise.resolve({ name, uid: UID, home: "/", runAs: "self" }),
      writeFilters: () => [],
      inspectFilters: () => [],
      touchFilters: () => [],
      removeFilters: () => ({ removed: [], removedDirectories: [], left: [] }),
      startUserAgent: (account) => this.#userAgent(account),
    };
  }

  readonly now = () => Date.now() + this.ahead;

  /** Enrols it and binds alice. */
  async enroll(): Promise<void> {
    const { server, state, now } = this;
    const { deviceId } = await enroll(
      { state, deviceKey: this.#deviceKey, system: await this.#platform.system(), now },
      {
        server: server.agentUrl,
        connectKey: () => Promise.resolve(server.connectKey),
        serverCa: await Deno.readTextFile(server.serverCa),
      },
    );
    await server.administrator.bind(deviceId, "alice");
  }

  /** Sets the server's clock so far ahead of this machine's. */
  async setServerClock(ahead: number): Promise<void> {
    this.serverAhead = ahead;
    const body = { clockSkewSeconds: Math.round(ahead / 1000) };
    await this.server.administrator.admin("PUT", "/faults", body);
  }

  /** One round of an agent that has just started. Gives its exit code. */
  async round(): Promise<number> {
    const { state, now } = this;
    return await runAgentOnce({
      platform: this.#platform,
      state,
      program: { argv: ["device-trust"], env: {}, files: [] },
      deviceKey: this.#deviceKey,
      log: openLog({ write: () => {}, text: false }),
      now,
      random: () => 0.5,
      pause,
      signal: new AbortController().signal,
    });
  }

  /** How often a certificate was asked for. */
  get requests(): number {
    return this.server.asked("certificates").length;
  }

  /** The leaves in alice's store, the newest last. */
  leaves(): Certificate[] {
    return [...this.store.certificates.values()]
      .filter((der) => !new X509Certificate(der).ca)
      .map(parseCertificate)
      .toSorted((one, other) => one.notAfter.getTime() - other.notAfter.getTime());
  }

  /** Their serials. */
  serials(): string[] {
    return this.leaves().map(({ serial }) => serial);
  }

  /** Types of events that the server recorded since it was made. */
  async serverEvents(): Promise<string[]> {
    const list = Object(await this.server.administrator.admin("GET", "/events?limit=500"));
    return list.items.map(({ type }: { type: string }) => type);
  }

  /** `status`, as a person reads it. */
  async status(): Promise<string> {
    const report = await readStatus(this.#platform, this.now);
    return statusText(report, { now: this.now(), color: false, command: "device-trust" });
  }

  get #deviceKey(): string {
    return `${this.#paths.stateDir}/device.key`;
  }

  async #userAgent({ uid }: Account): Promise<UserAgentExit> {
    const client = openLocalClient(socketExchange(accountSockets(this.#paths, uid).worker));
    try {
      const result = await runUserAgent({
        client,
        stateDir: `${this.#home}/.local/state/device-trust`,
        checkHome: () => Promise.resolve(),
        openStore: () => openMemoryStore(this.store),
        removeCreated: () => Promise.resolve([]),
        runningBrowsers: () => Promise.resolve([]),
        now: this.now,
        random: () => 0.5,
        sleep: () => Promise.resolve(),
      });
      return { code: result === "done" ? 0 : 4, timedOut: false, errors: "" };
    } finally {
      client.close();
    }
  }
}

/** Of an account that is nobody's: nothing here runs as it. */
const UID = "61301";

/** Runs a test with a device whose clock is set before it enrols. */
export async function withClockDevice(
  test: (device: ClockDevice) => Promise<void>,
  ahead = 0,
): Promise<void> {
  await withDistortedServer(async (server, folder) => {
    const device = new ClockDevice(server, folder);
    try {
      device.ahead = ahead;
      await device.enroll();
      await test(device);
    } finally {
      device.state.close();
    }
  });
}
