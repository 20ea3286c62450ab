import assert from "node:assert/strict";
import { join } from "node:path";
import { filterFile } from "./filter_decision.ts";
import {
  type FilterWorld,
  inspectFilters,
  removeFilters,
  writeFilters,
} from "./selection_filters.ts";

const linux = Deno.build.os === "linux";
const root = linux && Deno.uid() === 0;
const NAME = "JumpCloudCertificateAutoselect.json";
const wanted = { brand: "JumpCloud", patterns: ["https://portal.example.com:8443"] };
const FOREIGN =
  '{"AutoSelectCertificateForUrls": ["{\\"pattern\\":\\"https://x\\",\\"filter\\":{}}"]}';

/** A `--root` with its ledger of directories. */
class Scratch implements FilterWorld {
  readonly root = Deno.makeTempDirSync({ prefix: "device-trust-filters-" });
  readonly createdDirectories: string[] = [];
  readonly recordCreated = (path: string) => void this.createdDirectories.push(path);
  readonly managed = this.at("etc/opt/chrome/policies/managed");
  readonly location = join(this.managed, NAME);

  at(path: string): string {
    return join(this.root, path);
  }
  make(path: string, content?: string): string {
    const full = this.at(path);
    Deno.mkdirSync(content === undefined ? full : join(full, ".."), { recursive: true });
    if (content !== undefined) Deno.writeTextFileSync(full, content);
    return full;
  }
  /** Every path below the root, links not followed. */
  tree(dir = this.root): string[] {
    return [...Deno.readDirSync(dir)].flatMap(({ name, isDirectory }) => {
      const path = join(dir, name);
      return [path.slice(this.root.length), ...(isDirectory ? this.tree(path) : [])];
    }).sort();
  }
  [Symbol.dispose]() {
    Deno.removeSync(this.root, { recursive: true });
  }
}

function scratch(name: string, test: (world: Scratch) => void | Promise<void>, ignore = !linux) {
  Deno.test({
    name,
    ignore,
    fn: async () => {
      using world = new Scratch();
      const before = Deno.umask(0o077);
      try {
        Deno.chmodSync(world.root, 0o755);
        await test(world);
      } finally {
        Deno.umask(before);
      }
    },
  });
}

const mode = (path: string) => (Deno.lstatSync(path).mode ?? 0) & 0o7777;
const states = (reports: { browser: string; state: string }[]) =>
  reports.map(({ browser, state }) => `${browser} ${state}`);

function command(...argv: string[]): void {
  const [program = "", ...args] = argv;
  assert.ok(new Deno.Command(program, { args }).outputSync().success, argv.join(" "));
}

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
    if (root) {
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
    if (root) command("chown", "-R", "12345", world.at("home/mallory"));
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

    if (root) {
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

const chromium = root && ["/usr/bin/chromium", "/usr/bin/unshare"].every((path) => {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
});

scratch(
  "Chromium itself takes our filter, and takes theirs where ours is said to be shadowed" +
    (chromium ? "" : " (skipped: needs root, chromium and unshare)"),
  async (world) => {
    world.make("etc/chromium");
    command("chmod", "-R", "u=rwX,go=rX", world.at("etc"));
    const folder = world.at("etc/chromium");
    assert.deepEqual(states(writeFilters(wanted, world)), ["chrome ok", "chromium ok"]);
    const ours = JSON.parse(new TextDecoder().decode(filterFile(wanted)));
    assert.deepEqual(await chromiumFilters(folder), ours.AutoSelectCertificateForUrls);

    Deno.writeTextFileSync(join(folder, "policies/managed/a.txt"), `// theirs\n${FOREIGN}`);
    Deno.chmodSync(join(folder, "policies/managed/a.txt"), 0o644);
    assert.deepEqual(states(writeFilters(wanted, world)), ["chrome ok", "chromium shadowed"]);
    assert.deepEqual(
      await chromiumFilters(folder),
      JSON.parse(FOREIGN).AutoSelectCertificateForUrls,
    );
  },
  !chromium,
);

/** The value of the policy in a Chromium that has `folder` for `/etc/chromium`. */
async function chromiumFilters(folder: string): Promise<unknown> {
  const profile = await Deno.makeTempDir({ prefix: "device-trust-profile-" });
  const browser = new Deno.Command("/usr/bin/unshare", {
    args: [
      "--mount",
      "/bin/sh",
      "-c",
      'mount --bind "$0" /etc/chromium && exec chromium "$@"',
      folder,
    ]
      .concat([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-sync",
      ])
      .concat(["--disable-background-networking", "--disable-component-update"])
      .concat(["--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"]),
    stdout: "null",
    stderr: "piped",
  }).spawn();
  try {
    let said = "";
    for await (const text of browser.stderr.pipeThrough(new TextDecoderStream())) {
      said += text;
      const port = /DevTools listening on ws:\/\/[^:]+:(\d+)/.exec(said)?.[1];
      if (port) return await policyValue(`http://127.0.0.1:${port}`);
    }
    throw new Error(`Chromium ended early: ${said}`);
  } finally {
    browser.kill("SIGTERM");
    await browser.status;
    await Deno.remove(profile, { recursive: true });
  }
}

/** Reads `chrome://policy` through the DevTools protocol. */
async function policyValue(devTools: string): Promise<unknown> {
  const page = await fetch(`${devTools}/json/new?chrome://policy`, { method: "PUT" });
  const socket = new WebSocket((await page.json()).webSocketDebuggerUrl);
  await new Promise((open) => socket.addEventListener("open", open, { once: true }));
  const expression = `new Promise((done) => {
    const rows = (node) => [...node.children, ...(node.shadowRoot?.children ?? [])]
      .flatMap((child) => child.tagName === "POLICY-ROW" ? [child.shadowRoot] : rows(child));
    const look = () => {
      const row = rows(document.documentElement).find((row) =>
        row.querySelector("#name")?.textContent === "AutoSelectCertificateForUrls");
      const value = row?.querySelector(".value.row .value")?.textContent;
      value ? done(value) : setTimeout(look, 50);
    };
    look();
  })`;
  try {
    for (;;) { // the first question may meet the page before the one that we asked for
      const answer = new Promise<MessageEvent>((resolve) =>
        socket.addEventListener("message", resolve, { once: true })
      );
      const params = { expression, awaitPromise: true, returnByValue: true };
      socket.send(JSON.stringify({ id: 1, method: "Runtime.evaluate", params }));
      const value = JSON.parse((await answer).data).result?.result?.value;
      if (typeof value === "string") return JSON.parse(value);
    }
  } finally {
    socket.close();
  }
}
