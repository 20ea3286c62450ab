/**
 * A whole Debian within this machine: a tree of `debian_tree.ts` with process, mount and control
 * group namespaces of its own, whose first process is its systemd. It shares the network, so that
 * servers on loopback are reached from it. Whatever is written lies over the tree, in memory, and is
 * gone with the machine, however it ends.
 */
import { debianTree, type Suite } from "./debian_tree.ts";
import { type Outcome } from "./product.ts";
import { until } from "./until.ts";
import type { MachineFact } from "./skip.ts";

/** A machine that runs. Disposing of it ends all its processes. */
export interface DebianMachine extends AsyncDisposable {
  /** Its `/`, as this machine's root reaches it. */
  readonly root: string;
  /** The same program, run in it. */
  command(...argv: readonly [string, ...string[]]): [string, ...string[]];
  /** Runs a program in it, as root, to its end. */
  run(...argv: readonly [string, ...string[]]): Promise<Outcome>;
  /** The same; gives its standard output. @throws Error unless it succeeds */
  must(...argv: readonly [string, ...string[]]): Promise<string>;
}

/** What of it is the kernel's to give. */
export const CONTROL_GROUPS: MachineFact = {
  met: Deno.uid() !== 0 || controlGroups() !== undefined,
  otherwise: "this machine gives root no control groups of version 2",
};

/** What a machine starts with: without systemd, nothing in it looks after services. */
export type FirstProcess = "systemd" | "no systemd";

/** Starts one. */
export async function startDebian(suite: Suite, first: FirstProcess): Promise<DebianMachine> {
  const scratch = await Deno.makeTempDir({ prefix: "device-trust-debian-" });
  const group = `${controlGroups()}/${scratch.split("/").at(-1)}`;
  const init = first === "systemd" ? INIT : ["/usr/bin/sleep", "infinity"];
  const keeper = new Deno.Command("sh", {
    args: ["-c", KEEP, "sh", group, scratch, BOOT, debianTree(suite), ...init],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const end = async () => {
    await keeper.stdin.close();
    await keeper.status;
  };
  try {
    const pid = await firstProcess(keeper.stdout);
    const machine = inside(pid);
    await until(`${suite} has begun`, () => commandOf(pid) === init[0]?.split("/").at(-1));
    if (first === "systemd") await until(`${suite} has started`, () => hasStarted(machine));
    return { ...machine, [Symbol.asyncDispose]: end };
  } catch (error) {
    await end();
    throw error;
  }
}

const SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin";
const INIT = ["/lib/systemd/systemd", "--system", "--unit=multi-user.target", "--show-status=no"];

/** The end of its standard input is the end of the machine. */
const KEEP = `
  group=$1 scratch=$2 boot=$3
  shift 3
  mkdir "$group"
  sh -c 'echo 0 >"$1/cgroup.procs"; shift; exec unshare \
    --mount --propagation private --pid --fork --kill-child=SIGKILL --cgroup --uts --ipc \
    -- "$@"' sh "$group" sh -ec "$boot" sh "$scratch" "$@" </dev/null >&2 &
  child=$!
  echo $child
  cat
  kill -KILL $child
  wait $child 2>/dev/null
  # Its processes have to be gone first, which the kernel sees to meanwhile.
  for look in $(seq 100); do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
    sleep 0.1
  done
  rmdir "$scratch"`;

/** Nothing that is everybody's can be changed through it: devices, settings and objects of the kernel. */
const BOOT = `
  scratch=$1 tree=$2
  shift 2
  root=$scratch/root
  mount -t tmpfs tmpfs "$scratch"
  mkdir "$scratch/upper" "$scratch/work" "$root"
  mount -t overlay overlay "$root" \
    -o "lowerdir=$tree,upperdir=$scratch/upper,workdir=$scratch/work"
  mount -t proc proc "$root/proc"
  mount --bind "$root/proc/sys" "$root/proc/sys"
  mount -o remount,bind,ro "$root/proc/sys"
  mount -t sysfs -o ro sysfs "$root/sys"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
  mount -t tmpfs -o mode=0755 tmpfs "$root/run"
  mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
  for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
  done
  mkdir "$root/dev/shm" "$root/dev/pts"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  echo 127.0.0.1 localhost >"$root/etc/hosts"
  # Nothing of this machine's mounts is left to be found: a mount namespace's root is its own.
  cd "$root"
  pivot_root . .
  umount --lazy .
  exec chroot . env -i container=test PATH=${SYSTEM_PATH} "$@"`;

async function firstProcess(stdout: ReadableStream<Uint8Array>): Promise<number> {
  const reader = stdout.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  const parent = new TextDecoder().decode(value).trim();
  let child = "";
  await until("the machine has a first process", () => {
    child = Deno.readTextFileSync(`/proc/${parent}/task/${parent}/children`).trim();
    return child !== "";
  });
  return Number(child);
}

function commandOf(pid: number): string {
  return Deno.readTextFileSync(`/proc/${pid}/comm`).trim();
}

async function hasStarted(machine: Pick<DebianMachine, "run">): Promise<boolean> {
  // One of Debian's own services may have failed in here; that is not what is tried.
  const { out } = await machine.run("systemctl", "is-system-running");
  return ["running", "degraded"].includes(out.trim());
}

function inside(pid: number): Omit<DebianMachine, keyof AsyncDisposable> {
  const command: DebianMachine["command"] = (...argv) => [
    "nsenter",
    ...[`--target=${pid}`, "--mount", "--pid", "--cgroup", "--uts", "--ipc"],
    ...["--root", "--wd", "--", "env", "-i", `PATH=${SYSTEM_PATH}`, "LANG=C.UTF-8", "HOME=/root"],
    ...["DEBIAN_FRONTEND=noninteractive", ...argv],
  ];
  const run: DebianMachine["run"] = async (...argv) => {
    const [program, ...args] = command(...argv);
    const { code, stdout, stderr } = await new Deno.Command(program, { args, stdin: "null" })
      .output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, out: text(stdout), err: text(stderr) };
  };
  return {
    root: `/proc/${pid}/root`,
    command,
    run,
    async must(...argv) {
      const { code, out, err } = await run(...argv);
      if (code !== 0) throw new Error(`${argv.join(" ")}: ${code} ${err}${out}`);
      return out;
    },
  };
}

/** Where the control groups of version 2 are; undefined where there are none. */
function controlGroups(): string | undefined {
  const mounts = Deno.readTextFileSync("/proc/mounts").split("\n").map((line) => line.split(" "));
  return mounts.find(([, , type]) => type === "cgroup2")?.[1];
}
