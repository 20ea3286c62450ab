/** What an administrator waits for, and what an agent costs that has nothing to do. */
import { fileURLToPath } from "node:url";
import { openNssdb } from "../platform/linux/nssdb.ts";
import { type DemoDevice, openDemoDevice } from "../mock_server/demo_device.ts";
import { type DemoServer, startDemoServer } from "../mock_server/demo_server.ts";
import { type Bench, type Row, time } from "./measure.ts";

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));

/** Longest that one change may take, milliseconds. */
const PATIENCE = 20_000;

/** How long an idle agent's processor time is added up, seconds. */
const IDLE = 600;

/** One device with one user, run from source; loopback. */
export const bench: Bench = {
  title: "One device, one user",
  async measure({ smoke, times, progress }) {
    const folder = await Deno.makeTempDir();
    const server = await startDemoServer(`${folder}/server`, MAIN);
    try {
      await using device = await openDemoDevice(`${folder}/device`, ["alice"], progress, MAIN);
      await server.bind(await device.enroll(server), "alice");
      const pid = device.startAgent();
      await until(() => device.states().then((states) => states !== "mixed"));
      const before = resident(pid);
      progress(`ON and OFF, ${times(200)} times`);
      const { on, off } = await switching(server, device, times(200));
      progress(`renew, ${times(30)} times`);
      const renewals = await renewing(server, device, times(30));
      progress(`idle for ${smoke ? 1 : IDLE} s`);
      const seconds = smoke ? 1 : IDLE;
      const used = await idle(pid, seconds);
      return [
        row("ON -> leaf re-read from a fresh store", on, "ms", { median: 250, p99: 500 }),
        row("OFF -> store empty", off, "ms", { median: 250 }),
        row("renew (the command) -> successor installed and reported", renewals, "ms"),
        row("idle agent before work, resident", [before], "MB", { median: 50 }),
        row("idle agent after work, resident", [resident(pid)], "MB", { median: 50 }),
        row("idle agent after work, private part of it", [privately(pid)], "MB"),
        row("idle agent, processor time a minute", [used * 60 / seconds], "s", { median: 0.02 }),
      ];
    } finally {
      await server.close();
      await Deno.remove(folder, { recursive: true });
    }
  },
};

function row(what: string, samples: number[], unit: string, target?: Row["target"]): Row {
  return { what, samples, unit, ...(target ? { target } : {}) };
}

async function switching(server: DemoServer, device: DemoDevice, times: number) {
  const on: number[] = [];
  const off: number[] = [];
  for (let count = 0; count < times; count++) {
    on.push(await after(() => server.distribute(true), () => holds(device, 3, 1)));
    off.push(await after(() => server.distribute(false), () => holds(device, 0, 0)));
  }
  return { on, off };
}

/** What an administrator waits for who renews a leaf by hand; each is a process of its own. */
async function renewing(server: DemoServer, device: DemoDevice, times: number): Promise<number[]> {
  await after(() => server.distribute(true), () => holds(device, 3, 1));
  return await time(times, () => device.renew());
}

/** Milliseconds from before `change` until it `isTrue`. */
async function after(change: () => Promise<void>, isTrue: () => Promise<boolean>): Promise<number> {
  const started = performance.now();
  await change();
  await until(isTrue);
  return performance.now() - started;
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (!await isTrue()) {
    if (performance.now() > end) throw new Error(`It was not true after ${PATIENCE / 1000} s.`);
    await new Promise((resolve) => setTimeout(resolve, 4));
  }
}

/** Whether a freshly opened store holds so many certificates and keys. */
async function holds(device: DemoDevice, certificates: number, keys: number): Promise<boolean> {
  const { home, owner } = device.account("alice");
  const store = openNssdb({ home, uid: owner, create: false, recordPath: () => {} });
  try {
    const contents = await store.list();
    return contents.certificates.length === certificates && contents.keys.length === keys;
  } finally {
    store.close();
  }
}

function resident(pid: number): number {
  return kilobytes(`/proc/${pid}/status`, /VmRSS:\s+(\d+)/) / 1024;
}

/** What no other process shares: the rest is the runtime's program file. */
function privately(pid: number): number {
  return kilobytes(`/proc/${pid}/smaps_rollup`, /Private_Dirty:\s+(\d+)/) / 1024;
}

function kilobytes(path: string, pattern: RegExp): number {
  return Number(pattern.exec(Deno.readTextFileSync(path))?.[1] ?? NaN);
}

/** Processor seconds that a process used in so many seconds. */
async function idle(pid: number, seconds: number): Promise<number> {
  const used = () => {
    const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1]?.split(" ") ?? [];
    return (Number(fields[11]) + Number(fields[12])) / 100;
  };
  const before = used();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  return used() - before;
}
