/** The demo's device: a folder with accounts of its own, driven by this program's commands. */
import { DEFAULT_BRAND, policyFileName } from "../ca/names.ts";
import { selfProgram, withArguments } from "../agent/self_program.ts";
import { runCommand } from "../platform/command.ts";
import { canExecute } from "../platform/linux/user_process.ts";
import type { SelfProgram } from "../platform/platform.ts";
import type { DemoServer } from "./demo_server.ts";

/** First user id of the demo's accounts: above those that systems give to people. */
const FIRST_UID = 61_001;

/** One of its accounts. */
export interface DemoAccount {
  home: string;
  /** Who owns the home: the account itself, or without root's rights the caller. */
  owner: number;
}

/** A device under `--root`. Disposing of it ends its agent. */
export interface DemoDevice extends AsyncDisposable {
  readonly root: string;
  readonly policyFile: string;
  /** Enrols it; gives the deviceId. */
  enroll(server: DemoServer): Promise<string>;
  /** Starts the resident agent; gives its process id. */
  startAgent(): number;
  /** The state that all users are in, or `mixed`. */
  states(): Promise<string>;
  /** The selection filter's text; empty when there is no such file. */
  policy(): Promise<string>;
  account(name: string): DemoAccount;
  /** The user's NSS database folder, when there is one. */
  nssDirectory(name: string): string | undefined;
  renew(): Promise<void>;
  unenroll(): Promise<void>;
  /** Files of ours that are still there, and should not be. */
  leftovers(): Promise<string[]>;
}

/**
 * Makes the device's folders and accounts.
 *
 * @param source see `selfProgram`
 */
export async function openDemoDevice(
  root: string,
  names: readonly string[],
  err: (text: string) => void,
  source?: string,
): Promise<DemoDevice> {
  const program = selfProgram(root, source);
  const accounts = new Map<string, DemoAccount>();
  await Deno.mkdir(`${root}/etc`, { recursive: true });
  // Accounts of their own must be able to pass through to their homes.
  await Deno.chmod(root.slice(0, root.lastIndexOf("/")), 0o711);
  const separate = await canBeOthers(program);
  let passwd = "";
  for (const [at, name] of names.entries()) {
    const uid = FIRST_UID + at;
    const home = `${root}/home/${name}`;
    await Deno.mkdir(home, { recursive: true });
    await Deno.chmod(home, 0o700);
    if (separate) await Deno.chown(home, uid, uid);
    accounts.set(name, { home, owner: separate ? uid : Deno.uid() ?? uid });
    passwd += `${name}:x:${uid}:${uid}::/home/${name}:/bin/sh\n`;
  }
  await Deno.writeTextFile(`${root}/etc/passwd`, passwd);
  const before = await files(root);
  let agent: Deno.ChildProcess | undefined;

  async function run(args: string[], input = ""): Promise<{ code: number; output: string }> {
    const { argv: [command, ...first], env } = withArguments(program, ...args);
    const child = new Deno.Command(command, {
      args: first,
      env,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(input));
    await writer.close();
    const { code, stdout, stderr } = await child.output();
    if (code !== 0 && (code !== 4 || args[0] !== "status")) {
      throw new Error(new TextDecoder().decode(stderr));
    }
    return { code, output: new TextDecoder().decode(stdout) };
  }

  const status = async () => JSON.parse((await run(["status", "--json"])).output);
  const account = (name: string) => {
    const found = accounts.get(name);
    if (!found) throw new Error(`The demo has no account '${name}'.`);
    return found;
  };
  const policyFile = `${root}/etc/opt/chrome/policies/managed/${policyFileName(DEFAULT_BRAND)}`;

  return {
    root,
    policyFile,
    account,
    async enroll(server) {
      const where = ["--server", server.agentUrl, "--server-ca", server.serverCa];
      await run(["enroll", ...where, "--connect-key-file", "-"], server.connectKey);
      return (await status()).device.id;
    },
    startAgent() {
      const { argv: [command, ...args], env } = withArguments(program, "agent");
      agent = new Deno.Command(command, {
        args,
        env,
        stdin: "null",
        stdout: "null",
        stderr: "piped",
      }).spawn();
      tellTrouble(agent.stderr, err);
      return agent.pid;
    },
    async states() {
      const states = new Set((await status()).users.map((user: { state: string }) => user.state));
      return states.size === 1 ? String([...states][0]) : "mixed";
    },
    async policy() {
      try {
        return await Deno.readTextFile(policyFile);
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return "";
        throw error;
      }
    },
    nssDirectory(name) {
      const directory = `${account(name).home}/.pki/nssdb`;
      return isThere(directory) ? directory : undefined;
    },
    async renew() {
      await run(["renew"]);
    },
    async unenroll() {
      await run(["unenroll"]);
    },
    async leftovers() {
      const known = new Set(before);
      // The device's audit log outlives its enrolment; the agent that still runs holds its locks.
      return (await files(root)).filter((path) =>
        !known.has(path) && !path.startsWith("/var/lib/device-trust/") &&
        !path.startsWith("/run/device-trust/")
      );
    },
    async [Symbol.asyncDispose]() {
      if (!agent) return;
      agent.kill("SIGTERM");
      await agent.status;
    },
  };
}

/** Whether accounts can have rights of their own: root runs this, from where others can read it. */
async function canBeOthers(program: SelfProgram): Promise<boolean> {
  if (Deno.uid() !== 0) return false;
  const runAs = { uid: FIRST_UID, gid: FIRST_UID, groups: "none" } as const;
  const account = { name: "demo", uid: String(FIRST_UID), home: "/", runAs };
  return await canExecute(account, program.files, { run: runCommand });
}

/** Passes on what the agent logs as trouble; the rest of its log is not part of the story. */
async function tellTrouble(
  log: ReadableStream<Uint8Array<ArrayBuffer>>,
  err: (text: string) => void,
): Promise<void> {
  for await (const text of log.pipeThrough(new TextDecoderStream())) {
    for (const line of text.split("\n")) {
      if (/"level":"(warning|error)"/.test(line)) err(`${line}\n`);
    }
  }
}

async function files(root: string, below = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir(`${root}${below}`)) {
    const path = `${below}/${entry.name}`;
    if (entry.isDirectory) found.push(...await files(root, path));
    else found.push(path);
  }
  return found;
}

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
