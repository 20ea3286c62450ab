import assert from "node:assert/strict";
import { avoidable, readTally, type Tally, tallyLine } from "./tally.ts";

/** Runs real tests through the real `deno test`. */
async function tallyOf(files: Record<string, string>): Promise<Tally | undefined> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "--no-check", "--no-config", "--no-lock", folder],
      cwd: folder,
    }).output();
    return readTally(new TextDecoder().decode(stdout));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("readTally() counts what passed, failed, and was skipped, with the reason", async () => {
  const tally = await tallyOf({
    "a_test.ts": `
      Deno.test("passes ... ok", async (t) => { await t.step("a step", () => {}); });
      Deno.test("fails", () => { throw new Error("FAILED | 9 passed"); });
      Deno.test({ name: "b -> c [skipped: needs certutil, root]", ignore: true, fn() {} });
      Deno.test({ name: "gives no reason", ignore: true, fn() {} });`,
    "b_test.ts": `
      Deno.test({ name: "d [skipped: this machine has no wings]", ignore: true, fn() {} });
      Deno.test({ name: "e (not run: not installed: curl)", ignore: true, fn() {} });`,
  });
  assert.deepEqual(tally, {
    passed: 1,
    failed: 1,
    skipped: [
      {
        file: "a_test.ts",
        name: "b -> c [skipped: needs certutil, root]",
        reason: "needs certutil, root",
      },
      { file: "a_test.ts", name: "gives no reason", reason: undefined },
      {
        file: "b_test.ts",
        name: "d [skipped: this machine has no wings]",
        reason: "this machine has no wings",
      },
      {
        file: "b_test.ts",
        name: "e (not run: not installed: curl)",
        reason: "not installed: curl",
      },
    ],
  });
  assert.equal(tallyLine(tally), "1 passed, 1 failed, 4 skipped");
  assert.deepEqual(
    avoidable(tally.skipped),
    tally.skipped.filter(({ name }) => !name.includes("wings")),
  );
});

Deno.test("readTally() counts a module that fails while it loads", async () => {
  const tally = await tallyOf({
    "a_test.ts": `Deno.test("passes", () => {});`,
    "b_test.ts": `throw new Error("at import");`,
  });
  assert.deepEqual(tally, { passed: 1, failed: 1, skipped: [] });
  assert.equal(tallyLine(tally), "1 passed, 1 failed");
});

Deno.test("readTally() gives nothing for a run that broke off", async () => {
  const tally = await tallyOf({
    "a_test.ts": `
      Deno.test("passes", () => {});
      Deno.test("dies", () => { Deno.kill(Deno.pid, "SIGKILL"); });`,
  });
  assert.equal(tally, undefined);
});
