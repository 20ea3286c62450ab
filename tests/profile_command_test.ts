/** `profile` and `keychain-password` as somebody types them, here where there is no keychain. */
import assert from "node:assert/strict";
import { memberOf, readPropertyList } from "../platform/macos/property_list.ts";
import { inPassableFolder } from "./device_root.ts";
import { driveDevice, programFromSource, runProgram, startMockServer } from "./product.ts";

Deno.test("profile writes what the agent server wants to a new file, once the server was heard", () =>
  inPassableFolder(async (folder) => {
    const program = programFromSource(`${folder}/device`);
    const file = `${folder}/device-trust.mobileconfig`;
    const profile = () => runProgram(program, ["profile", "--output", file]);
    assert.equal((await runProgram(program, ["profile"])).code, 2);
    const early = await profile();
    assert.equal(early.code, 3);
    assert.match(early.err, /enrol it first/);
    await using server = await startMockServer(programFromSource(), `${folder}/server`);
    await server.admin("PUT", "/settings", { selectionPatterns: ["https://[*.]portal.test"] });
    await using device = driveDevice(program);
    await device.enroll(server);
    await runProgram(program, ["agent", "--once"]);
    assert.deepEqual(await profile(), { code: 0, out: `Profile: ${file}\n`, err: "" });
    assert.equal(((await Deno.stat(file)).mode ?? 0) & 0o777, 0o644, "others may read it");
    const text = await Deno.readTextFile(file);
    assert.equal(memberOf(readPropertyList(text), "PayloadType"), "Configuration");
    assert.ok(text.includes("https://[*.]portal.test"), text);
    const again = await profile();
    assert.equal(again.code, 1);
    assert.match(again.err, /is there already/);
    assert.equal(await Deno.readTextFile(file), text);
  }));

Deno.test("keychain-password says where there is one", async () => {
  const { code, out, err } = await runProgram(programFromSource(), ["keychain-password"]);
  assert.deepEqual([code, out], [1, ""]);
  assert.match(err, /Only macOS/);
});
