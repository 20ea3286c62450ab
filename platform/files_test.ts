import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { Problem } from "./errors.ts";
import {
  checkRootOwnedDir,
  ensureRootOwnedDir,
  readRegularFile,
  removeFileIfOurs,
  removeLeftovers,
  UnsafePath,
  writeFileAtomic,
} from "./files.ts";

const posix = Deno.build.os !== "windows";
const root = posix && Deno.uid() === 0;
const bytes = (text: string) => new TextEncoder().encode(text);

/** A scratch directory for one test. */
function scratch(name: string, test: (dir: string) => void, ignore = !posix): void {
  Deno.test({
    name,
    ignore,
    fn: () => {
      const dir = Deno.makeTempDirSync({ prefix: "device-trust-files-" });
      try {
        test(dir);
      } finally {
        Deno.removeSync(dir, { recursive: true });
      }
    },
  });
}

function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map((entry) => entry.name).sort();
}

function mkfifo(path: string): void {
  assert.ok(new Deno.Command("mkfifo", { args: [path] }).outputSync().success);
}

function withUmask(mask: number, action: () => void): void {
  const before = Deno.umask(mask);
  try {
    action();
  } finally {
    Deno.umask(before);
  }
}

scratch("a file is written with exactly its bytes and mode, whatever the umask is", (dir) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 5000 }),
      fc.constantFrom(0o600, 0o644, 0o640),
      fc.constantFrom(0, 0o022, 0o077, 0o777),
      (content, mode, mask) => {
        const path = join(dir, "file");
        withUmask(mask, () => writeFileAtomic(path, content, { mode }));
        assert.deepEqual(Deno.readFileSync(path), content);
        assert.equal((Deno.statSync(path).mode ?? 0) & 0o7777, mode);
        assert.deepEqual(names(dir), ["file"]);
      },
    ),
    { numRuns: 50 },
  );
});

scratch("a link at the written path is replaced, its target untouched", (dir) => {
  const victim = join(dir, "victim");
  Deno.writeTextFileSync(victim, "theirs");
  Deno.symlinkSync(victim, join(dir, "file"));
  writeFileAtomic(join(dir, "file"), bytes("ours"), { mode: 0o644 });
  assert.equal(Deno.readTextFileSync(victim), "theirs");
  assert.ok(Deno.lstatSync(join(dir, "file")).isFile);
});

scratch("the temporary file goes where it is told and is gone after a failure", (dir) => {
  Deno.mkdirSync(join(dir, "temp"));
  Deno.mkdirSync(join(dir, "target"));
  const write = () =>
    writeFileAtomic(join(dir, "target"), bytes("x"), { mode: 0o600, tempDir: join(dir, "temp") });
  assert.throws(write, Problem);
  assert.deepEqual(names(join(dir, "temp")), []);
  assert.deepEqual(names(dir), ["target", "temp"]);
});

scratch("a full disk is disk-full and the old content stays (needs root and mount)", (dir) => {
  const mount = new Deno.Command("mount", {
    args: ["-t", "tmpfs", "-o", "size=16k", "tmpfs", dir],
  }).outputSync();
  assert.ok(mount.success);
  try {
    const path = join(dir, "file");
    writeFileAtomic(path, bytes("old"), { mode: 0o600 });
    assert.throws(
      () => writeFileAtomic(path, new Uint8Array(1 << 20), { mode: 0o600 }),
      (error) => error instanceof Problem && error.code === "disk-full",
    );
    assert.equal(Deno.readTextFileSync(path), "old");
    assert.deepEqual(names(dir), ["file"]);
  } finally {
    new Deno.Command("umount", { args: [dir] }).outputSync();
  }
}, !canMount());

function canMount(): boolean {
  if (!root || Deno.build.os !== "linux") return false;
  const dir = Deno.makeTempDirSync();
  const mounted =
    new Deno.Command("mount", { args: ["-t", "tmpfs", "tmpfs", dir] }).outputSync().success;
  if (mounted) new Deno.Command("umount", { args: [dir] }).outputSync();
  Deno.removeSync(dir);
  return mounted;
}

scratch("what a killed write left is tidied, everything else stays", (dir) => {
  Deno.writeTextFileSync(join(dir, ".device-trust-0123456789abcdef.tmp"), "");
  Deno.writeTextFileSync(join(dir, ".device-trust-mine.tmp"), "");
  Deno.writeTextFileSync(join(dir, "other.tmp"), "");
  removeLeftovers(dir);
  assert.deepEqual(names(dir), [".device-trust-mine.tmp", "other.tmp"]);
  removeLeftovers(join(dir, "absent"));
});

scratch("missing directories are recorded before they are made, with their mode", (dir) => {
  const wanted = join(dir, "a/b/c");
  const recorded: string[] = [];
  withUmask(0o077, () =>
    ensureRootOwnedDir(wanted, {
      mode: 0o755,
      root: dir,
      recordCreated: (path) => {
        assert.equal(Deno.statSync(join(path, "..")).isDirectory, true);
        assert.throws(() => Deno.statSync(path), Deno.errors.NotFound);
        recorded.push(path);
      },
    }));
  assert.deepEqual(recorded, [join(dir, "a"), join(dir, "a/b"), wanted]);
  for (const path of recorded) assert.equal((Deno.statSync(path).mode ?? 0) & 0o777, 0o755);
  ensureRootOwnedDir(wanted, { mode: 0o700, root: dir, recordCreated: () => assert.fail() });
  assert.equal((Deno.statSync(wanted).mode ?? 0) & 0o777, 0o755);
});

scratch("a directory whose record cannot be kept is not made", (dir) => {
  const recordCreated = () => {
    throw new Error("disk full");
  };
  assert.throws(() =>
    ensureRootOwnedDir(join(dir, "a"), { mode: 0o755, root: dir, recordCreated })
  );
  assert.deepEqual(names(dir), []);
});

scratch("links, FIFOs, files and writable directories on the way are refused", (dir) => {
  const plant: Record<string, (path: string) => void> = {
    link: (path) => {
      Deno.mkdirSync(join(dir, "elsewhere"), { recursive: true });
      Deno.symlinkSync(join(dir, "elsewhere"), path);
    },
    dangling: (path) => Deno.symlinkSync("/nowhere", path),
    fifo: mkfifo,
    file: (path) => Deno.writeTextFileSync(path, ""),
    writable: (path) => {
      Deno.mkdirSync(path);
      Deno.chmodSync(path, 0o757);
    },
    sticky: (path) => {
      Deno.mkdirSync(path);
      Deno.chmodSync(path, 0o1777);
    },
  };
  for (const [name, make] of Object.entries(plant)) {
    const path = join(dir, name);
    make(path);
    for (const wanted of [path, join(path, "below")]) {
      const how = { mode: 0o755, root: dir, recordCreated: () => assert.fail(name) };
      assert.throws(() => ensureRootOwnedDir(wanted, how), UnsafePath, name);
      assert.throws(() => checkRootOwnedDir(wanted, dir), UnsafePath, name);
    }
  }
  assert.deepEqual(names(join(dir, "elsewhere")), []);
});

scratch(
  "another user's directory, and one that another group can write, are refused (needs root)",
  (dir) => {
    Deno.mkdirSync(join(dir, "theirs"));
    Deno.chownSync(join(dir, "theirs"), 12345, 0);
    assert.throws(() => checkRootOwnedDir(join(dir, "theirs/x"), dir), UnsafePath);
    Deno.mkdirSync(join(dir, "group"));
    Deno.chmodSync(join(dir, "group"), 0o775);
    assert.equal(checkRootOwnedDir(join(dir, "group"), dir), true);
    Deno.chownSync(join(dir, "group"), 0, 12345);
    assert.throws(() => checkRootOwnedDir(join(dir, "group"), dir), UnsafePath);
  },
  !root,
);

scratch("checking makes nothing, and nothing outside the root is looked at", (dir) => {
  assert.equal(checkRootOwnedDir(join(dir, "a/b"), dir), false);
  assert.deepEqual(names(dir), []);
  assert.equal(checkRootOwnedDir(dir, dir), true);
  assert.throws(() => checkRootOwnedDir(join(dir, "../x"), dir), UnsafePath);
  assert.throws(() => checkRootOwnedDir(`${dir}x`, dir), UnsafePath);
  assert.equal(checkRootOwnedDir(join(dir, "..x"), dir), false);
});

Deno.test({
  name: "a link that root made right below / counts as the directory it leads to",
  ignore: !(posix && Deno.lstatSync("/bin").isSymlink),
  fn: () => assert.equal(checkRootOwnedDir("/bin"), true),
});

scratch("only a regular file within the bound is read", (dir) => {
  const file = join(dir, "file");
  Deno.writeTextFileSync(file, "12345");
  assert.deepEqual(readRegularFile(file, 5), bytes("12345"));
  assert.throws(() => readRegularFile(file, 4), UnsafePath);
  assert.equal(readRegularFile(join(dir, "absent"), 5), undefined);
  assert.equal(readRegularFile(join(file, "below"), 5), undefined);
  Deno.symlinkSync(file, join(dir, "link"));
  mkfifo(join(dir, "fifo"));
  for (const path of [join(dir, "link"), join(dir, "fifo"), dir, "/dev/zero"]) {
    assert.throws(() => readRegularFile(path, 100), UnsafePath, path);
  }
});

scratch("a file of the kernel that says it has no size is read to its bound", () => {
  assert.ok((readRegularFile("/proc/self/status", 1 << 16)?.length ?? 0) > 100);
  assert.throws(() => readRegularFile("/proc/self/status", 10), UnsafePath);
}, Deno.build.os !== "linux");

scratch("a file is removed only when it is recognised", (dir) => {
  const path = join(dir, "file");
  const isOurs = (content: Uint8Array) => new TextDecoder().decode(content) === "ours";
  assert.equal(removeFileIfOurs(path, isOurs, 10), "absent");
  Deno.writeTextFileSync(path, "theirs");
  assert.equal(removeFileIfOurs(path, isOurs, 10), "foreign");
  Deno.writeTextFileSync(path, "too large to be ours");
  assert.equal(removeFileIfOurs(path, isOurs, 10), "foreign");
  Deno.writeTextFileSync(path, "ours");
  Deno.symlinkSync(path, join(dir, "link"));
  assert.equal(removeFileIfOurs(join(dir, "link"), isOurs, 10), "foreign");
  assert.equal(removeFileIfOurs(path, isOurs, 10), "removed");
  assert.deepEqual(names(dir), ["link"]);
});
