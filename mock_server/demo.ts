/**
 * The whole story on this machine in a scratch folder: it drives this program's own commands, asks
 * the portal as a browser would, and is done when nothing is left.
 */
import { runCommand } from "../platform/command.ts";
import { openNssdb } from "../platform/linux/nssdb.ts";
import { challengeFromNss } from "../platform/linux/nss_handshake.ts";
import { ensurePackages, LIBNSS3, machineWorld } from "../platform/linux/packages.ts";
import { type DemoDevice, openDemoDevice } from "./demo_device.ts";
import { type DemoServer, startDemoServer } from "./demo_server.ts";

/** Where the demo writes its story. */
export interface DemoOutput {
  out: (text: string) => void;
  err: (text: string) => void;
}

/** A step of the story was not true. */
class DemoFailed extends Error {
  override readonly name = "DemoFailed";
}

/** Longest that anything in the story may take, milliseconds. */
const PATIENCE = 30_000;

const PEOPLE = ["alice", "bob"] as const;

/** Tells the story. Exit code 0 only if every step was true and nothing is left, else 1. */
export async function runDemo({ out, err }: DemoOutput): Promise<number> {
  if (Deno.build.os !== "linux") {
    err(
      "The demo shows a leaf in an NSS database of a scratch folder, which Linux alone has: the " +
        "store of this system cannot be moved. The mock agent server runs here: mock-server.\n",
    );
    return 1;
  }
  const missing = await ensurePackages(
    [LIBNSS3],
    machineWorld(runCommand, (line) => err(`${line}\n`)),
  );
  if (missing.length > 0) return 1;
  const folder = await Deno.makeTempDir({ prefix: "device-trust-demo-" });
  const started = performance.now();
  let last = started;
  const step = (text: string) => {
    const now = performance.now();
    out(`${seconds(now - started)} s  ${seconds(now - last).padStart(6)} s  ${text}\n`);
    last = now;
  };
  const server = await startDemoServer(`${folder}/server`);
  try {
    step(`the mock agent server answers at ${server.agentUrl}, its portal at ${server.portalUrl}`);
    await using device = await openDemoDevice(`${folder}/device`, PEOPLE, err);
    await story(server, device, step);
    await Deno.remove(folder, { recursive: true });
    await server.close();
    step("the server has stopped and the scratch folder is gone: nothing is left");
    return 0;
  } catch (error) {
    err(`The story ends here: ${error instanceof Error ? error.message : String(error)}\n`);
    if (!(error instanceof DemoFailed) && error instanceof Error && error.stack) {
      err(`${error.stack}\n`);
    }
    return 1;
  } finally {
    await server.close();
    await removeFolder(folder);
  }
}

async function story(
  server: DemoServer,
  device: DemoDevice,
  step: (text: string) => void,
): Promise<void> {
  const deviceId = await device.enroll(server);
  step(`the device is enrolled as ${deviceId}`);
  device.startAgent();
  for (const name of PEOPLE) await server.bind(deviceId, name);
  await check("distribution is OFF at first", async () => {
    const verdict = await challenge(server, device, "alice");
    return verdict.reason === "distribution-off" && !verdict.managed;
  });
  step(`${PEOPLE.join(" and ")} are bound to their accounts; unmanaged, as distribution is OFF`);

  await server.distribute(true);
  step("the administrator turns Global Certificate Distribution ON");
  await until("every user has a leaf", async () => await device.states() === "installed");
  step("each has a leaf of their own in their NSS database, and its key");
  const policy = await device.policy();
  if (!policy.includes("device-trust.intermediate")) throw new DemoFailed("There is no filter.");
  step(`the browsers' filter is written: ${device.policyFile.slice(device.root.length)}`);
  for (const name of PEOPLE) {
    const verdict = await challenge(server, device, name);
    if (!verdict.managed) throw new DemoFailed(`${name}: ${verdict.message}`);
    step(`${name} answers the portal's TLS challenge with the key in that database: managed`);
  }
  await check("one user's leaf is not the other's", async () => {
    return (await challenge(server, device, "alice", "bob")).reason === "user-mismatch";
  });
  step("alice's leaf does not make bob managed");

  await renew(server, device);
  step("each leaf is renewed with a new key, signed for by the old one; the portal takes the new");

  await server.distribute(false);
  const verdict = await challenge(server, device, "alice");
  if (verdict.managed) throw new DemoFailed("The portal still calls alice managed after OFF.");
  step("the administrator turns it OFF: unmanaged at once");
  await until("every leaf is removed", async () => await device.states() === "removed");
  for (const name of PEOPLE) await expectEmptyStore(device, name);
  await check("the filter is gone", async () => (await device.policy()) === "");
  step("leaves, keys, authorities and the filter are gone from the device");
  await device.unenroll();
  await check("the device keeps nothing", async () => (await device.leftovers()).length === 0);
  step("unenrolled: no key, no certificate, no policy, no database of ours is left");
}

/** Renews every leaf, and sees the portal presented with another, first or not. */
async function renew(server: DemoServer, device: DemoDevice): Promise<void> {
  const serials = async () =>
    await Promise.all(PEOPLE.map(async (name) => (await challenge(server, device, name)).serial));
  const before = await serials();
  await device.renew();
  const after = await serials();
  if (after.some((serial) => serial === null || before.includes(serial))) {
    throw new DemoFailed("A leaf was not renewed.");
  }
}

interface Verdict {
  managed: boolean;
  reason: string;
  message: string;
  serial: string | null;
}

/** Asks the portal with what `name`'s browser would present, signed in as `user`. */
async function challenge(
  server: DemoServer,
  device: DemoDevice,
  name: string,
  user: string = name,
): Promise<Verdict> {
  const portal = new URL(server.portalUrl);
  const directory = device.nssDirectory(name);
  if (!directory) return await server.challengeWithout(user);
  const answer = await challengeFromNss({
    directory,
    host: portal.hostname,
    port: Number(portal.port),
    path: `/challenge?user=${user}@example.com&resource=demo`,
    serverCa: await Deno.readTextFile(server.serverCa),
    choose: (candidates) => {
      const chosen = candidates.findIndex((candidate) =>
        candidate.issuerCommonName === "device-trust.intermediate"
      );
      return chosen < 0 ? undefined : chosen;
    },
    timeoutMs: PATIENCE,
  });
  return JSON.parse(answer.body);
}

async function expectEmptyStore(device: DemoDevice, name: string): Promise<void> {
  const account = device.account(name);
  const store = openNssdb({
    home: account.home,
    uid: account.owner,
    create: false,
    recordPath: () => {},
  });
  try {
    const { certificates, keys } = await store.list();
    if (certificates.length + keys.length > 0) {
      throw new DemoFailed(
        `${name}'s store still holds ${certificates.length} certificates and ${keys.length} keys.`,
      );
    }
  } finally {
    store.close();
  }
}

async function check(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  if (!await isTrue()) throw new DemoFailed(`It is not true that ${what}.`);
}

/** Waits until it is true. The pause between looks is short against what is waited for. */
async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (!await isTrue()) {
    if (performance.now() > end) throw new DemoFailed(`After 30 s it is not true that ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function removeFolder(folder: string): Promise<void> {
  try {
    await Deno.remove(folder, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(2).padStart(6);
}
