/**
 * A machine within this machine, for tests that need users of their own and the product's real
 * paths: a story (a Deno script) runs as root in mount and process namespaces of its own, where
 * `/etc`, `/home` and the other folders below are private. With the story's process all others in
 * there end, and all that they wrote is gone, however it ends: finished, failed or killed.
 */
import { TextLineStream } from "../agent/text_lines.ts";
import { type MachineFact, type Requirement, testWith } from "./skip.ts";

/** A user made for a story. */
export interface LocalUser {
  name: string;
  uid: number;
  gid: number;
  home: string;
}

/** Tells one step: a test step of this name that passes unless the function throws. */
export type Step = <T>(name: string, act: () => T | Promise<T>) => Promise<T>;

/** Registers a test that plays the story in `script`, a module that calls {@link tellStory}. */
export function testInPrivateRoot(
  requirements: readonly Requirement[],
  name: string,
  script: string,
): void {
  const needs = [NAMESPACES, "root", "unshare", "setpriv", ...requirements] as const;
  testWith(needs, name, (t) => playStory(t, script));
}

/** Arguments of unshare(1) for a program with namespaces of its own; to kill unshare ends all. */
function inNamespaces(...program: string[]): string[] {
  return ["--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "--", ...program];
}

/** What starts a story. */
export function storyCommand(script: string, env: Record<string, string> = {}): Deno.Command {
  return new Deno.Command("unshare", {
    args: inNamespaces(Deno.execPath(), "run", "-A", "--no-prompt", script),
    env,
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  });
}

/** What a story says of itself, a line of JSON each. */
export interface StoryLine {
  step: string;
  /** Absent while the step runs. */
  outcome?: "passed" | "failed";
  error?: string;
}

async function playStory(t: Deno.TestContext, script: string): Promise<void> {
  const story = storyCommand(script).spawn();
  const deadline = setTimeout(() => story.kill("SIGKILL"), LONGEST_STORY_MS);
  const lines = story.stdout.pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream())[Symbol.asyncIterator]();
  const next = async (): Promise<StoryLine | undefined> => {
    const { done, value } = await lines.next();
    return done ? undefined : JSON.parse(value);
  };
  try {
    for (let begun = await next(); begun; begun = await next()) {
      await t.step(begun.step, async () => {
        const end = await next();
        if (!end) throw new Error("The story broke off in this step.");
        if (end.outcome === "failed") throw new Error(end.error);
      });
    }
    const { code } = await story.status;
    if (code !== 0) throw new Error(`The story ended with exit code ${code}.`);
  } finally {
    clearTimeout(deadline);
    // It waits for this: the end of its standard input is the end of the story.
    await story.stdin.close();
    await story.status;
  }
}

/**
 * Tells a story in its own process: makes the root private, then lets `tell` tell its steps. Never
 * returns.
 */
export async function tellStory(tell: (step: Step) => Promise<void>): Promise<never> {
  endWithStandardInput();
  try {
    await makeRootPrivate();
    await tell(step);
  } catch (error) {
    if (!(error instanceof StepFailed)) {
      await step("the story goes on", () => Promise.reject(error));
    }
  }
  return Deno.exit(0);
}

/** Makes a user with useradd(8): a home of their own, uids from 60601 on, no password. */
export async function makeUser(name: string): Promise<LocalUser> {
  const uid = nextUid++;
  await execute(
    "useradd",
    // Without --no-log-init it would write to the machine's own /var/log.
    ...["--create-home", "--no-log-init", "--user-group", "--shell", "/bin/sh"],
    ...["--uid", String(uid), "--key", "UID_MAX=60699", "--key", "GID_MAX=60699", name],
  );
  const home = `/home/${name}`;
  const { uid: owner, gid } = await Deno.stat(home);
  if (owner !== uid || gid === null) throw new Error(`${home} does not belong to ${name}.`);
  return { name, uid, gid, home };
}

/** Arguments of setpriv(1) and the environment for a program that runs as this user. */
export function asUser(
  { name, uid, gid, home }: LocalUser,
  program: string,
  args: readonly string[],
): { args: string[]; env: Record<string, string>; clearEnv: true; cwd: string } {
  const rights = [`--reuid=${uid}`, `--regid=${gid}`, "--init-groups", "--inh-caps=-all"];
  return {
    args: [...rights, "--pdeathsig=KILL", "--", program, ...args],
    env: {
      HOME: home,
      USER: name,
      LOGNAME: name,
      PATH: SYSTEM_PATH,
      TMPDIR: home,
      LANG: "C.UTF-8",
    },
    clearEnv: true,
    cwd: home,
  };
}

/** Runs a program to its end; gives its standard output. @throws Error with what it said */
export async function execute(program: string, ...args: string[]): Promise<string> {
  return await outputOf(program, new Deno.Command(program, { args }));
}

/** The same as a user. */
export async function executeAs(user: LocalUser, ...argv: [string, ...string[]]): Promise<string> {
  const [program, ...args] = argv;
  return await outputOf(program, new Deno.Command("setpriv", asUser(user, program, args)));
}

/** Private, writable by a story alone, and gone with it; nothing of the machine is in it. */
export const SCRATCH = "/run/story";

/** Namespaces are the kernel's to give: not in every container. */
export const NAMESPACES: MachineFact = {
  met: Deno.uid() !== 0 || canMount(),
  otherwise: "this machine gives root no mount namespaces",
};

const LONGEST_STORY_MS = 240_000;
const SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/** Folders whose entries stay as they are, and that new entries may come into. */
const SHARED_FOLDERS = ["/home", "/var/lib", "/usr/local/bin", "/usr/local/lib"];

/** Above what systems give to people and services. */
let nextUid = 60_601;

class StepFailed extends Error {
  override readonly name = "StepFailed";
}

async function step<T>(name: string, act: () => T | Promise<T>): Promise<T> {
  say({ step: name });
  try {
    const result = await act();
    say({ step: name, outcome: "passed" });
    return result;
  } catch (error) {
    const told = error instanceof Error ? error.stack ?? error.message : String(error);
    say({ step: name, outcome: "failed", error: told });
    throw new StepFailed(name, { cause: error });
  }
}

function say(line: StoryLine): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
}

/** Whoever plays the story holds the other end, and loses it by being killed. */
function endWithStandardInput(): void {
  const end = () => Deno.exit(1);
  Deno.stdin.readable.pipeTo(new WritableStream()).then(end, end);
}

async function makeRootPrivate(): Promise<void> {
  await mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run");
  await Deno.mkdir(SCRATCH, { mode: 0o755 });
  await execute("cp", "--archive", "/etc", "/run/etc");
  await mount("--bind", "/run/etc", "/etc");
  for (const folder of SHARED_FOLDERS) await makeFolderPrivate(folder);
}

/** An empty file system over the folder, and every entry bound back where it was. */
async function makeFolderPrivate(folder: string): Promise<void> {
  const was = `${SCRATCH}/was${folder}`;
  await Deno.mkdir(was, { recursive: true, mode: 0o700 });
  await mount("--rbind", folder, was);
  await mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", folder);
  for (const { name, isDirectory, isSymlink } of Deno.readDirSync(was)) {
    const [from, to] = [`${was}/${name}`, `${folder}/${name}`];
    if (isSymlink) {
      await Deno.symlink(await Deno.readLink(from), to);
      continue;
    }
    if (isDirectory) await Deno.mkdir(to);
    else await Deno.create(to).then((file) => file.close());
    await mount("--rbind", from, to);
  }
}

async function mount(...args: string[]): Promise<void> {
  await execute("mount", ...args);
}

async function outputOf(program: string, command: Deno.Command): Promise<string> {
  const { success, stdout, stderr } = await command.output();
  const [said, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (!success) throw new Error(`${program} failed: ${errors}${said}`);
  return said ?? "";
}

function canMount(): boolean {
  try {
    const args = inNamespaces("mount", "-t", "tmpfs", "tmpfs", "/run");
    return new Deno.Command("unshare", { args, stdout: "null", stderr: "null" }).outputSync()
      .success;
  } catch (error) {
    // Without unshare that is what the test lacks.
    if (error instanceof Deno.errors.NotFound) return true;
    throw error;
  }
}
