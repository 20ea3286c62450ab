/** `config show` and `config check`. */
import assert from "node:assert/strict";
import { programFromSource, runProgram } from "./product.ts";

Deno.test("config checks a file before it is rolled out, and shows what counts without a password", async () => {
  const root = await Deno.makeTempDir({ prefix: "device-trust-config-" });
  try {
    const program = programFromSource(root);
    const config = (...args: string[]) => runProgram(program, ["config", ...args]);
    const own = `${root}/etc/device-trust/config.json`;
    const missing = await config("check");
    assert.deepEqual([missing.code, missing.err], [
      2,
      `device-trust: There is no file '${own}'.\n`,
    ]);
    assert.deepEqual(JSON.parse((await config("show")).out), {
      caStore: "builtin",
      logLevel: "info",
    });

    const planned = `${root}/planned.json`;
    await Deno.writeTextFile(
      planned,
      '{\n  "server": "https://a.example",\n  "logLevel": "loud"\n}',
    );
    const wrong = await config("check", planned);
    assert.equal(wrong.code, 1);
    assert.match(wrong.err, /planned\.json': line 3: logLevel: .*"debug"\|"info"/);

    await Deno.writeTextFile(planned, '{"proxy": "http://me:hush@proxy.example:3128"}');
    assert.equal((await config("check", planned)).out, `${planned} can be used.\n`);
    const { code, out } = await config("show", planned);
    assert.equal(code, 0);
    assert.match(out, /\[removed\]@proxy\.example:3128/);
    assert.doesNotMatch(out, /hush/);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
