import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { TextLineStream } from "../agent/text_lines.ts";
import { NAMESPACES, storyCommand, testInPrivateRoot } from "./private_root.ts";
import { until } from "./until.ts";
import { testWith } from "./skip.ts";

const STORY = fileURLToPath(new URL("private_root_story.ts", import.meta.url));

testInPrivateRoot([], "a story has users and system folders of its own", STORY);

testWith(
  [NAMESPACES, "root", "unshare", "setpriv"],
  "nothing of a story is seen outside while it runs, nor left when its player is killed",
  async () => {
    const before = outside();
    const story = storyCommand(STORY, { STORY_STAYS: "yes" }).spawn();
    const lines = story.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream());
    for await (const line of lines) if (line.includes("stays")) break;
    // It says so before it has become that user.
    await until("its process is that user's", () => processesOf(60_601).length === 1);
    assert.deepEqual(outside(), before);
    // What the end of the player's process does.
    await story.stdin.close();
    await story.status;
    assert.deepEqual(processesOf(60_601), []);
    assert.deepEqual(outside(), before);
  },
);

function outside(): unknown {
  const folders = ["/etc", "/home", "/var/lib", "/run", "/usr/local/bin", "/usr/local/lib"];
  return {
    mounts: Deno.readTextFileSync("/proc/self/mountinfo"),
    passwd: Deno.readTextFileSync("/etc/passwd"),
    entries: folders.map((folder) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort()),
  };
}

function processesOf(uid: number): string[] {
  return [...Deno.readDirSync("/proc")].map(({ name }) => name).filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return Deno.statSync(`/proc/${name}`).uid === uid;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false; // ended meanwhile
      throw error;
    }
  });
}
