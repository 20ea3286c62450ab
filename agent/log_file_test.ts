import assert from "node:assert/strict";
import { rotatedFile } from "./log_file.ts";

function inFolder(name: string, test: (folder: string) => void): void {
  Deno.test(name, () => {
    const folder = Deno.makeTempDirSync({ prefix: "device-trust-log-" });
    try {
      test(folder);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  });
}

inFolder(
  "the newest entries are kept, whole and in order, and no file is longer than it may be",
  (folder) => {
    const write = rotatedFile(folder, "agent", { bytes: 100, files: 3 });
    const lines = Array.from({ length: 50 }, (_, index) => `{"entry":${index + 10}}\n`);
    for (const line of lines) write(line);
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    assert.deepEqual(names, ["agent.1.log", "agent.2.log", "agent.log"]);
    const texts = ["agent.2.log", "agent.1.log", "agent.log"]
      .map((name) => Deno.readTextFileSync(`${folder}/${name}`));
    for (const text of texts) assert.ok(text.length <= 100);
    const kept = texts.join("");
    assert.ok(kept.length > 200 - 15);
    assert.ok(lines.join("").endsWith(kept));
  },
);

inFolder(
  "a process that starts again goes on in the same file, and others have their own",
  (folder) => {
    rotatedFile(folder, "agent")("one\n");
    rotatedFile(folder, "worker")("three\n");
    rotatedFile(folder, "agent")("two\n");
    assert.equal(Deno.readTextFileSync(`${folder}/agent.log`), "one\ntwo\n");
    assert.equal(Deno.readTextFileSync(`${folder}/worker.log`), "three\n");
  },
);

inFolder("what cannot be written stops nothing", (folder) => {
  rotatedFile(`${folder}/not there`, "agent")("one\n");
  Deno.mkdirSync(`${folder}/agent.log`);
  rotatedFile(folder, "agent")("one\n");
});
