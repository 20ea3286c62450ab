/** A managed user's life on a modelled Mac: the user-agent's own code, from install to OFF. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { inspectUser } from "../agent/user_inspection.ts";
import { Problem } from "../platform/errors.ts";
import { filterEntries } from "../platform/filter_entries.ts";
import { macosDevice } from "../platform/macos/device_platform.ts";
import { writePropertyList } from "../platform/macos/property_list.ts";
import { identityServices } from "../platform/macos/safari_filters.ts";
import { macosUser } from "../platform/macos/user_platform.ts";
import { keychainOf, path } from "./macos_model/keychain_stories.ts";
import {
  CHROME,
  DAY,
  EDGE,
  ENTRIES,
  filtersOf,
  macUserOf,
  MICROSOFT,
  preferred,
  preferring,
  SELECTION,
  SERVICES,
  useOf,
  withMacUser,
  withoutEmptyDomains,
} from "./macos_model/mac_user_agent.ts";
import { ScratchMac } from "./macos_model/scratch_mac.ts";

const CLOCK = { hostname: () => "mac", now: Date.now, pause: () => Promise.resolve() };
const WEBKIT =
  "/System/Library/Frameworks/WebKit.framework/Versions/A/XPCServices/com.apple.WebKit.Networking.xpc";

Deno.test("macOS: an install gives every browser a leaf that it presents without asking", async () => {
  await withMacUser(async ({ mac, scratch, run }) => {
    assert.equal(await run(), "done");
    const { state, filters = [], store, serial } = scratch.lastReport();
    assert.equal(state, "installed");
    assert.deepEqual(store, { kind: "keychain", location: path(mac) });
    assert.deepEqual(filters.map(({ browser, state }) => [browser, state]), [
      ["chrome", "ok"],
      ["safari", "ok"],
    ]);
    assert.equal(scratch.issued.at(-1)?.serial, serial);
    for (const browser of [CHROME, WEBKIT]) assert.equal(useOf(mac, browser), "silent");
    assert.deepEqual(filtersOf(mac), ENTRIES);
    assert.deepEqual(filtersOf(mac, "com.microsoft.Edge"), []);
    assert.deepEqual(preferred(mac), preferring(scratch.issued.at(-1)?.sha256));
  });
});

Deno.test("macOS: the filter comes before the leaf, and a running browser has time to read it", async () => {
  await withMacUser(async ({ mac, scratch, run }) => {
    const start = new Date(0).toUTCString().replace(
      /^(\w+), (\d+) (\w+) (\d+) ([\d:]+) GMT$/,
      "$1 $3 $2 $5 $4",
    );
    mac.change((state) =>
      void (state.processes = ` 77 ${start}     ${CHROME}/Contents/MacOS/Google Chrome\n`)
    );
    let atSleep: unknown[] = [];
    scratch.afterSleep = () => atSleep = [filtersOf(mac), keychainOf(mac).certificates.length];
    await run();
    assert.deepEqual(atSleep, [ENTRIES, 2]);
    assert.ok(scratch.slept[0] !== undefined && scratch.slept[0] > 10_000, String(scratch.slept));
    assert.equal(keychainOf(mac).certificates.length, 3);
  });
});

Deno.test("macOS: a renewal is signed by the elder's key, and Safari's preferences follow the leaf", async () => {
  await withMacUser(async ({ mac, scratch, run }) => {
    await run();
    const { password } = keychainOf(mac);
    scratch.pass(17 * DAY);
    assert.equal(await run(), "done");
    assert.equal(scratch.issued.length, 2);
    assert.ok(scratch.asked.at(-1)?.leafSignature, "possession was proved");
    assert.notEqual(keychainOf(mac).password, password);
    assert.equal(keychainOf(mac).keys.length, 2);
    assert.deepEqual(preferred(mac), preferring(scratch.issued.at(-1)?.sha256));
    assert.deepEqual(filtersOf(mac), ENTRIES);
    // Its elder's time is over.
    scratch.slice = { ...scratch.slice, leaves: scratch.slice.leaves.slice(0, 1) };
    scratch.issued.shift();
    await run();
    assert.equal(keychainOf(mac).keys.length, 1);
    assert.deepEqual(preferred(mac), preferring(scratch.issued.at(-1)?.sha256));
  });
});

Deno.test("macOS: OFF leaves the Mac as it was, says so piece by piece, and leaving takes the ledger", async () => {
  for (const final of [false, true]) {
    await withMacUser(async ({ mac, scratch, run, turnOff }) => {
      const before = mac.state();
      const files = filesOf(mac.home);
      await run();
      turnOff(final);
      assert.equal(await run(), "done");
      assert.equal(scratch.lastReport().state, "removed");
      const removed = scratch.lastReport().removed.map(({ kind }) => kind);
      assert.deepEqual([...new Set(removed)].sort(), [
        ...["filter", "intermediate", "key", "keychain", "leaf", "password", "root"],
      ]);
      assert.deepEqual(withoutEmptyDomains(mac.state()), before);
      const left = filesOf(mac.home).filter((file) => !files.includes(file));
      assert.deepEqual(left, final ? [] : ["Library/Application Support/Device Trust/ledger.db"]);
      // Once more: nothing to do, and nothing made.
      assert.equal(await run(), "done");
      assert.deepEqual(scratch.lastReport().removed, []);
      assert.deepEqual(withoutEmptyDomains(mac.state()), before);
    });
  }
});

Deno.test("macOS: others' filters, preferences and choices of certificates stay as they are", async () => {
  await withMacUser(async ({ mac, scratch, run, turnOff }) => {
    const theirs = '{"pattern":"https://x.test","filter":{}}';
    const chrome = { AutoSelectCertificateForUrls: [theirs], Other: { a: [1, true] } };
    const [service = ""] = SERVICES;
    mac.change((state) => {
      state.preferences["com.google.Chrome"] = chrome;
      const work = state.keychains[`${mac.home}/Library/Keychains/work.keychain`];
      work?.certificates.push(Buffer.from(scratch.stranger.root.der).toString("base64"));
      state.identityPreferences[service] = sha256(scratch.stranger.root.der);
    });
    const before = mac.state();
    await run();
    const { filters = [] } = scratch.lastReport();
    const safari = filters.find(({ browser }) => browser === "safari");
    assert.equal(safari?.state, "managed-elsewhere");
    assert.ok(safari.hint?.includes(service), safari.hint);
    assert.deepEqual(filtersOf(mac), [theirs, ...ENTRIES]);
    turnOff();
    await run();
    assert.deepEqual(mac.state(), before);
  });
});

Deno.test("macOS: what an MDM forces is reported with the entries to add", async () => {
  await withMacUser(async ({ mac, scratch, run }) => {
    const folder = `${mac.folder}/Library/Managed Preferences/ada`;
    Deno.mkdirSync(folder, { recursive: true });
    const forced = writePropertyList({ AutoSelectCertificateForUrls: [] });
    Deno.writeTextFileSync(`${folder}/com.google.Chrome.plist`, forced);
    await run();
    const chrome = scratch.lastReport().filters?.[0];
    assert.deepEqual([chrome?.browser, chrome?.state], ["chrome", "shadowed"]);
    for (const entry of ENTRIES) assert.ok(chrome?.hint?.includes(JSON.stringify(entry)));
  });
});

Deno.test("macOS: other patterns take the place of the former ones, and of nobody else's", async () => {
  await withMacUser(async ({ mac, scratch, run }) => {
    await run();
    const selection = { ...SELECTION, patterns: ["https://new.test"] };
    scratch.slice = { ...scratch.slice, selection };
    await run();
    assert.deepEqual(filtersOf(mac), filterEntries({ brand: "JumpCloud", ...selection }));
    assert.deepEqual(Object.keys(preferred(mac)), identityServices("https://new.test"));
  });
});

Deno.test("macOS: a browser that comes later gets its filter, and a leaf that it need not ask for", async () => {
  await withMacUser(async ({ mac, scratch, run }) => {
    await run();
    await run();
    assert.equal(scratch.issued.length, 1);
    mac.addApplication(EDGE, MICROSOFT);
    await run();
    assert.equal(scratch.issued.length, 2);
    assert.ok(scratch.asked.at(-1)?.leafSignature, "a renewal, no re-issue");
    assert.equal(useOf(mac, EDGE), "silent");
    assert.deepEqual(filtersOf(mac, "com.microsoft.Edge"), ENTRIES);
    await run();
    assert.equal(scratch.issued.length, 2);
  });
});

Deno.test("macOS: an update that took our own access away ends in a new leaf, not in an error", async () => {
  await withMacUser(async ({ mac, scratch, run }) => {
    await run();
    mac.addApplication("/usr/local/bin/device-trust", {
      identifier: "device-trust",
      authority: "",
    });
    scratch.pass(17 * DAY);
    assert.equal(await run(), "done");
    assert.equal(scratch.issued.length, 2);
    assert.equal(scratch.asked.at(-1)?.leafSignature, undefined);
    assert.equal(scratch.lastReport().state, "installed");
  });
});

Deno.test("macOS: nor is a key lost that no answer came for before the update", async () => {
  await withMacUser(async ({ mac, scratch, run }) => {
    scratch.answer = () => {
      throw new Problem("unreachable", "The line was cut.");
    };
    assert.equal(await run(), "again");
    scratch.answer = undefined;
    mac.addApplication("/usr/local/bin/device-trust", {
      identifier: "device-trust",
      authority: "",
    });
    assert.equal(await run(), "done");
    assert.deepEqual([keychainOf(mac).keys.length, scratch.issued.length], [1, 1]);
  });
});

Deno.test("macOS: a keychain that locked itself is open after the next run", async () => {
  await withMacUser(async ({ mac, run }) => {
    await run();
    mac.change(({ keychains }) => void (keychains[path(mac)]!.locked = true));
    assert.equal(useOf(mac, CHROME), "asks: keychain locked");
    assert.equal(await run(), "done");
    assert.equal(useOf(mac, CHROME), "silent");
  });
});

Deno.test("macOS: doctor sees what is in the keychain and whether it is open, and changes nothing", async () => {
  await withMacUser(async ({ mac, scratch, run }) => {
    const platform = macosUser(undefined, macUserOf(mac));
    const [none] = await platform.inspectStores(1000);
    assert.deepEqual([none?.exists, none?.problem], [false, undefined]);
    await run();
    const before = mac.state();
    const inspection = await inspectUser(platform);
    assert.equal(inspection.home, undefined);
    const [store, ...more] = inspection.stores;
    assert.deepEqual([store?.path, store?.exists, store?.problem, more], [
      path(mac),
      true,
      undefined,
      [],
    ]);
    const leaf = store?.certificates.find(({ hasKey }) => hasKey);
    assert.equal(leaf?.serial, scratch.lastReport().serial);
    assert.equal(store?.certificates.length, 3);
    assert.deepEqual(mac.state(), before);
    mac.change(({ keychains }) => void (keychains[path(mac)]!.locked = true));
    const [locked] = await platform.inspectStores(1000);
    assert.deepEqual([locked?.problem?.code, locked?.certificates.length], ["store-locked", 3]);
    const device = macosDevice(undefined, { ...macUserOf(mac), home: mac.home, ...CLOCK });
    assert.deepEqual(await device.installedPatterns("JumpCloud"), SELECTION.patterns);
  });
});

Deno.test("macOS: under --root the store is memory of this process, and says so", async () => {
  using mac = new ScratchMac();
  const before = mac.state();
  const platform = macosUser("/nowhere", macUserOf(mac));
  assert.equal(platform.filters, undefined);
  assert.equal(platform.removeStore, undefined);
  const store = platform.openStore({
    create: true,
    brand: "JumpCloud",
    macosApplications: [],
    created: [],
    publicKeys: () => [],
    recordPath() {},
  });
  await store.createKey("P-256", () => {});
  assert.deepEqual([store.kind, store.location], ["memory", "memory of this process"]);
  assert.deepEqual(mac.state(), before);
});

Deno.test("macOS: a locked login keychain makes both the install and OFF wait, and removes nothing", async () => {
  await withMacUser(async ({ mac, scratch, run, turnOff }) => {
    const lock = (locked: boolean) =>
      mac.change(({ keychains }) => void (keychains[mac.login]!.locked = locked));
    lock(true);
    assert.equal(await run(), "again");
    assert.deepEqual(
      [scratch.lastReport().state, scratch.lastReport().error?.code],
      ["waiting", "store-locked"],
    );
    lock(false);
    await run();
    const { keys } = keychainOf(mac);
    turnOff();
    lock(true);
    assert.equal(await run(), "again");
    assert.equal(scratch.lastReport().state, "removing");
    assert.deepEqual(keychainOf(mac).keys, keys);
    lock(false);
    assert.equal(await run(), "done");
  });
});

function filesOf(folder: string, below = ""): string[] {
  return [...Deno.readDirSync(`${folder}/${below}`)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesOf(folder, `${below}${name}/`) : [`${below}${name}`]
  ).sort();
}

function sha256(der: Uint8Array): string {
  return createHash("sha256").update(der).digest("hex").toUpperCase();
}
