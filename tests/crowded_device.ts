/**
 * A device with very many users in one process: the agent's worker, user-agents and the agent
 * server are the real ones, stores and ledgers are in memory, and the network is a call.
 */
import { Ledger } from "../agent/ledger.ts";
import type { LedgerPlace } from "../agent/ledger_file.ts";
import { DeviceWorker } from "../agent/device_worker.ts";
import type { LocalClient } from "../agent/local_client.ts";
import { LocalBundle, UserSlice } from "../agent/local_contract.ts";
import { openLog } from "../agent/log.ts";
import { createDeviceKey } from "../agent/new_device_key.ts";
import type { ServerAnswer, ServerClient } from "../agent/server_client.ts";
import { State } from "../agent/state.ts";
import { runUserAgent } from "../agent/user_agent.ts";
import { changeSettings } from "../mock_server/fleet_changes.ts";
import { scratchFleet } from "../mock_server/scratch_context.ts";
import { type DeviceHost, ScratchDevice } from "../mock_server/scratch_device.ts";
import type { Account } from "../platform/accounts.ts";
import { Problem } from "../platform/errors.ts";
import {
  emptyMemoryStore,
  type MemoryStoreState,
  openMemoryStore,
} from "../platform/memory_store.ts";
import { systemPaths } from "../platform/paths.ts";
import type { DevicePlatform, UserAgentExit } from "../platform/platform.ts";

const FIRST_UID = 10_000;

/** What a user has. */
export interface CrowdedHome {
  account: Account;
  store: MemoryStoreState;
  ledger: LedgerPlace;
  /** Keeps this user's user-agent waiting until it resolves. */
  held?: Promise<void>;
}

/** The device. */
export class CrowdedDevice implements Disposable {
  readonly homes = new Map<string, CrowdedHome>();
  readonly worker: DeviceWorker;
  /** User-agents that run now, that ran at once at most, and that ran in all. */
  readonly running = { now: 0, most: 0, all: 0 };
  readonly #state: State;

  private constructor(
    folder: string,
    private readonly server: DeviceHost,
    private readonly device: ScratchDevice,
    key: Awaited<ReturnType<typeof createDeviceKey>>,
  ) {
    const { publicUrl, authority: { root, intermediate } } = server.context;
    const now = () => server.clock.now;
    this.#state = new State(`${folder}/state.db`, now);
    const record = {
      deviceId: device.deviceId,
      server: publicUrl,
      publicUrl,
      root: root.pem,
      intermediate: intermediate.pem,
      leaving: false,
    };
    this.#state.saveDevice(record);
    this.worker = new DeviceWorker({
      state: this.#state,
      platform: this.#platform(),
      identity: { device: record, key },
      client: this.#client(),
      program: { argv: ["device-trust"], env: {}, files: [] },
      log: openLog({ write: () => {}, text: false }),
      now,
      random: Math.random,
      pause: (_, signal) =>
        new Promise((resolve) => signal.addEventListener("abort", () => resolve())),
      callUserAgent: () => Promise.resolve(true),
    });
  }

  /** Enrols one with so many users, each bound to an account; its state is in `folder`. */
  static async open(folder: string, server: DeviceHost, users: number): Promise<CrowdedDevice> {
    const device = await ScratchDevice.create(server);
    await device.enroll();
    const key = await createDeviceKey(`${folder}/device.key`);
    const crowded = new CrowdedDevice(folder, server, device, key);
    for (let at = 0; at < users; at++) {
      const name = `user${at}`;
      const userId = scratchFleet(server.context).addUser(`${name}@example.com`);
      server.context.store.bindings.put(device.deviceId, userId, name, server.clock.now);
      const id = FIRST_UID + at;
      const runAs = { uid: id, gid: id, groups: "own" } as const;
      crowded.homes.set(name, {
        account: { name, uid: String(id), home: `/home/${name}`, runAs },
        store: emptyMemoryStore(),
        ledger: memoryLedger(now(server)),
      });
    }
    return crowded;
  }

  /** Turns distribution ON or OFF and works until the server has nothing new to say. */
  async distribute(on: boolean): Promise<void> {
    changeSettings(this.server.context, { globalCertificateDistribution: on });
    await this.follow();
    await this.worker.settle();
    // What the server learned from the work.
    await this.follow();
    await this.worker.settle();
  }

  /** Takes what the server wants now, and starts what follows. */
  async follow(): Promise<void> {
    const response = await this.device.desired();
    await this.worker.desired(response.headers.get("etag") ?? "", await response.text(), false);
  }

  /** How many users are in each state. */
  states(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { state } of this.#state.users()) counts[state] = (counts[state] ?? 0) + 1;
    return counts;
  }

  [Symbol.dispose](): void {
    this.worker.stop();
    this.#state.close();
  }

  async #run({ name, uid }: Account): Promise<UserAgentExit> {
    const home = this.homes.get(name);
    if (!home) throw new Error(`Nobody is called ${name}.`);
    const { running } = this;
    running.all++;
    running.most = Math.max(running.most, ++running.now);
    try {
      await home.held;
      await runUserAgent({
        client: this.#localClient(String(uid)),
        stateDir: `/home/${name}/.local/state/device-trust`,
        ledger: home.ledger,
        checkHome: () => Promise.resolve(),
        openStore: () => openMemoryStore(home.store),
        removeCreated: () => Promise.resolve([]),
        runningBrowsers: () => Promise.resolve([]),
        now: now(this.server),
        random: Math.random,
        sleep: () => Promise.resolve(),
      });
      return { code: 0, timedOut: false, errors: "" };
    } finally {
      running.now--;
    }
  }

  /** As over the socket: everything is parsed at the other end. */
  #localClient(uid: string): LocalClient {
    const { requests } = this.worker;
    return {
      slice: () => {
        const slice = UserSlice.parse(JSON.parse(JSON.stringify(requests.slice(uid))));
        return Promise.resolve({ etag: '"1"', slice });
      },
      certificate: async (request) => LocalBundle.parse(await requests.certificate(uid, request)),
      report: (report) => Promise.resolve(requests.report(uid, report)),
      close: () => {},
    };
  }

  #client(): ServerClient {
    return {
      clock: { offset: 0, known: true },
      request: async ({ method, path, body, leafSignature = {} }): Promise<ServerAnswer> => {
        const response = await this.device.request(method, path, {
          body: body && new TextDecoder().decode(body),
          tamper: ({ headers }) => {
            for (const [name, value] of Object.entries(leafSignature)) headers.append(name, value);
          },
        });
        const { status } = response;
        return { status, headers: response.headers, body: await response.bytes() };
      },
      close: () => {},
    };
  }

  #platform(): DevicePlatform {
    const filters = [{ browser: "chrome", location: "/policy.json", state: "ok" as const }];
    return {
      os: "linux",
      paths: systemPaths({ os: "linux", root: "/nowhere" }),
      privileged: true,
      meeting: "sockets",
      makeRunFolders: () => {},
      readUserFile: () => undefined,
      system: () => Promise.resolve({ os: "linux", hostname: "terminal", osVersion: "1" }),
      account: (name) => {
        const home = this.homes.get(name);
        return home
          ? Promise.resolve(home.account)
          : Promise.reject(new Problem("no-local-account", `There is no account '${name}'.`));
      },
      writeFilters: () => filters,
      inspectFilters: () => filters,
      touchFilters: () => filters,
      removeFilters: () => ({ removed: [], removedDirectories: [], left: [] }),
      startUserAgent: (account) => this.#run(account),
    };
  }
}

function now({ clock }: DeviceHost): () => number {
  return () => clock.now;
}

/** A ledger that outlives its being closed, as a file does. */
function memoryLedger(now: () => number): LedgerPlace {
  let kept: KeptLedger | undefined;
  return {
    exists: () => Promise.resolve(kept !== undefined),
    open: () => Promise.resolve(kept ??= new KeptLedger(":memory:", now)),
    remove: () => {
      kept?.forget();
      kept = undefined;
      return Promise.resolve();
    },
  };
}

class KeptLedger extends Ledger {
  override close(): void {}
  forget(): void {
    super.close();
  }
}
