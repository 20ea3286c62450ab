import assert from "node:assert/strict";
import fc from "fast-check";
import { fileSystemType, isNetworkFileSystem } from "./mounts.ts";

const TABLE = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
31 27 0:40 / /home rw,relatime shared:5 - autofs systemd-1 rw,fd=29
32 31 0:41 / /home/ada rw,nosuid shared:6 master:2 - nfs4 files.example:/ada rw,vers=4.2
33 27 0:42 / /mnt/two\\040words\\134 rw - fuse.sshfs ada@files: rw
34 27 0:43 / /srv rw - nfs a:/ rw
35 34 0:44 / /srv rw - ext4 /dev/vdb rw
`;

Deno.test("the longest mount point that covers a path says its file system", () => {
  const expected: [string, string][] = [
    ["/", "ext4"],
    ["/home", "autofs"],
    ["/home/ada", "nfs4"],
    ["/home/ada/.pki", "nfs4"],
    ["/home/adam", "autofs"],
    ["/var/home/ada", "ext4"],
    ["/mnt/two words\\/x", "fuse.sshfs"],
    ["/mnt/two", "ext4"],
    ["/srv/x", "ext4"],
  ];
  for (const [path, type] of expected) assert.equal(fileSystemType(TABLE, path), type, path);
  assert.equal(fileSystemType("", "/home"), undefined);
});

Deno.test({
  name: "the kernel's own table is understood: findmnt agrees",
  ignore: Deno.build.os !== "linux",
  fn() {
    const table = Deno.readTextFileSync("/proc/self/mountinfo");
    assert.equal(fileSystemType(table, "/proc/self"), "proc");
    for (const path of ["/", "/dev/shm", Deno.cwd()]) {
      const args = ["-n", "-o", "FSTYPE", "--target", path];
      const { stdout } = new Deno.Command("findmnt", { args }).outputSync();
      assert.equal(
        fileSystemType(table, path),
        new TextDecoder().decode(stdout).trim().split("\n").at(-1),
        path,
      );
    }
  },
});

Deno.test("file systems of other computers are told from local ones", () => {
  for (
    const type of [
      "nfs",
      "nfs4",
      "cifs",
      "smb3",
      "fuse.sshfs",
      "afs",
      "ceph",
      "fuse.ceph",
      "lustre",
      "fuse.glusterfs",
    ]
  ) {
    assert.equal(isNetworkFileSystem(type), true, type);
  }
  for (
    const type of [
      "ext4",
      "xfs",
      "btrfs",
      "zfs",
      "tmpfs",
      "overlay",
      "ecryptfs",
      "fuse.gocryptfs",
      "9p",
      "autofs",
      "fuse",
    ]
  ) {
    assert.equal(isNetworkFileSystem(type), false, type);
  }
});

Deno.test("what the kernel would write for any mount point is read back", () => {
  const name = fc.string({
    minLength: 1,
    maxLength: 8,
    unit: fc.constantFrom("a", " ", "\t", "\\", "\n", "-", "é", "0"),
  });
  const escape = (path: string) =>
    path.replace(/[ \t\n\\]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}`);
  const mounts = fc.array(
    fc.record({
      path: fc.array(name, { maxLength: 3 }).map((parts) => `/${parts.join("/")}`),
      type: fc.constantFrom("ext4", "nfs", "fuse.x"),
      optional: fc.constantFrom("", "shared:1 ", "shared:1 master:22 propagate_from:3 "),
    }),
    { minLength: 1, maxLength: 6 },
  );
  fc.assert(fc.property(mounts, name, (list, leaf) => {
    const table = list.map(({ path, type, optional }, id) =>
      `${id} 1 0:1 / ${escape(path)} rw,noatime ${optional}- ${type} dev rw\n`
    ).join("");
    const asked = `${list[0]?.path === "/" ? "" : list[0]?.path}/${leaf}`;
    const depth = (path: string) => path === "/" ? 0 : path.length;
    const covering = list.filter(({ path }) => path === "/" || `${asked}/`.startsWith(`${path}/`));
    const deepest = Math.max(...covering.map(({ path }) => depth(path)));
    const expected = covering.findLast(({ path }) => depth(path) === deepest)?.type;
    assert.equal(fileSystemType(table, asked), expected);
  }));
});

Deno.test("any text is answered without an error", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("/", " ", "-", "\\", "0", "7", "\n", "a") }),
      (table) => {
        fileSystemType(table, "/home/ada");
      },
    ),
  );
});
