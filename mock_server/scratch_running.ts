/** A whole server behind real TLS, for tests: started on free loopback ports, with its own clock. */
import { type DeviceHost, SCRATCH_CONNECT_KEY, ScratchDevice } from "./scratch_device.ts";
import { connectKeyHash } from "./enrollment.ts";
import { scratchFleet } from "./scratch_context.ts";
import { type RunningServer, startMockServer } from "./server.ts";

/** A server that runs, and what tests do to it. Its clock starts now, because TLS looks at dates. */
export interface ScratchRunning extends DeviceHost {
  /** What `server.json` says, until the next restart. */
  readonly running: RunningServer;
  /** The port of the device and admin API. */
  readonly port: number;
  /** Its certificate authority, PEM. */
  readonly caCertificate: string;
  /** Sends a request over TLS; `peer` does not count here. */
  fetch(request: Request): Promise<Response>;
  /** Ends it and starts it again over the same data. */
  restart(): Promise<void>;
  /** An enrolled device with one managed user. */
  managed(email?: string): Promise<{ device: ScratchDevice; userId: string }>;
}

/** Runs `test` with a running server of its own, started as the command line starts it; ON. */
export async function withRunning(test: (server: ScratchRunning) => Promise<void>): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "device-trust-test-" });
  const clock = { now: Date.now() };
  const address = { host: "localhost", port: 0 };
  const start = () =>
    startMockServer({ listen: address, portal: address, dataDir, now: () => new Date(clock.now) });
  let running = await start();
  const caCertificate = await Deno.readTextFile(running.serverCa);
  const client = Deno.createHttpClient({ caCerts: [caCertificate] });
  const { store } = running.context;
  store.settings.update({ globalCertificateDistribution: true }, clock.now);
  store.connectKeys.add({
    connectKeyId: "11111111-1111-4111-8111-111111111111",
    hash: connectKeyHash(SCRATCH_CONNECT_KEY),
    createdAt: clock.now,
    expiresAt: null,
    maxUses: null,
  });
  const server: ScratchRunning = {
    get running() {
      return running;
    },
    get context() {
      return running.context;
    },
    get port() {
      return Number(new URL(running.agentUrl).port);
    },
    clock,
    caCertificate,
    fetch: async (request) => await fetch(request, { client }),
    restart: async () => {
      await running.close();
      running = await start();
    },
    managed: async (email = "alice@example.com") => {
      const device = await ScratchDevice.create(server);
      await device.enroll();
      const userId = scratchFleet(running.context).addUser(email);
      const { bindings } = running.context.store;
      bindings.put(device.deviceId, userId, email.replace(/@.*/, ""), clock.now);
      return { device, userId };
    },
  };
  try {
    await test(server);
  } finally {
    client.close();
    await running.close();
    await Deno.remove(dataDir, { recursive: true });
  }
}
