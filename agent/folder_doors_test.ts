/** The doors of an agent that is met in folders: when a worker is told, and what stays of folders. */
import assert from "node:assert/strict";
import { type SystemPaths, systemPaths } from "../platform/paths.ts";
import { isThere } from "../platform/presence.ts";
import { answersIn, asksIn, slotFiles } from "./exchange_folder.ts";
import { FolderDoors } from "./folder_doors.ts";
import { openLog } from "./log.ts";
import { CONTROL } from "./worker_messages.ts";
import { until } from "../tests/until.ts";

class Scratch {
  readonly paths: SystemPaths;
  readonly doors: FolderDoors;
  /** Whose requests a worker was told of. */
  readonly told: string[] = [];
  now = 0;

  constructor(folder: string) {
    this.paths = { ...systemPaths({ os: "linux", root: folder }), control: `${folder}/control` };
    this.make(this.paths.control);
    this.make(this.folder("alice"));
    this.doors = new FolderDoors(
      { paths: this.paths, log: openLog({ write: () => {} }), now: () => this.now },
      { channel: (uid) => Promise.resolve(void this.told.push(uid)) },
      () => ({ offset: 0, known: true }),
    );
  }

  folder(name: string): string {
    return `${this.paths.usersRunDir}/${name}`;
  }

  make(folder: string): void {
    for (const dir of [asksIn(folder), answersIn(folder)]) Deno.mkdirSync(dir, { recursive: true });
  }

  async ask(folder: string, text: string = crypto.randomUUID()): Promise<void> {
    const { asked } = slotFiles(folder, "request");
    await Deno.writeTextFile(`${asked}.new`, text);
    await Deno.rename(`${asked}.new`, asked);
  }
}

async function withDoors(test: (scratch: Scratch) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const scratch = new Scratch(folder);
  try {
    await test(scratch);
  } finally {
    await scratch.doors.close();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a worker is told once of each request, and of what was there before the door was", () =>
  withDoors(async (scratch) => {
    await scratch.ask(scratch.paths.control);
    await until("the administrator's is told", () => scratch.told.length === 1);
    await scratch.ask(scratch.folder("alice"));
    scratch.doors.open(["alice"]);
    await until("alice's is told", () => scratch.told.length === 2);
    assert.deepEqual(scratch.told, [CONTROL, "alice"]);
  }));

Deno.test("a request that nobody can take away is told once, and the next one again", () =>
  withDoors(async (scratch) => {
    const alice = scratch.folder("alice");
    scratch.doors.open(["alice"]);
    await scratch.ask(alice);
    await until("it is told", () => scratch.told.length === 1);
    for (let number = 0; number < 20; number++) {
      await Deno.writeTextFile(`${asksIn(alice)}/${number}.json`, "");
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(scratch.told.length, 1);
    await scratch.ask(alice, "another");
    await until("the next one is told", () => scratch.told.length === 2);
  }));

Deno.test("questions, and whatever else lies there, wake nobody", () =>
  withDoors(async (scratch) => {
    scratch.doors.open(["alice"]);
    const alice = scratch.folder("alice");
    await Deno.writeTextFile(slotFiles(alice, "question").asked, "{}");
    await Deno.mkdir(`${asksIn(alice)}/folder`);
    await scratch.ask(alice);
    await until("the request is told", () => scratch.told.length > 0);
    assert.deepEqual(scratch.told, ["alice"]);
  }));

Deno.test("thousands of requests: 30 a minute are told, the administrator's beside them", () =>
  withDoors(async (scratch) => {
    scratch.doors.open(["alice"]);
    const end = performance.now() + 2000;
    let number = 0;
    for (; performance.now() < end; number++) {
      await scratch.ask(scratch.folder("alice"), "x".repeat(1 + number % 50));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assert.ok(number > 100, `${number} requests`);
    assert.equal(scratch.told.length, 30);
    await scratch.ask(scratch.paths.control);
    await until("it is told", () => scratch.told.at(-1) === CONTROL);
    scratch.now = 60_000;
    await scratch.ask(scratch.folder("alice"));
    await until("a minute later hers are again", () => scratch.told.at(-1) === "alice");
  }));

Deno.test("folders of who is managed no more go, with whatever is in them, and others stay", () =>
  withDoors(async (scratch) => {
    const [alice, bob] = ["alice", "bob"].map((name) => scratch.folder(name));
    assert.ok(alice && bob);
    scratch.make(bob);
    await Deno.mkdir(`${asksIn(bob)}/deep/er`, { recursive: true });
    await Deno.symlink(asksIn(alice), `${asksIn(bob)}/link`);
    await Deno.writeTextFile(`${asksIn(alice)}/kept`, "");
    scratch.doors.open(["alice"]);
    await until("bob's is gone", () => !isThere(bob));
    assert.ok(isThere(`${asksIn(alice)}/kept`));
    await scratch.doors.close();
    assert.ok(!isThere(alice));
    assert.ok(isThere(scratch.paths.control));
  }));
