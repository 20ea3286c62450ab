import assert from "node:assert/strict";
import { join } from "node:path";
import { inFolder } from "../tests/ask.ts";
import { createFolder, exists, replaceFile } from "./folder.ts";

const list = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

Deno.test("a folder that cannot be filled is an error and leaves nothing beside it", () =>
  inFolder(async (folder) => {
    const files = [
      { name: "good.key", text: "secret", mode: 0o600 },
      { name: "no/such/folder", text: "", mode: 0o600 },
    ];
    await assert.rejects(createFolder(join(folder, "keys"), files), Deno.errors.NotFound);
    assert.deepEqual(list(folder), []);
  }));

Deno.test("a folder that is there already keeps what it holds", () =>
  inFolder(async (folder) => {
    const path = join(folder, "keys");
    await createFolder(path, [{ name: "a", text: "first", mode: 0o600 }]);
    await createFolder(path, [{ name: "a", text: "second", mode: 0o600 }]);
    assert.equal(await Deno.readTextFile(join(path, "a")), "first");
    assert.deepEqual(list(folder), ["keys"]);
  }));

Deno.test("a file is replaced with the permissions that are asked for", () =>
  inFolder(async (folder) => {
    const path = join(folder, "file");
    await Deno.writeTextFile(path, "old", { mode: 0o644 });
    await replaceFile(path, "new", 0o600);
    assert.equal(await Deno.readTextFile(path), "new");
    assert.equal((await Deno.stat(path)).mode ?? 0, 0o100600);
    assert.deepEqual(list(folder), ["file"]);
    assert.ok(await exists(path));
    assert.ok(!await exists(join(folder, "absent")));
  }));
