/** The packages on whole Debians: installed, run by systemd, upgraded while ON, removed, purged. */
import assert from "node:assert/strict";
import { basename } from "node:path";
import { isThere } from "../platform/presence.ts";
import { buildPackage, type BuiltPackages, CAN_COMPILE } from "./built_packages.ts";
import {
  configure,
  type Device,
  difference,
  everything,
  failedChecks,
  newDevice,
  type Step,
  steps,
  turnOn,
} from "./debian_device.ts";
import { CONTROL_GROUPS, type DebianMachine } from "./debian_machine.ts";
import { SUITES } from "./debian_tree.ts";
import { NAMESPACES } from "./private_root.ts";
import { until } from "./until.ts";
import { shellBlocks } from "./documents.ts";
import { testWith } from "./skip.ts";
import { bundleOf, storeContents } from "./store_contents.ts";

const NEEDS = [
  ...["debian", "root", "unshare", "nsenter", "dpkg-deb", "rpmbuild", "certutil"] as const,
  ...[NAMESPACES, CONTROL_GROUPS, CAN_COMPILE],
];

testWith(NEEDS, "a package serves a device from its installation to its purge", async (t) => {
  await using current = await buildPackage();
  await using later = await buildPackage("999.0.0");
  const built = { current, later };
  for (const suite of SUITES) {
    await t.step(`Debian ${suite}, run by systemd`, async (t) => {
      await using device = await newDevice(suite, "systemd");
      await lifeUnderSystemd(steps(t), device, built);
    });
  }
  await t.step("without systemd, purged with its server out of reach", async (t) => {
    await using device = await newDevice("bookworm", "no systemd");
    await lifeWithoutSystemd(steps(t), device, built.current);
  });
  await t.step("as an RPM", async (t) => {
    await using device = await newDevice("trixie", "systemd");
    // The folder of a package that every system with rpm has.
    await device.machine.must("mkdir", "/usr/share/licenses");
    device.before.set("/usr/share/licenses", "d 755 0:0 ");
    await lifeOfRpm(steps(t), device, built);
  });
  await t.step("without a package, by its own command", async (t) => {
    await using device = await newDevice("trixie", "systemd", INSTALLED);
    await lifeOfService(steps(t), device, built);
  });
});

async function lifeUnderSystemd(
  step: Step,
  { machine, server, device, before }: Device,
  { current, later }: Built,
): Promise<void> {
  const alice = async () => (await device.status()).users[0];

  // As the administrators' document has it.
  const [installIt = "", upgradeIt = "", removeIt = ""] = shellBlocks("docs/install-linux.md");
  await step("installed, it runs, enrolled by its configuration", async () => {
    await asDocumented(machine, installIt.replace("https://agents.example.com", server.agentUrl), {
      [basename(current.deb)]: current.deb,
      "connect.key": new TextEncoder().encode(server.connectKey),
      "server-ca.pem": server.serverCa,
    });
    assert.equal((await machine.run("dpkg", "--verify", "device-trust")).out, CONFIGURED);
    await until("it is enrolled", async () => (await device.status()).device.enrolled);
  });
  await step("ON: alice's store holds the leaf, and her browser would be managed", async () => {
    await turnOn(device, server);
    assert.deepEqual(await storeContents(`${machine.root}/home/alice`), bundleOf(await alice()));
    assert.deepEqual(await failedChecks(machine), []);
    const unit = `device-trust-user-agent@${await uidOf(machine, "alice")}.service`;
    assert.match(await machine.must("journalctl", "--unit", unit), /Finished/);
  });
  await step("the agent sees no home and writes in its own folders alone", async () => {
    await expectConfined(machine);
    for (const unit of ["device-trust.service", "device-trust-user-agent@1000.service"]) {
      assert.equal(await machine.must("systemd-analyze", "verify", "--man=no", unit), "");
      await machine.must("systemd-analyze", "security", "--threshold=25", unit);
    }
  });
  await step("upgraded while ON, the leaf stays and the new agent renews it", async () => {
    const leaf = await alice();
    await asDocumented(machine, upgradeIt, { [basename(later.deb)]: later.deb });
    await until("the new agent runs", async () => {
      const { agent } = await device.status();
      return agent.running && agent.version === later.version;
    });
    assert.equal((await alice())?.serial, leaf?.serial);
    assert.deepEqual(await storeContents(`${machine.root}/home/alice`), bundleOf(leaf));
    await machine.must("device-trust", "renew");
    assert.notEqual((await alice())?.serial, leaf?.serial);
  });
  await step("removed, it keeps the device; installed again, it goes on", async () => {
    const { device: { id } } = await device.status();
    const leaf = await alice();
    await machine.must("apt-get", "remove", "--yes", "device-trust");
    assert.ok(!isThere(`${machine.root}/usr/bin/device-trust`));
    await install(machine, later.deb);
    await until("the agent runs again", async () => (await device.status()).agent.running);
    const again = await device.status();
    assert.equal(again.device.id, id);
    assert.equal(again.users[0]?.serial, leaf?.serial);
  });
  await step("a purge that cannot clean a store fails, and is repeated", async () => {
    await machine.must("mv", "/home/alice", "/home/elsewhere");
    const { code, out } = await machine.run("apt-get", "purge", "--yes", "device-trust");
    assert.notEqual(code, 0);
    assert.match(out, /^alice: The home [^]*could not be removed yet[^]*purge the package again/m);
    await machine.must("mv", "/home/elsewhere", "/home/alice");
  });
  await step("purged, nothing of it is left, and the server knows", async () => {
    await asDocumented(machine, removeIt, {});
    assert.deepEqual(difference(before, await everything(machine)), []);
    assert.equal((await machine.run("systemctl", "status", "device-trust")).code, 4);
    assert.deepEqual(await server.admin("GET", "/devices"), { items: [], nextCursor: null });
  });
}

async function lifeWithoutSystemd(
  step: Step,
  { machine, server, device, before }: Device,
  { deb }: BuiltPackages,
): Promise<void> {
  await step("installed beside its configuration, it runs when it is started", async () => {
    await machine.must("mkdir", "/etc/device-trust");
    await configure(machine, server);
    await install(machine, deb, "--option=Dpkg::Options::=--force-confold");
    assert.equal((await device.status()).agent.running, false);
    await machine.must("sh", "-c", "setsid device-trust agent >/dev/null 2>&1 &");
    await until("it is enrolled", async () => (await device.status()).device.enrolled);
    await turnOn(device, server);
    const [alice] = (await device.status()).users;
    assert.deepEqual(await storeContents(`${machine.root}/home/alice`), bundleOf(alice));
    assert.deepEqual(await failedChecks(machine), []);
  });
  await step("purged, it has ended and nothing of it is left", async () => {
    await server[Symbol.asyncDispose]();
    const out = await machine.must("apt-get", "purge", "--yes", "device-trust");
    assert.match(out, /Everything here is removed all the same/);
    assert.deepEqual(difference(before, await everything(machine)), []);
    // Of one that has ended, and whom nobody waits for here, there is no program.
    const programs = await machine.must("sh", "-c", "readlink /proc/[0-9]*/exe || true");
    assert.match(programs, /sleep$/m);
    assert.doesNotMatch(programs, /device-trust/);
  });
}

async function lifeOfRpm(
  step: Step,
  { machine, server, device, before }: Device,
  { current, later }: Built,
): Promise<void> {
  // Debian's rpm knows of no package; what this one requires is there.
  const rpm = async (how: string, file: string) => {
    await Deno.copyFile(file, `${machine.root}/root/device-trust.rpm`);
    await machine.must("rpm", how, "--nodeps", "/root/device-trust.rpm");
    await Deno.remove(`${machine.root}/root/device-trust.rpm`);
  };
  const serial = async () => (await device.status()).users[0]?.serial;
  await step("installed, configured and ON, it serves alice", async () => {
    await rpm("--install", current.rpm);
    assert.equal((await machine.run("rpm", "--verify", "--nodeps", "device-trust")).out, "");
    await configure(machine, server);
    await machine.must("systemctl", "restart", "device-trust");
    await until("it is enrolled", async () => (await device.status()).device.enrolled);
    await turnOn(device, server);
  });
  await step("upgraded while ON, the leaf stays", async () => {
    const leaf = await serial();
    await rpm("--upgrade", later.rpm);
    await until("the new agent runs", async () => {
      const { agent } = await device.status();
      return agent.running && agent.version === later.version;
    });
    assert.equal(await serial(), leaf);
  });
  await step("erased, nothing of it is left", async () => {
    await machine.must("rpm", "--erase", "device-trust");
    assert.deepEqual(difference(before, await everything(machine)), []);
  });
}

/** The package as it is now, and one of a later version. */
interface Built {
  current: BuiltPackages;
  later: BuiltPackages;
}

/** Where an administrator puts the binary. */
const INSTALLED = "/usr/local/bin/device-trust";

async function lifeOfService(
  step: Step,
  { machine, server, device, before }: Device,
  { current, later }: Built,
): Promise<void> {
  const put = async ({ binary }: BuiltPackages, mode: number) => {
    // As install(1) does it: in the place of one that runs.
    await Deno.copyFile(binary, `${machine.root}${INSTALLED}-new`);
    await Deno.chmod(`${machine.root}${INSTALLED}-new`, mode);
    await machine.must("mv", `${INSTALLED}-new`, INSTALLED);
  };
  const service = (action: string) => machine.run(INSTALLED, "service", action);
  await step("a binary that others could replace is refused", async () => {
    await put(current, 0o775);
    const { code, err } = await service("install");
    assert.equal(code, 1);
    assert.match(err, /install -o root -g root -m 0755/);
    assert.equal((await service("status")).code, 4);
  });
  await step("installed, it serves alice, confined", async () => {
    await put(current, 0o755);
    assert.deepEqual(await service("install"), {
      code: 0,
      out: `Installed ${INSTALLED} as a service, and started it.\n`,
      err: "",
    });
    await device.enroll({ ...server, serverCa: await copyIn(machine, server.serverCa) });
    await turnOn(device, server);
    await expectConfined(machine);
    assert.match((await service("status")).out, /^device-trust.service: running$/m);
  });
  await step("installed again it is upgraded, and alice keeps her leaf", async () => {
    const [alice] = (await device.status()).users;
    await put(later, 0o755);
    assert.equal((await service("install")).code, 0);
    await until("the new agent runs", async () => (await device.status()).agent.running);
    assert.equal((await device.status()).users[0]?.serial, alice?.serial);
  });
  await step("unenrolled and uninstalled, nothing of it is left but its state", async () => {
    await device.unenroll();
    for (const time of ["first", "second"]) {
      assert.equal((await service("uninstall")).code, 0, time);
    }
    assert.equal((await service("status")).code, 4);
    await machine.must("rm", "-r", INSTALLED, "/var/lib/device-trust", "/etc/device-trust");
    assert.deepEqual(difference(before, await everything(machine)), []);
  });
}

async function copyIn(machine: DebianMachine, file: string): Promise<string> {
  const path = "/etc/device-trust/server-ca.pem";
  await Deno.copyFile(file, machine.root + path);
  return path;
}

async function uidOf(machine: DebianMachine, name: string): Promise<string> {
  return (await machine.must("id", "--user", name)).trim();
}

/** What dpkg says of a package whose configuration file is no longer as it came, and nothing else. */
const CONFIGURED = "??5?????? c /etc/device-trust/config.json\n";

/** Does what a document says in a folder with these files, which is gone afterwards. */
async function asDocumented(
  machine: DebianMachine,
  script: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<void> {
  const folder = "/srv/roll-out";
  await machine.must("mkdir", folder);
  for (const [name, content] of Object.entries(files)) {
    const path = `${machine.root}${folder}/${name}`;
    await Deno.writeFile(
      path,
      typeof content === "string" ? await Deno.readFile(content) : content,
    );
  }
  assert.notEqual(script, "");
  await machine.must("sh", "-ec", `cd ${folder}\n${script}`);
  await machine.must("rm", "-r", folder);
}

/** As an administrator installs a file, without its being left. */
async function install(machine: DebianMachine, deb: string, ...how: string[]): Promise<void> {
  const file = "/root/device-trust.deb";
  await Deno.copyFile(deb, machine.root + file);
  await machine.must("apt-get", "install", "--yes", ...how, file);
  await Deno.remove(machine.root + file);
}

/** Where a program with the agent's rights in the agent's place can write, by what it says. */
async function expectConfined(machine: DebianMachine): Promise<void> {
  const pid = (await machine.must("systemctl", "show", "-P", "MainPID", "device-trust")).trim();
  const status = await Deno.readTextFile(`${machine.root}/proc/${pid}/status`);
  const [, bounding = ""] = /^CapBnd:\s*(\S+)$/m.exec(status) ?? [];
  // CAP_CHOWN and CAP_FOWNER (capabilities(7)).
  assert.equal(BigInt(`0x${bounding}`), 1n << 0n | 1n << 3n);
  assert.match(status, /^NoNewPrivs:\s*1$/m);
  assert.match(status, /^Seccomp:\s*2$/m);

  const inItsPlace = ["nsenter", `--target=${pid}`, "--mount", "--"] as const;
  const withItsRights = ["setpriv", "--bounding-set=-all,+chown,+fowner", "--"] as const;
  const probe = ["sh", "-c", PROBE, "sh", ...OTHERS, ...OWN] as const;
  const lines = (text: string) => text.split("\n").filter(Boolean);
  const own = OWN.map((folder) => `writes ${folder}`);
  const anywhere = [...OTHERS, ...OWN].map((folder) => `writes ${folder}`);
  const asItself = await machine.must(...inItsPlace, ...withItsRights, ...probe);
  assert.deepEqual(lines(asItself), own);
  // The same outside: it is the unit that keeps it from the rest.
  assert.deepEqual(lines(await machine.must(...probe)), ["reads a home", ...anywhere]);
}

/** Folders of the agent, and others that root may write. */
const OWN = [
  "/var/lib/device-trust",
  "/run/device-trust",
  "/etc/device-trust",
  "/etc/opt/chrome/policies/managed",
  "/etc/chromium/policies/managed",
];
const OTHERS = ["/", "/etc", "/etc/opt", "/usr/bin", "/usr/lib", "/opt", "/root"]
  .concat(["/var", "/var/lib", "/var/log", "/var/lib/dpkg", "/run", "/srv", "/home"]);

const PROBE = `
  ls /home/alice/.pki >/dev/null 2>&1 && echo reads a home
  for folder; do
    if (: >"$folder/probe") 2>/dev/null; then echo "writes $folder"; rm "$folder/probe"; fi
  done
  true`;
