/** What private_root_test.ts has told in a private root. */
import assert from "node:assert/strict";
import { execute, executeAs, makeUser, SCRATCH, tellStory } from "./private_root.ts";

await tellStory(async (step) => {
  const user = await step("a user is made, whom the system knows", async () => {
    const user = await makeUser("dt-alice");
    assert.match(await execute("getent", "passwd", "dt-alice"), /^dt-alice:x:606\d\d:/);
    return user;
  });
  await step("programs run with that user's rights, groups and home", async () => {
    const script = 'id -un; id -Gn; echo "$HOME"; touch "$HOME/mine"; pwd';
    const said = await executeAs(user, "sh", "-c", script);
    assert.equal(said, "dt-alice\ndt-alice\n/home/dt-alice\n/home/dt-alice\n");
    assert.equal((await Deno.stat("/home/dt-alice/mine")).uid, user.uid);
  });
  await step("system folders take new files", () => {
    for (const folder of ["/etc", "/home", "/var/lib", "/run", "/usr/local/bin", SCRATCH]) {
      Deno.writeTextFileSync(`${folder}/device-trust-story`, "");
    }
  });
  // The test kills it in here, or ends its standard input.
  if (Deno.env.get("STORY_STAYS")) {
    new Deno.Command("setpriv", {
      args: [`--reuid=${user.uid}`, "--clear-groups", "sleep", "600"],
    }).spawn();
    await step("a process of that user stays", () => new Promise(() => setInterval(() => {}, 1e6)));
  }
});
