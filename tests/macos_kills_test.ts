/** The user-agent killed on a modelled Mac, and what it shows to other programs while it lives. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Ledger } from "../agent/ledger.ts";
import { ledgerPath } from "../agent/ledger_file.ts";
import { passwordItemName } from "../platform/macos/keychain_password.ts";
import { path } from "./macos_model/keychain_stories.ts";
import {
  CHROME,
  DAY,
  EDGE,
  ENTRIES,
  filtersOf,
  type MacStory,
  MICROSOFT,
  preferred,
  preferring,
  SERVICES,
  useOf,
  withMacUser,
  withoutEmptyDomains,
} from "./macos_model/mac_user_agent.ts";
import type { RecordedCall, ScratchMac } from "./macos_model/scratch_mac.ts";

Deno.test("macOS: killed at any change of a filter, the next run puts it right", async () => {
  const changes: number[] = [];
  let kills = 0;
  for (let phase = 0; phase < PHASES.length; phase++) {
    // An undisturbed run tells where the changes are.
    await withMacUser(async (story) => {
      await tellUntil(story, phase);
      story.mac.calls.length = 0;
      await story.run();
      changes.splice(0, changes.length, ...story.mac.calls.flatMap(changesFilter));
    });
    for (const call of changes) {
      for (const when of ["before", "after"] as const) {
        await withMacUser(async (story) => {
          await tellUntil(story, phase);
          story.mac.killAt = { call, when };
          await story.run().catch((error) => assert.equal(error.name, "Killed"));
          kills += Number(story.mac.isDead);
          story.mac.revive();
          assert.equal(await story.run(), "done");
          checkFilters(story, phase === PHASES.length - 1);
        });
      }
    }
  }
  assert.equal(kills, 2 * (2 + 5 + 5 + 5 + 1), "each change of each phase");
});

/** What begins an install, a renewal and OFF. */
const PHASES: ((story: MacStory) => void)[] = [
  () => {},
  ({ scratch }) => scratch.pass(17 * DAY),
  ({ turnOff }) => turnOff(),
];

/** Everything before a phase's run. */
async function tellUntil(story: MacStory, phase: number): Promise<void> {
  for (const begin of PHASES.slice(0, phase)) {
    begin(story);
    await story.run();
  }
  PHASES[phase]?.(story);
  story.mac.revive();
}

function changesFilter({ program, argv }: RecordedCall, at: number): number[] {
  const changes = argv[0] === "set-identity-preference" ||
    (program === "/usr/bin/defaults" && argv[0] !== "export");
  return changes ? [at + 1] : [];
}

function checkFilters({ mac, scratch }: MacStory, off: boolean): void {
  assert.deepEqual(filtersOf(mac), off ? [] : ENTRIES);
  assert.deepEqual(preferred(mac), off ? {} : preferring(scratch.issued.at(-1)?.sha256));
  const ledger = new Ledger(ledgerPath(scratch.world), Date.now);
  try {
    const places = off ? [] : ["preferences com.google.Chrome", ...SERVICES.map(placeOf)];
    assert.deepEqual(ledger.filters().toSorted(), places.toSorted());
  } finally {
    ledger.close();
  }
}

Deno.test("macOS: kills, reboots, new browsers, ON and OFF in any order end whole", async () => {
  const step = fc.record({
    do: fc.constantFrom("kill", "reboot", "browser", "month", "ON", "OFF"),
    call: fc.integer({ min: 1, max: 140 }),
    when: fc.constantFrom("before" as const, "after" as const),
  });
  const stories = fc.array(step, { minLength: 2, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(stories, fc.boolean(), async (steps, endsOn) => {
      await withMacUser(async (story) => {
        const { mac, scratch, run, turnOff } = story;
        const before = mac.state();
        for (const { do: what, ...killAt } of steps) {
          if (what === "kill") mac.killAt = killAt;
          if (what === "reboot") lockAll(mac);
          if (what === "browser") mac.addApplication(EDGE, MICROSOFT);
          if (what === "month") scratch.pass(17 * DAY);
          if (what === "ON") scratch.slice = { ...scratch.slice, wanted: true };
          if (what === "OFF") turnOff();
          await run().catch((error) => assert.equal(error.name, "Killed"));
          mac.revive();
        }
        if (endsOn) scratch.slice = { ...scratch.slice, wanted: true };
        else turnOff();
        assert.equal(await run(), "done");
        // What the server lists is what it issued last, and no more.
        assert.equal(await run(), "done");
        if (endsOn) {
          assert.equal(useOf(mac, CHROME), "silent");
          assert.deepEqual(filtersOf(mac), ENTRIES);
          assert.deepEqual(preferred(mac), preferring(scratch.issued.at(-1)?.sha256));
        } else {
          const { code: _, ...rest } = withoutEmptyDomains(mac.state());
          const { code: __, ...was } = before;
          assert.deepEqual(rest, was);
        }
      });
    }),
    { numRuns: 12 },
  );
});

Deno.test("macOS: a whole life shows no secret in arguments or environment", async () => {
  await withMacUser(async ({ mac, scratch, run, turnOff }) => {
    const secrets = new Set<string>();
    mac.onCall = () => {
      for (const { password, keys } of Object.values(mac.state().keychains)) {
        if (password.length === 32) secrets.add(password);
        for (const { pkcs8 } of keys) secrets.add(pkcs8.slice(40, 80));
      }
    };
    await run();
    scratch.pass(17 * DAY);
    await run();
    turnOff(true);
    await run();
    assert.ok(secrets.size >= 4, `${secrets.size} secrets`);
    for (const { program, argv, env } of mac.calls) {
      const seen = JSON.stringify([argv, env]);
      for (const secret of secrets) assert.ok(!seen.includes(secret), `${program} shows a secret`);
      assert.deepEqual(Object.keys(env).filter((name) => !/^(HOME|PATH|LC_ALL)$/.test(name)), []);
    }
    const item = passwordItemName("JumpCloud");
    assert.ok(mac.calls.some(({ stdin }) => stdin.includes(item)), "passwords went over input");
  });
});

/** After a restart macOS opens the login keychain at the login, and no other. */
function lockAll(mac: ScratchMac): void {
  mac.change(({ keychains }) => {
    const ours = keychains[path(mac)];
    if (ours) ours.locked = true;
  });
}

function placeOf(service: string): string {
  return `identity preference ${service}`;
}
