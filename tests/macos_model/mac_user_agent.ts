/** The user-agent's real code over the macOS platform, on a modelled Mac, with a real CA behind it. */
import assert from "node:assert/strict";
import { type RunResult, runUserAgent } from "../../agent/user_agent.ts";
import { FILTER_POLICY, filterEntries } from "../../platform/filter_entries.ts";
import { identityServices } from "../../platform/macos/safari_filters.ts";
import { macosUser, type MacUser } from "../../platform/macos/user_platform.ts";
import { type ScratchUserAgent, withUserAgent } from "../scratch_user_agent.ts";
import { useOfKey } from "./browser.ts";
import { keychainOf } from "./keychain_stories.ts";
import type { MacState } from "./model_state.ts";
import { ScratchMac } from "./scratch_mac.ts";

/** Milliseconds. */
export const DAY = 24 * 3_600_000;
/** What the agent server wants browsers to be told. */
export const SELECTION = {
  patterns: ["https://portal.test:8443", "https://[*.]challenge.portal.test"],
  macosApplications: [],
};

/** The entries of Chromium browsers for it, and the services that Safari's preferences are for. */
export const ENTRIES = filterEntries({ brand: "JumpCloud", ...SELECTION });
export const SERVICES = SELECTION.patterns.flatMap(identityServices);

/** Browsers by their paths on a Mac, and who signs one that is not there at first. */
export const CHROME = "/Applications/Google Chrome.app";
export const EDGE = "/Applications/Microsoft Edge.app";
export const MICROSOFT = {
  identifier: "com.microsoft.edgemac",
  authority: "Developer ID Application: Microsoft Corporation (UBF8T346G9)",
  team: "UBF8T346G9",
};

/** A user of a modelled Mac, and the user-agent that serves this user. */
export interface MacStory {
  mac: ScratchMac;
  scratch: ScratchUserAgent;
  /** One run, as launchd starts it; what the server issued is in its next desired state. */
  run(): Promise<RunResult>;
  /** Distribution is turned off; `final`: the device leaves its server. */
  turnOff(final?: boolean): void;
}

/** Tells a story; in none is the user ever asked anything. */
export async function withMacUser(tell: (story: MacStory) => Promise<void>): Promise<void> {
  await withUserAgent(async (scratch) => {
    using mac = new ScratchMac();
    scratch.slice = { ...scratch.slice, selection: SELECTION };
    await tell({
      mac,
      scratch,
      async run() {
        // A process of its own each time: nothing is remembered but what is on the disk.
        const platform = macosUser(undefined, macUserOf(mac));
        const { removeStore, filters } = platform;
        Object.assign(scratch.world, {
          stateDir: platform.stateDir,
          checkHome: () => platform.checkHome(),
          openStore: platform.openStore,
          removeStore,
          filters,
          removeCreated: platform.removeCreated,
          runningBrowsers: platform.runningBrowsers,
        });
        const result = await runUserAgent(scratch.world);
        scratch.listIssued();
        return result;
      },
      turnOff(final = false) {
        scratch.issued.length = 0;
        scratch.slice = { ...scratch.slice, wanted: false, final, leaves: [] };
      },
    });
    assert.deepEqual(mac.state().prompts, []);
  });
}

/** That user, for the product. */
export function macUserOf(mac: ScratchMac): MacUser {
  return {
    run: mac.run,
    env: { HOME: mac.home, USER: "ada" },
    uid: Deno.uid() ?? 0,
    framework: () => mac.framework,
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    ownProgram: `${mac.folder}/usr/local/bin/device-trust`,
    systemRoot: mac.folder,
  };
}

/** A browser's list of filters; empty without one. */
export function filtersOf(mac: ScratchMac, domain = "com.google.Chrome"): unknown {
  return mac.state().preferences[domain]?.[FILTER_POLICY] ?? [];
}

/** What an application meets with the newest key. */
export function useOf(mac: ScratchMac, application: string): string {
  const label = keychainOf(mac).keys.at(-1)?.label ?? "";
  return useOfKey(mac.state(), mac.folder + application, label);
}

/** Preferred certificates by service, but for the user's own choices. */
export function preferred(mac: ScratchMac): Record<string, string> {
  return mac.state().identityPreferences;
}

/** What they are while every service prefers this leaf. */
export function preferring(sha256 = ""): Record<string, string> {
  return Object.fromEntries(SERVICES.map((service) => [service, sha256.toUpperCase()]));
}

/** A domain that was never written to and one whose last key was deleted are the same to browsers. */
export function withoutEmptyDomains(state: MacState): MacState {
  const domains = Object.entries(state.preferences).filter(([, keys]) =>
    Object.keys(keys).length > 0
  );
  return { ...state, preferences: Object.fromEntries(domains) };
}
