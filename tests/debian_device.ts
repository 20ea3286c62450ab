/** A Debian that becomes a managed device, and what can be asked of it. */
import assert from "node:assert/strict";
import { z } from "zod";
import type { UserStatus } from "../agent/status.ts";
import { type DebianMachine, type FirstProcess, startDebian } from "./debian_machine.ts";
import type { Suite } from "./debian_tree.ts";
import {
  driveDevice,
  type DrivenDevice,
  type DrivenServer,
  programFromSource,
  startMockServer,
} from "./product.ts";

/** Tells one step; throws when it failed. */
export type Step = (name: string, act: () => Promise<void>) => Promise<void>;

/** Steps of which each needs the one before. */
export function steps(t: Deno.TestContext): Step {
  return async (name, act) => {
    if (!await t.step(name, act)) throw new Error(`This is as far as it came: ${name}`);
  };
}

/** A machine without the package, on which alice has an account, and its server. */
export interface Device extends AsyncDisposable {
  machine: DebianMachine;
  server: DrivenServer;
  device: DrivenDevice;
  /** What was there before the package. */
  before: Map<string, string>;
}

/** Starts both. @param program where the program will be in the machine */
export async function newDevice(
  suite: Suite,
  first: FirstProcess,
  program = "/usr/bin/device-trust",
): Promise<Device> {
  const folder = await Deno.makeTempDir({ prefix: "device-trust-package-life-" });
  await using parts = new AsyncDisposableStack();
  parts.defer(() => Deno.remove(folder, { recursive: true }));
  const server = parts.use(await startMockServer(programFromSource(), `${folder}/server`));
  const machine = parts.use(await startDebian(suite, first));
  await machine.must("useradd", "--create-home", "--shell", "/bin/sh", "alice");
  const device = driveDevice(machine.command(program));
  const before = await everything(machine);
  const all = parts.move();
  return { machine, server, device, before, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** What a deployment tool puts there. */
export async function configure(machine: DebianMachine, server: DrivenServer): Promise<void> {
  const folder = `${machine.root}/etc/device-trust`;
  const key = `${folder}/connect.key`;
  const here = (path: string) => path.slice(machine.root.length);
  await Deno.copyFile(server.serverCa, `${folder}/server-ca.pem`);
  await Deno.writeTextFile(key, server.connectKey, { mode: 0o600 });
  const config = {
    server: server.agentUrl,
    serverCa: here(`${folder}/server-ca.pem`),
    connectKeyFile: here(key),
  };
  await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(config));
}

/** ON, with alice bound to her account, until she has a leaf. */
export async function turnOn(device: DrivenDevice, server: DrivenServer): Promise<void> {
  const { device: { id } } = await device.status();
  await server.bind(id ?? "", "alice");
  await server.distribute(true);
  const isServed = ({ state }: UserStatus) => state === "installed";
  await device.untilUsers("alice has a leaf", isServed);
}

/** What `doctor` finds wrong: its last check is the challenge that a browser would meet. */
export async function failedChecks(machine: DebianMachine): Promise<unknown[]> {
  const { out } = await machine.run("device-trust", "doctor", "--json");
  const { checks } = DoctorAnswer.parse(JSON.parse(out));
  assert.ok(checks.some(({ id }) => id.startsWith("challenge:alice:")), out);
  return checks.filter(({ ok }) => !ok);
}

const DoctorAnswer = z.object({
  checks: z.array(z.looseObject({ id: z.string(), ok: z.boolean() })),
});

/**
 * Every file and folder of the machine and what tells a changed one, without what the system writes
 * about any package, and of its own accord.
 */
export async function everything(machine: DebianMachine): Promise<Map<string, string>> {
  // Of no package, and dpkg takes it along when nothing is in it any more.
  await machine.must("mkdir", "-p", "/etc/opt");
  const pruned = NOT_LOOKED_AT.flatMap((path) => ["-path", path, "-prune", "-o"]);
  const format = ["-printf", "%p\\t%y %m %U:%G %l"];
  const found = await machine.must(
    "find",
    "/",
    ...pruned,
    ...["(", ...format, "-type", "f", "-printf", " %s %T@", "-o", "-true", ")"],
    ...["-printf", "\\n"],
  );
  return new Map(
    found.split("\n").filter(Boolean).map((line): [string, string] => {
      const [path = "", facts = ""] = line.split("\t");
      return [path, facts];
    }),
  );
}

const NOT_LOOKED_AT = ["/proc", "/sys", "/dev", "/run/systemd", "/run/log", "/run/lock"]
  .concat(["/var/log", "/var/cache", "/var/lib/apt", "/var/lib/dpkg", "/var/lib/rpm"])
  .concat(["/tmp/systemd-private-*", "/var/tmp/systemd-private-*", "/var/lib/systemd/timers"]);

/** What is more, less, or other than it was. */
export function difference(before: Map<string, string>, after: Map<string, string>): string[] {
  const paths = new Set([...before.keys(), ...after.keys()]);
  return [...paths].filter((path) => before.get(path) !== after.get(path))
    .map((path) => `${path}: ${before.get(path)} -> ${after.get(path)}`);
}
