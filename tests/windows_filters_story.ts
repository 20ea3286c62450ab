/**
 * Selection filters in the registry of Windows, or of Wine (tests/windows_platform_test.ts), read back
 * with `reg.exe`. Needs an administrator's rights; leaves the policies as they were.
 */
import assert from "node:assert/strict";
import { filterEntries } from "../platform/filter_entries.ts";
import type { FilterReport } from "../platform/filters.ts";
import { Registry } from "../platform/windows/registry.ts";
import {
  inspectFilters,
  installedPatterns,
  removeFilters,
  touchFilters,
  writeFilters,
} from "../platform/windows/selection_filters.ts";
import { WindowsError } from "../platform/windows/windows_errors.ts";
import { hasKey, reg, ScratchLedger, valuesOf } from "./windows_scratch.ts";

const POLICIES = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies";
const CHROME = `${POLICIES}\\Google\\Chrome`;
const LIST = `${CHROME}\\AutoSelectCertificateForUrls`;
const BRAVE = `${POLICIES}\\BraveSoftware\\Brave`;
const USER = "HKEY_CURRENT_USER\\SOFTWARE\\Policies";
const wanted = {
  brand: "JumpCloud",
  patterns: ["https://portal.example.com", "https://[*.]challenge.example.com:8443"],
};
const [first = "", second = ""] = filterEntries(wanted);
const theirs = '{"pattern":"https://intranet.example","filter":{"ISSUER":{"CN":"Corp CA"}}}';

/** A registry whose policies are as they were when it began. */
class World {
  readonly registry = new Registry();
  readonly ledger = new ScratchLedger();
  announced = 0;
  readonly announce = () => void this.announced++;

  write(desired = wanted): FilterReport[] {
    return writeFilters(desired, this.ledger, this);
  }
  states(reports = inspectFilters(wanted, this)): string[] {
    return reports.map(({ browser, state }) => `${browser} ${state}`);
  }
}

function story(name: string, test: (world: World) => Promise<void>): void {
  Deno.test(name, async () => {
    const world = new World();
    const before = await everything();
    try {
      await test(world);
    } finally {
      removeFilters(world.ledger, world);
    }
    assert.equal(await everything(), before);
  });
}

async function everything(): Promise<string> {
  const texts = [await reg("query", POLICIES, "/s")];
  if (await hasKey(USER)) texts.push(await reg("query", USER, "/s"));
  return texts.join("\n").split("\n").filter((line) => line !== "").join("\n");
}

story(
  "each browser's filter is where the browser looks for it, and leaves nothing",
  async (world) => {
    const before = Date.now();
    const reports = world.write();
    assert.deepEqual(world.states(reports), ["chrome ok", "edge ok"]);
    assert.equal(reports[0]?.location, LIST);
    const { writtenAt = 0 } = reports[0] ?? {};
    // Wine's clock counts in a few milliseconds.
    assert.ok(writtenAt >= before - 100 && writtenAt <= Date.now() + 1000);
    assert.deepEqual(await valuesOf(LIST), { 1000: first, 1001: second });
    assert.deepEqual(await valuesOf(LIST.replace("Google\\Chrome", "Microsoft\\Edge")), {
      1000: first,
      1001: second,
    });
    assert.deepEqual(installedPatterns(world.registry), wanted.patterns);
    assert.equal(world.announced, 1);

    // What is right is not written again.
    assert.deepEqual(world.write(), reports);
    assert.equal(world.announced, 1);
    assert.deepEqual(touchFilters(wanted, world), reports);
    assert.equal(world.announced, 2);

    const removal = removeFilters(world.ledger, world);
    assert.deepEqual(removal.left, []);
    assert.equal(removal.removed.length, 2);
    assert.deepEqual(new Set(removal.removedDirectories), new Set(world.ledger.createdDirectories));
    assert.equal(await hasKey(LIST), false);
    assert.deepEqual(world.states(), ["chrome missing", "edge missing"]);
    assert.deepEqual(removeFilters(world.ledger, world).removed, []);
    assert.deepEqual(world.write({ ...wanted, patterns: [] }), []);
  },
);

story("another product's values stay as they are, name, order and all", async (world) => {
  await reg("add", LIST, "/v", "2", "/d", theirs);
  await reg("add", LIST, "/v", "1000", "/d", theirs);
  await reg("add", CHROME, "/v", "HomepageLocation", "/d", "https://corp.example");
  try {
    const before = await reg("query", CHROME, "/s");
    assert.deepEqual(world.states(world.write()), ["chrome ok", "edge ok"]);
    assert.deepEqual(await valuesOf(LIST), { 2: theirs, 1000: theirs, 1001: first, 1002: second });
    assert.deepEqual(world.ledger.createdDirectories.filter((path) => path.startsWith(CHROME)), []);
    assert.equal(removeFilters(world.ledger, world).left.length, 0);
    assert.equal(await reg("query", CHROME, "/s"), before);
  } finally {
    await reg("delete", `${POLICIES}\\Google`, "/f");
  }
});

story("a text of any letters comes back from the registry as it went in", async (world) => {
  const entry = '{"pattern":"https://ünï-鍵-🔑.example"}';
  await reg("add", CHROME);
  try {
    world.registry.set(CHROME, "Zoë 🔑", entry);
    assert.equal(world.registry.value(CHROME, "ZOË 🔑")?.text, entry);
    world.registry.remove(CHROME, "Zoë 🔑");
    world.registry.remove(CHROME, "Zoë 🔑");
    assert.equal(world.registry.value(CHROME, "Zoë 🔑"), undefined);
  } finally {
    await reg("delete", `${POLICIES}\\Google`, "/f");
  }
});

story("a key that we made and others use now stays", async (world) => {
  world.write();
  await reg("add", CHROME, "/v", "HomepageLocation", "/d", "https://corp.example");
  const { removedDirectories } = removeFilters(world.ledger, world);
  assert.ok(removedDirectories.includes(LIST) && !removedDirectories.includes(CHROME));
  assert.deepEqual(await valuesOf(CHROME), { HomepageLocation: "https://corp.example" });
  await reg("delete", CHROME, "/v", "HomepageLocation", "/f");
});

story(
  "a list in one value is not hidden by ours, and comes back when it comes later",
  async (world) => {
    world.write();
    await reg("add", CHROME, "/v", "AutoSelectCertificateForUrls", "/d", '["x"]');
    try {
      assert.deepEqual(world.states(), ["chrome managed-elsewhere", "edge ok"]);
      const [report] = world.write();
      assert.equal(report?.state, "managed-elsewhere");
      assert.ok(report?.hint?.includes(JSON.stringify(first)));
      // An empty list would hide it all the same.
      assert.equal(await hasKey(LIST), false);
    } finally {
      await reg("delete", CHROME, "/v", "AutoSelectCertificateForUrls", "/f");
    }
    assert.deepEqual(world.states(world.write()), ["chrome ok", "edge ok"]);
  },
);

story("a signed-on user's own list is found, and ours is not put above it", async (world) => {
  const own = `${USER}\\Google\\Chrome\\AutoSelectCertificateForUrls`;
  await reg("add", own, "/v", "1", "/d", theirs);
  try {
    const [report] = world.write();
    assert.equal(report?.state, "managed-elsewhere");
    assert.match(report?.hint ?? "", /HKEY_USERS\\S-1-5-21-[\d-]+\\SOFTWARE\\Policies\\Google/);
    assert.equal(await hasKey(LIST), false);
  } finally {
    await reg("delete", `${USER}\\Google`, "/f");
  }
});

story("policies of a management service that come first are told", async (world) => {
  world.write();
  await reg(
    "add",
    CHROME,
    "/v",
    "CloudPolicyOverridesPlatformPolicy",
    "/t",
    "REG_DWORD",
    "/d",
    "1",
  );
  assert.deepEqual(world.states(), ["chrome shadowed", "edge ok"]);
  await reg("delete", CHROME, "/v", "CloudPolicyOverridesPlatformPolicy", "/f");
});

story("a browser that is installed, or has policies, is served", async (world) => {
  await reg("add", BRAVE);
  await reg("add", "HKEY_CURRENT_USER\\SOFTWARE\\Chromium");
  try {
    assert.deepEqual(world.states(world.write()), [
      "chrome ok",
      "edge ok",
      "brave ok",
      "chromium ok",
    ]);
    assert.equal(removeFilters(world.ledger, world).removed.length, 4);
  } finally {
    await reg("delete", `${POLICIES}\\BraveSoftware`, "/f");
    await reg("delete", "HKEY_CURRENT_USER\\SOFTWARE\\Chromium", "/f");
  }
});

story("a value that is no text, or very long, is read and left", async (world) => {
  const long = "x".repeat(6000);
  await reg("add", LIST, "/v", "1", "/t", "REG_DWORD", "/d", "7");
  await reg("add", LIST, "/v", "2", "/t", "REG_BINARY", "/d", "00ff");
  await reg("add", LIST, "/v", "3", "/d", long);
  await reg("add", LIST, "/ve", "/d", "default");
  try {
    assert.deepEqual(world.states(world.write()), ["chrome ok", "edge ok"]);
    assert.equal((await valuesOf(LIST))["3"], long);
    removeFilters(world.ledger, world);
    assert.equal(Object.keys(await valuesOf(LIST)).length, 4);
  } finally {
    await reg("delete", `${POLICIES}\\Google`, "/f");
  }
});

story("a key that the ledger cannot take is not made, and the report says so", async (world) => {
  const recordCreated = () => {
    throw new Error("the ledger's disk is full");
  };
  const reports = writeFilters(wanted, { recordCreated, createdDirectories: [] }, world);
  assert.deepEqual(world.states(reports), ["chrome missing", "edge missing"]);
  assert.match(reports[0]?.hint ?? "", /ledger's disk is full/);
  assert.equal(await hasKey(`${POLICIES}\\Google`), false);
});

story(
  "a registry that may not be written is told with what to do, and what was begun goes",
  async (world) => {
    const { registry } = world;
    const denied = () => {
      throw new WindowsError("RegSetValueExW", 5);
    };
    Object.assign(registry, { set: denied });
    const reports = world.write();
    assert.deepEqual(world.states(reports), ["chrome missing", "edge missing"]);
    assert.match(reports[0]?.hint ?? "", /ERROR_ACCESS_DENIED.*administrator/);
    Object.assign(registry, { set: Registry.prototype.set, remove: denied });
    assert.deepEqual(world.states(world.write()), ["chrome ok", "edge ok"]);
    const { left, removed } = removeFilters(world.ledger, world);
    assert.deepEqual(left.map(({ browser, mayGo }) => [browser, mayGo]), [
      ["chrome", true],
      ["edge", true],
    ]);
    assert.deepEqual(removed, []);
    Object.assign(registry, { remove: Registry.prototype.remove });
    assert.equal(removeFilters(world.ledger, world).removed.length, 2);
    assert.equal(await hasKey(LIST), false);
  },
);
