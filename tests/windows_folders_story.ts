/**
 * The agent's folders, and files that users put there, on Windows or in Wine
 * (tests/windows_platform_test.ts). Wine keeps owner and list of a folder as it pleases: what is to be
 * read of them is left out there by name.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { UnsafePath, writeFileAtomic } from "../platform/files.ts";
import { systemPaths } from "../platform/paths.ts";
import { DESCRIPTORS } from "../platform/windows/access_rules.ts";
import { ensureFolder, holdFile, readSecurity, readUserFile } from "../platform/windows/folders.ts";
import { makeLogFolder, makeRunFolders, makeStateFolder } from "../platform/windows/run_folders.ts";
import { daclOf, descriptorOf, ownIdentity } from "../platform/windows/security.ts";
import { testWith } from "./skip.ts";
import { isWine } from "./windows_scratch.ts";

const real = {
  met: !isWine(),
  otherwise: "this machine is Wine, which keeps access lists in its own way",
} as const;
const ADA = ownIdentity().user;

function inFolder(name: string, test: (folder: string) => void | Promise<void>) {
  return [name, async () => {
    const folder = Deno.makeTempDirSync({ prefix: "device-trust-Zoë Ü-" });
    try {
      await test(folder);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }] as const;
}

function pathsIn(folder: string) {
  return systemPaths({ os: "windows", env: { ProgramData: folder } });
}

Deno.test(...inFolder("all folders are made, and making them again changes nothing", (folder) => {
  const paths = pathsIn(folder);
  for (let round = 0; round < 2; round++) {
    makeStateFolder(paths);
    makeLogFolder(paths);
    makeRunFolders(paths, ADA);
  }
  const made = [
    paths.stateDir,
    paths.logDir,
    ...[paths.control, join(paths.usersRunDir, ADA)].flatMap((at) => [`${at}\\in`, `${at}\\out`]),
  ];
  for (const path of made) assert.ok(Deno.statSync(path).isDirectory, path);
}));

testWith(
  [real],
  ...inFolder("owner and list of every folder are, read back, what they shall be", (folder) => {
    const paths = pathsIn(folder);
    makeStateFolder(paths);
    makeRunFolders(paths, ADA);
    const own = join(paths.usersRunDir, ADA);
    const expected: [path: string, descriptor: string][] = [
      [dirname(paths.stateDir), DESCRIPTORS.passage],
      [paths.stateDir, DESCRIPTORS.private],
      [paths.usersRunDir, DESCRIPTORS.passage],
      [join(paths.control, "in"), DESCRIPTORS.private],
      [own, DESCRIPTORS.user(ADA)],
      [join(own, "in"), DESCRIPTORS.in(ADA)],
      [join(own, "out"), DESCRIPTORS.out(ADA)],
    ];
    for (const [path, descriptor] of expected) {
      const { owner, dacl } = readSecurity(path) ?? {};
      assert.equal(owner, "S-1-5-32-544", path);
      assert.equal(dacl, daclOf(descriptorOf(descriptor)), path);
    }
  }),
);

testWith(
  [real],
  ...inFolder(
    "a folder with a list of others' is given ours, and a plant in it is found",
    (folder) => {
      const path = join(folder, "state");
      Deno.mkdirSync(path);
      Deno.writeTextFileSync(join(path, "state.db"), "");
      ensureFolder(path, DESCRIPTORS.private, "ours");
      assert.equal(readSecurity(path)?.dacl, daclOf(descriptorOf(DESCRIPTORS.private)));
    },
  ),
);

Deno.test(...inFolder("what is no folder is refused, and a missing parent is told", (folder) => {
  const file = join(folder, "state");
  Deno.writeTextFileSync(file, "");
  assert.throws(() => ensureFolder(file, DESCRIPTORS.private, "ours"), (error) => {
    return error instanceof UnsafePath && /is not a folder/.test(error.message);
  });
  assert.throws(
    () => ensureFolder(join(folder, "nowhere", "state"), DESCRIPTORS.private, "ours"),
    { name: "Problem", message: /nowhere is not there/ },
  );
}));

Deno.test(...inFolder("a user's file is read whole, under any name and at any depth", (folder) => {
  const deep = join(folder, ...Array.from({ length: 6 }, (_, index) => `${index}`.repeat(60)));
  Deno.mkdirSync(`\\\\?\\${deep}`, { recursive: true });
  assert.ok(deep.length > 260);
  for (const path of [join(folder, "Zoë 鍵 🔑.json"), join(deep, "request.json")]) {
    Deno.writeTextFileSync(`\\\\?\\${path}`, "hello");
    assert.equal(new TextDecoder().decode(readUserFile(path, 5)), "hello");
    assert.throws(() => readUserFile(path, 4), /larger than 4 bytes/);
    assert.equal(readUserFile(path.replaceAll("\\", "/"), 5)?.length, 5);
  }
  assert.equal(readUserFile(join(folder, "gone"), 5), undefined);
  assert.equal(readUserFile(join(folder, "gone", "too"), 5), undefined);
  Deno.writeTextFileSync(join(folder, "empty"), "");
  assert.equal(readUserFile(join(folder, "empty"), 5)?.length, 0);
}));

Deno.test(...inFolder("a folder, and a file with a second name, are nobody's message", (folder) => {
  const file = join(folder, "one");
  Deno.writeTextFileSync(file, "hello");
  Deno.linkSync(file, join(folder, "two"));
  for (const [path, words] of [[file, /2 names/], [folder, /is a folder/]] as const) {
    assert.throws(() => readUserFile(path, 9), (error) => {
      return error instanceof UnsafePath && words.test(error.message);
    });
  }
}));

const links = { met: !isWine(), otherwise: "this machine is Wine, which makes no links" } as const;
testWith(
  [links],
  ...inFolder("no link is followed, be it to a file or to a folder", (folder) => {
    const target = join(folder, "target");
    Deno.writeTextFileSync(target, "secret");
    Deno.symlinkSync(target, join(folder, "link"), { type: "file" });
    Deno.mkdirSync(join(folder, "elsewhere"));
    Deno.symlinkSync(join(folder, "elsewhere"), join(folder, "state"), { type: "junction" });
    assert.throws(() => readUserFile(join(folder, "link"), 9), /is a link/);
    assert.throws(
      () => ensureFolder(join(folder, "state"), DESCRIPTORS.private, "ours"),
      /is a link/,
    );
  }),
);

Deno.test(
  ...inFolder(
    "a file that somebody holds is refused at once, and gone with the holder",
    (folder) => {
      const path = join(folder, "held.json");
      {
        using held = holdFile(path);
        assert.ok(held);
        assert.equal(holdFile(path), undefined);
        assert.throws(() => readUserFile(path, 9), (error) => error instanceof UnsafePath);
      }
      assert.equal(readUserFile(path, 9), undefined);
      using again = holdFile(path);
      assert.ok(again);
    },
  ),
);

Deno.test(...inFolder("files of the agent's own are written whole, over older ones", (folder) => {
  const path = join(folder, "device.key");
  for (const text of ["first", "second, and longer"]) {
    writeFileAtomic(path, new TextEncoder().encode(text), { mode: 0o600 });
    assert.equal(Deno.readTextFileSync(path), text);
  }
  assert.equal([...Deno.readDirSync(folder)].length, 1);
}));
