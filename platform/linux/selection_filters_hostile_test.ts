import assert from "node:assert/strict";
import { join } from "node:path";
import { asRoot, command, scratch, states, wanted } from "./filter_scratch.ts";
import { inspectFilters, removeFilters, writeFilters } from "./selection_filters.ts";

scratch(
  "whatever is planted on the way to a folder: nothing is followed, others go on",
  (world) => {
    const victim = world.make("victim/policies/managed");
    command("chmod", "-R", "u=rwX,go=rX", world.at("victim"));
    const plants: ((path: string) => void)[] = [
      (path) => Deno.symlinkSync(world.at("victim"), path),
      (path) => Deno.symlinkSync(victim, path),
      (path) => Deno.symlinkSync(path, path),
      (path) => command("mkfifo", path),
      (path) => Deno.writeTextFileSync(path, "a file"),
      (path) => command("mkdir", "-m", "0777", path),
      (path) => command("mkdir", "-m", "1777", path),
    ];
    if (asRoot) {
      plants.push((path) => command("install", "-d", "-o", "12345", path));
      plants.push((path) => command("install", "-d", "-g", "12345", "-m", "0775", path));
      plants.push((path) => command("mknod", path, "c", "1", "5"));
    }
    for (const below of ["brave", "brave/policies", "brave/policies/managed"]) {
      for (const plant of plants) {
        const parent = join(world.at("etc"), below, "..");
        Deno.mkdirSync(parent, { recursive: true });
        command("chmod", "-R", "u=rwX,go=rX", world.at("etc"));
        plant(join(world.at("etc"), below));
        const reports = writeFilters(wanted, world);
        assert.deepEqual(states(reports), ["chrome ok", "brave missing"]);
        assert.match(reports[1]?.hint ?? "", /put a directory of root's own there/);
        assert.deepEqual(states(inspectFilters(wanted, world)), ["chrome ok", "brave missing"]);
        const { removed, left } = removeFilters("JumpCloud", world);
        assert.deepEqual(removed, [world.location]);
        assert.equal(left.filter(({ browser }) => browser === "brave").length > 0, true);
        assert.deepEqual([...Deno.readDirSync(victim)], []);
        Deno.removeSync(world.at("etc"), { recursive: true });
        world.createdDirectories.length = 0;
      }
    }
  },
);

scratch(
  "whatever is planted in a folder is neither opened nor followed nor waited for",
  (world) => {
    const victim = world.make("home/mallory/victim", "theirs");
    if (asRoot) command("chown", "-R", "12345", world.at("home/mallory"));
    const fifo = world.at("home/mallory/fifo");
    command("mkfifo", fifo);
    writeFilters(wanted, world);
    const at = (name: string) => join(world.managed, name);

    command("mkfifo", at("zz-fifo"));
    Deno.symlinkSync(fifo, at("zz-link-to-fifo"));
    Deno.symlinkSync("zz-circle", at("zz-circle"));
    Deno.symlinkSync("/dev/zero", at("zz-link-to-device"));
    Deno.mkdirSync(at("zz-directory"));
    assert.deepEqual(states(writeFilters(wanted, world)), ["chrome ok"]);

    Deno.writeTextFileSync(at("zz-huge"), "");
    Deno.truncateSync(at("zz-huge"), 2 ** 40);
    const [huge] = writeFilters(wanted, world);
    assert.equal(huge?.state, "shadowed");
    assert.match(huge?.hint ?? "", /zz-huge cannot be read safely/);
    Deno.removeSync(at("zz-huge"));

    if (asRoot) {
      Deno.symlinkSync(victim, at("zz-link-to-home"));
      const [linked] = writeFilters(wanted, world);
      assert.match(linked?.hint ?? "", /zz-link-to-home cannot be read safely/);
      Deno.removeSync(at("zz-link-to-home"));
    }

    for (const target of [victim, fifo, "/nowhere"]) {
      Deno.removeSync(world.location);
      Deno.symlinkSync(target, world.location);
      const [planted] = writeFilters(wanted, world);
      assert.notEqual(planted?.state, "ok");
      assert.equal(Deno.readLinkSync(world.location), target);
      assert.deepEqual(removeFilters("JumpCloud", world).removed, []);
    }
    assert.equal(Deno.readTextFileSync(victim), "theirs");
    Deno.removeSync(world.location);
    command("mkfifo", world.location);
    assert.deepEqual(states(writeFilters(wanted, world)), ["chrome missing"]);
  },
);
