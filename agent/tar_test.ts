/** The archive, read by tar(1). */
import assert from "node:assert/strict";
import { tarArchive } from "./tar.ts";

const AT = Date.parse("2020-02-29T12:00:00Z");

Deno.test("tar reads every file as it was, whatever its length", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const lengths = [0, 1, 511, 512, 513, 100_000];
    const files = lengths.map((length) => ({
      path: `folder/${length}.txt`,
      content: crypto.getRandomValues(new Uint8Array(Math.min(length, 65_536))),
    }));
    files.push({ path: `folder/${"n".repeat(93)}`, content: new TextEncoder().encode("Größe\n") });
    await Deno.writeFile(`${folder}/a.tar`, tarArchive(files, AT));
    const { code, stderr } = await new Deno.Command("tar", {
      args: ["-xf", `${folder}/a.tar`, "-C", folder, "--same-permissions"],
    }).output();
    assert.deepEqual([code, new TextDecoder().decode(stderr)], [0, ""]);
    for (const { path, content } of files) {
      assert.deepEqual(await Deno.readFile(`${folder}/${path}`), content, path);
      const { mode, mtime } = await Deno.stat(`${folder}/${path}`);
      assert.equal((mode ?? 0) & 0o777, 0o600);
      assert.equal(mtime?.getTime(), AT);
    }
    assert.equal([...Deno.readDirSync(`${folder}/folder`)].length, files.length);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a name that the format has no room for is refused", () => {
  const file = { path: "é".repeat(51), content: new Uint8Array() };
  assert.throws(() => tarArchive([file], AT), /its name is too long/);
});
