import assert from "node:assert/strict";
import { join } from "node:path";
import { filterFile } from "./filter_decision.ts";
import { command, FOREIGN, NAME, scratch, states, wanted } from "./filter_scratch.ts";
import { inspectFilters, removeFilters, touchFilters, writeFilters } from "./selection_filters.ts";

const mode = (path: string) => (Deno.lstatSync(path).mode ?? 0) & 0o7777;

scratch(
  "Chrome gets its filter on a bare system, readable by all, and every trace goes",
  (world) => {
    const before = Date.now();
    const [report, ...others] = writeFilters(wanted, world);
    assert.deepEqual(others, []);
    assert.equal(report?.browser, "chrome");
    assert.equal(report?.location, world.location);
    assert.equal(report?.state, "ok");
    const { writtenAt = 0 } = report;
    assert.ok(writtenAt > before && writtenAt <= Date.now() + 1000, String(writtenAt - before));
    assert.deepEqual(Deno.readFileSync(world.location), filterFile(wanted));
    assert.equal(mode(world.location), 0o644);
    assert.deepEqual(
      world.createdDirectories.map((path) => path.slice(world.root.length)),
      [
        "/etc",
        "/etc/opt",
        "/etc/opt/chrome",
        "/etc/opt/chrome/policies",
        "/etc/opt/chrome/policies/managed",
      ],
    );
    for (const path of world.createdDirectories) assert.equal(mode(path), 0o755);
    assert.deepEqual(inspectFilters(wanted, world), [report]);

    const removal = removeFilters("JumpCloud", world);
    assert.deepEqual(removal.removed, [world.location]);
    assert.deepEqual(new Set(removal.removedDirectories), new Set(world.createdDirectories));
    assert.deepEqual(removal.left, []);
    assert.deepEqual(world.tree(), []);
    assert.deepEqual(states(inspectFilters(wanted, world)), ["chrome missing"]);
    assert.deepEqual(removeFilters("JumpCloud", world).removed, []);
  },
);

scratch("every browser whose folder or program is there gets one", (world) => {
  for (const path of ["etc/chromium", "etc/opt/edge", "snap/chromium", "opt/brave.com"]) {
    world.make(path);
    for (let at = path; at !== "."; at = join(at, "..")) Deno.chmodSync(world.at(at), 0o755);
  }
  const reports = writeFilters(wanted, world);
  assert.deepEqual(
    reports.map(({ location }) => location.slice(world.root.length, -NAME.length - 1)),
    ["opt/chrome", "chromium", "chromium-browser", "opt/edge", "brave"].map((name) =>
      `/etc/${name}/policies/managed`
    ),
  );
  assert.deepEqual(
    states(reports),
    ["chrome", "chromium", "chromium", "edge", "brave"].map((b) => `${b} ok`),
  );
  assert.equal(removeFilters("JumpCloud", world).removed.length, 5);
  assert.deepEqual(
    world.tree(),
    [
      "/etc",
      "/etc/chromium",
      "/etc/opt",
      "/etc/opt/edge",
      "/opt",
      "/opt/brave.com",
      "/snap",
      "/snap/chromium",
    ],
  );
});

scratch("a folder of Chromium that is a link to the other is one browser", (world) => {
  world.make("etc/chromium");
  Deno.symlinkSync("chromium", world.at("etc/chromium-browser"));
  assert.deepEqual(states(writeFilters(wanted, world)), ["chrome ok", "chromium ok"]);
  Deno.removeSync(world.at("etc/chromium-browser"));
  Deno.symlinkSync("nowhere", world.at("etc/chromium-browser"));
  assert.deepEqual(states(writeFilters(wanted, world)), [
    "chrome ok",
    "chromium ok",
    "chromium missing",
  ]);
});

scratch("touching changes when a filter was written, and nothing else", (world) => {
  const [written] = writeFilters(wanted, world);
  Deno.utimeSync(world.location, 7, 7);
  const [touched] = touchFilters(wanted, world);
  assert.deepEqual({ ...touched, writtenAt: 0 }, { ...written, writtenAt: 0 });
  assert.ok((touched?.writtenAt ?? 0) >= (written?.writtenAt ?? 0));
  assert.ok(Date.now() - (Deno.statSync(world.location).mtime?.getTime() ?? 0) < 60_000);
  assert.deepEqual(Deno.readFileSync(world.location), filterFile(wanted));
  removeFilters("JumpCloud", world);
  assert.deepEqual(states(touchFilters(wanted, world)), ["chrome missing"]);
  assert.deepEqual(world.tree(), []);
});

scratch(
  "a filter that is right is not written again; another one is, or an unreadable one",
  (world) => {
    writeFilters(wanted, world);
    const first = Deno.statSync(world.location);
    writeFilters(wanted, world);
    assert.equal(Deno.statSync(world.location).ino, first.ino);
    assert.deepEqual(Deno.statSync(world.location).ctime, first.ctime);

    Deno.chmodSync(world.location, 0o600);
    assert.deepEqual(states(inspectFilters(wanted, world)), ["chrome missing"]);
    assert.deepEqual(states(writeFilters(wanted, world)), ["chrome ok"]);
    assert.equal(mode(world.location), 0o644);

    const more = { ...wanted, patterns: [...wanted.patterns, "https://[*.]b.example.com"] };
    assert.deepEqual(states(inspectFilters(more, world)), ["chrome missing"]);
    assert.deepEqual(states(writeFilters(more, world)), ["chrome ok"]);
    assert.deepEqual(Deno.readFileSync(world.location), filterFile(more));
  },
);

scratch("no patterns is no filter", (world) => {
  writeFilters(wanted, world);
  assert.deepEqual(writeFilters({ ...wanted, patterns: [] }, world), []);
  assert.deepEqual(world.tree(), []);
  assert.deepEqual(inspectFilters({ ...wanted, patterns: [] }, world), []);
});

scratch(
  "another product's files stay byte for byte, and so does the directory they are in",
  (world) => {
    writeFilters(wanted, world);
    const foreign = join(world.managed, "zz.json");
    Deno.writeTextFileSync(foreign, FOREIGN);
    assert.deepEqual(states(writeFilters(wanted, world)), ["chrome shadowed"]);
    assert.deepEqual(Deno.readFileSync(world.location), filterFile(wanted));
    Deno.renameSync(foreign, join(world.managed, "00.json"));
    assert.deepEqual(states(inspectFilters(wanted, world)), ["chrome managed-elsewhere"]);
    assert.deepEqual(states(writeFilters(wanted, world)), ["chrome managed-elsewhere"]);
    assert.deepEqual([...Deno.readDirSync(world.managed)].map(({ name }) => name), ["00.json"]);
    assert.deepEqual(removeFilters("JumpCloud", world).removedDirectories, []);
    assert.equal(Deno.readTextFileSync(join(world.managed, "00.json")), FOREIGN);
  },
);

scratch("a policy that browsers reach through a link counts", (world) => {
  world.make("etc/opt/chrome/policies/managed");
  command("chmod", "-R", "u=rwX,go=rX", world.at("etc"));
  const target = world.make("etc/shared.json", FOREIGN);
  Deno.symlinkSync(target, join(world.managed, "zz.json"));
  assert.deepEqual(states(writeFilters(wanted, world)), ["chrome shadowed"]);
  Deno.removeSync(target);
  assert.deepEqual(states(writeFilters(wanted, world)), ["chrome ok"]);
});

scratch("what bears our name and is not ours stays, and is reported until it goes", (world) => {
  world.make(`etc/opt/chrome/policies/managed/${NAME}`, '{"HomepageLocation": "x"}');
  command("chmod", "-R", "u=rwX,go=rX", world.at("etc"));
  const before = Deno.readTextFileSync(world.location);
  assert.deepEqual(states(writeFilters(wanted, world)), ["chrome missing"]);
  const { removed, left } = removeFilters("JumpCloud", world);
  assert.deepEqual(removed, []);
  assert.deepEqual(left.map(({ location }) => location), [world.location]);
  assert.equal(Deno.readTextFileSync(world.location), before);
  Deno.removeSync(world.location);
  assert.deepEqual(states(writeFilters(wanted, world)), ["chrome ok"]);
});

scratch("a watching browser sees our finished file and nothing else", async (world) => {
  world.make("etc/opt/chrome/policies/managed");
  command("chmod", "-R", "u=rwX,go=rX", world.at("etc"));
  const watcher = Deno.watchFs(world.managed);
  writeFilters(wanted, world);
  Deno.writeTextFileSync(join(world.managed, "end"), "");
  const seen = new Set<string>();
  for await (const event of watcher) {
    if (event.kind !== "access") event.paths.forEach((path) => seen.add(path));
    if (seen.has(join(world.managed, "end"))) break;
  }
  assert.deepEqual([...seen], [world.location, join(world.managed, "end")]);
});

scratch("what a killed write left goes with the next one, and with removal", (world) => {
  const leftover = ".device-trust-00112233445566aa.tmp";
  writeFilters(wanted, world);
  const policies = join(world.managed, "..");
  Deno.writeTextFileSync(join(policies, leftover), "half");
  Deno.removeSync(world.location);
  writeFilters(wanted, world);
  assert.deepEqual([...Deno.readDirSync(policies)].map(({ name }) => name), ["managed"]);
  Deno.writeTextFileSync(join(policies, leftover), "half");
  removeFilters("JumpCloud", world);
  assert.deepEqual(world.tree(), []);
});

scratch("a directory that the ledger cannot take is not made, and the report says so", (world) => {
  const recordCreated = () => {
    throw new Error("the ledger's disk is full");
  };
  const [report] = writeFilters(wanted, { ...world, root: world.root, recordCreated });
  assert.equal(report?.state, "missing");
  assert.match(report?.hint ?? "", /ledger's disk is full/);
  assert.deepEqual(world.tree(), []);
});
