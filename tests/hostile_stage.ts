/** A story's device with alice, who is to be served, and mallory, who would rather she were not. */
import assert from "node:assert/strict";
import { z } from "zod";
import { type Attacker, attacker } from "./hostile_user.ts";
import { installProgram } from "./installed_program.ts";
import {
  execute,
  executeAs,
  type LocalUser,
  makeUser,
  SCRATCH,
  type Step,
} from "./private_root.ts";
import {
  driveDevice,
  type DrivenDevice,
  type DrivenServer,
  type Program,
  startMockServer,
} from "./product.ts";
import { until } from "./until.ts";
import { processesWith } from "./story_processes.ts";

/** What the admin API says of one user of a device, as far as it is of interest here. */
const KnownUser = z.object({
  username: z.string(),
  state: z.string(),
  leaves: z.array(z.object({ serial: z.string() })),
});
const KnownDevices = z.object({ items: z.array(z.object({ users: z.array(KnownUser) })) });

/** The stage. */
export interface HostileStage {
  program: Program;
  server: DrivenServer;
  device: DrivenDevice;
  /** The agent's process id. */
  agent: number;
  alice: LocalUser;
  mallory: LocalUser;
  client: Attacker;
  ids: { device: string; alice: string; mallory: string };
  /** What the agent server knows of a user. */
  known(user: LocalUser): Promise<z.infer<typeof KnownUser>>;
  /** Turns distribution ON or OFF; waits until that happened to alice, and the server heard it. */
  serve(on: boolean): Promise<void>;
  /** Waits until the agent does nothing but wait. */
  untilAtRest(): Promise<void>;
}

/** Sets it: both enrolled, with a leaf each, and mallory's environment prepared for whoever has it. */
export async function setHostileStage(step: Step): Promise<HostileStage> {
  const { program, server, alice, mallory, client } = await step(
    "a machine with alice and mallory",
    async () => {
      const program = await installProgram();
      const server = await startMockServer(program, `${SCRATCH}/server`);
      const [alice, mallory] = [await makeUser("dt-alice"), await makeUser("dt-mallory")];
      for (const { home } of [alice, mallory]) await Deno.chmod(home, 0o700);
      await execute("groupadd", "--gid", "60690", "--key", "GID_MAX=60699", EXTRA_GROUP);
      await execute("usermod", "--append", "--groups", EXTRA_GROUP, mallory.name);
      const client = await attacker(mallory);
      // Nothing of the product has any business in there; where this project lies does not matter.
      Deno.chdir("/");
      for (const folder of ["/tmp", "/var/tmp"]) {
        await execute("mount", "-t", "tmpfs", "-o", "ro,mode=1777", "tmpfs", folder);
      }
      return { program, server, alice, mallory, client };
    },
  );
  await plantEnvironment(mallory);
  // A root shell that has her environment, as after `su` without a dash.
  const hers = environmentOf(mallory).map(([name, value]) => `${name}=${value}`);
  const device = driveDevice(["/usr/bin/env", ...hers, ...program]);
  const untilAtRest = () =>
    until("the agent is at rest", () => processesWith("agent-worker").length === 0);

  const { agent, ids } = await step("both are served", async () => {
    const deviceId = await device.enroll(server);
    const ids = {
      device: deviceId,
      alice: await server.bind(deviceId, alice.name),
      mallory: await server.bind(deviceId, mallory.name),
    };
    await server.distribute(true);
    const agent = device.startAgent();
    await device.untilUsers("both have a leaf", ({ state }) => state === "installed");
    await untilAtRest();
    return { agent, ids };
  });

  async function known({ name }: LocalUser) {
    const devices = KnownDevices.parse(await server.admin("GET", "/devices"));
    const user = devices.items[0]?.users.find(({ username }) => username === name);
    assert.ok(user, `the agent server knows no ${name}`);
    return user;
  }

  return {
    ...{ program, server, device, agent, alice, mallory, client, ids, known, untilAtRest },
    async serve(on) {
      const wanted = on ? "installed" : "removed";
      await server.distribute(on);
      await device.untilUsers(`alice's is ${wanted}`, ({ state }) => state === wanted, [
        alice.name,
      ]);
      await until(
        `the agent server has heard that alice's is ${wanted}`,
        async () => (await known(alice)).state === wanted,
      );
    },
  };
}

/** mallory's one group beside her own. */
export const EXTRA_GROUP = "dt-extra";

/** Programs of hers that were run leave a line here. */
export const RAN = `${SCRATCH}/ran`;

/** What she would like everybody's programs to find in their environment. */
export function environmentOf({ home }: LocalUser): [name: string, value: string][] {
  return [
    ["PATH", `${home}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin`],
    ["XDG_DATA_HOME", `${home}/elsewhere`],
    ["XDG_STATE_HOME", `${home}/elsewhere`],
    ["XDG_RUNTIME_DIR", `${home}/elsewhere`],
    ["TMPDIR", `${home}/elsewhere`],
    ["ENV", `${home}/.profile`],
    ["BASH_ENV", `${home}/.profile`],
  ];
}

/** Where shells, logins and Deno look for such things, and programs that say that they were run. */
async function plantEnvironment(mallory: LocalUser): Promise<void> {
  await Deno.writeTextFile(RAN, "");
  await Deno.chmod(RAN, 0o666);
  const variables = [
    ...environmentOf(mallory),
    ["LD_PRELOAD", `${mallory.home}/preloaded.so`],
    ["DENO_DIR", `${mallory.home}/deno`],
    ["DENO_V8_FLAGS", "--no-such-flag"],
    ["NODE_OPTIONS", `--require ${mallory.home}/required.cjs`],
  ];
  const exports = variables.map(([name, value]) => `export ${name}=${value}\n`).join("");
  const assignments = variables.map(([name, value]) => `${name}=${value}\n`).join("");
  const program = `#!/bin/sh\necho "$0 by $(/usr/bin/id -u)" >> ${RAN}\nexit 9\n`;
  const files: [path: string, text: string][] = [
    [".profile", `${exports}echo .profile >> ${RAN}\n`],
    [".bashrc", `${exports}echo .bashrc >> ${RAN}\n`],
    [".pam_environment", assignments],
    [".config/environment.d/50-hers.conf", assignments],
    [".config/deno/deno.json", `{"imports": {"zod": "${mallory.home}/zod.ts"}}`],
    ["deno.json", `{"imports": {"zod": "${mallory.home}/zod.ts"}}`],
    ["package.json", "{}"],
    [".npmrc", "registry=http://localhost:1/\n"],
    ...["getent", "setpriv", "systemctl", "sh", "deno", "device-trust", "env", "id"]
      .map((name): [string, string] => [`bin/${name}`, program]),
  ];
  for (const [path, text] of files) {
    const script = 'mkdir -p "$(dirname "$1")"; printf %s "$2" > "$1"; chmod 755 "$1"';
    await executeAs(mallory, "sh", "-ec", script, "sh", `${mallory.home}/${path}`, text);
  }
}
