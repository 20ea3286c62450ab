/** A modelled Mac in a scratch folder, with one user, browsers, and a ledger in memory. */
import { fileURLToPath } from "node:url";
import { selfProgram } from "../../agent/self_program.ts";
import type { Command, CommandResult, RunCommand } from "../../platform/command.ts";
import { KeyAccessLost, Problem } from "../../platform/errors.ts";
import type { OpenKeychain } from "../../platform/macos/keychain.ts";
import type { SecurityFramework } from "../../platform/macos/security_framework.ts";
import type { CreatedPath } from "../../platform/trust_store.ts";
import { signWith, useOfKey } from "./browser.ts";
import { runCodesign } from "./codesign_program.ts";
import { runDefaults } from "./defaults_program.ts";
import { runLaunchctl } from "./launchctl_program.ts";
import {
  changeState,
  emptyKeychain,
  fileOf,
  keychainAt,
  type MacState,
  type ModelCode,
  readState,
  writeState,
} from "./model_state.ts";
import { Forbidden } from "./security_grammar.ts";
import { type ProgramResult, runSecurity } from "./security_program.ts";
import { SYSTEM_PROGRAMS } from "./system_programs.ts";

/** Programs that are modelled, by their paths on a Mac. */
const PROGRAMS: Readonly<Record<string, ModelledProgram>> = {
  ...SYSTEM_PROGRAMS,
  "/usr/bin/security": runSecurity,
  "/usr/bin/codesign": runCodesign,
  "/usr/bin/defaults": runDefaults,
  "/bin/launchctl": runLaunchctl,
};

type ModelledProgram = (
  state: MacState,
  args: readonly string[],
  input: string,
) => ProgramResult;

/** What a program was called with. */
export interface RecordedCall {
  /** Its path on a Mac. */
  program: string;
  argv: string[];
  env: Record<string, string>;
  stdin: string;
}

/** The process is gone: nothing that it would have done afterwards counts. */
export class Killed extends Error {
  override readonly name = "Killed";
}

/** Where a run is to be killed: around its n-th call of a program, counted from 1. */
export interface KillPoint {
  call: number;
  when: "before" | "after";
}

/** What the ledger knows; it outlives a killed run, as the ledger's file does. */
interface ScratchLedger {
  created: CreatedPath[];
  publicKeys: Uint8Array[];
}

const SIGNED: Readonly<Record<string, Omit<ModelCode, "hash">>> = {
  "/Applications/Google Chrome.app": {
    identifier: "com.google.Chrome",
    authority: "Developer ID Application: Google LLC (EQHXZ8M8AV)",
    team: "EQHXZ8M8AV",
  },
  "/Applications/Safari.app": { identifier: "com.apple.Safari", authority: "Software Signing" },
  "/System/Library/Frameworks/WebKit.framework/Versions/A/XPCServices/com.apple.WebKit.Networking.xpc":
    { identifier: "com.apple.WebKit.Networking", authority: "Software Signing" },
  "/usr/local/bin/device-trust": { identifier: "device-trust", authority: "" },
};

/** Something of the user's own. */
const OWN_PASSWORD = { account: "ada", service: "Wi-Fi", label: "Wi-Fi", password: "secret" };

/** A modelled Mac; take it away with `using`. */
export class ScratchMac implements Disposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "scratch-mac-" });
  readonly home = `${this.folder}/Users/ada`;
  readonly stateFile = `${this.folder}/state.json`;
  readonly login = `${this.home}/Library/Keychains/login.keychain`;
  readonly calls: RecordedCall[] = [];
  readonly ledger: ScratchLedger = { created: [], publicKeys: [] };
  /** Applications that the agent server names. */
  macosApplications: string[] = [];
  /** Where the next run dies. */
  killAt: KillPoint | undefined;
  /** Called after each call of a program. */
  onCall: (program: string, args: readonly string[]) => void = () => {};
  #calls = 0;
  #dead = false;

  constructor() {
    Deno.mkdirSync(`${this.home}/Library/Keychains`, { recursive: true });
    const work = `${this.home}/Library/Keychains/work.keychain`;
    const state: MacState = {
      home: this.home,
      login: this.login,
      // One of them lies on a disk that is not there.
      searchList: [this.login, work, "/Volumes/Team/team.keychain"],
      keychains: {
        [this.login]: { ...emptyKeychain("the user's own password"), passwords: [OWN_PASSWORD] },
        [work]: { ...emptyKeychain("another"), passwords: [OWN_PASSWORD] },
      },
      identityPreferences: {},
      code: {},
      preferences: {},
      accounts: [{ names: ["ada", "ada@example.com"], uid: 501, gid: 20, home: this.home }],
      sessions: ["ada"],
      jobs: {},
      mounts: "",
      processes: "",
      hardware: "5A7C1D60-1111-5222-8333-0123456789AB",
      prompts: [],
      faults: [],
    };
    for (const path of [this.login, work]) Deno.writeTextFileSync(fileOf(state, path), "kych");
    writeState(this.stateFile, state);
    for (const [path, code] of Object.entries(SIGNED)) this.addApplication(path, code);
  }

  /** Puts an application there, by its path on a Mac. @returns its path in the scratch folder */
  addApplication(path: string, code: Omit<ModelCode, "hash">): string {
    const there = this.folder + path;
    Deno.mkdirSync(there, { recursive: true });
    const hash = crypto.getRandomValues(new Uint8Array(20)).toHex();
    this.change((state) => void (state.code[there] = { ...code, hash }));
    return there;
  }

  /** Everything that is there now. */
  state(): MacState {
    return readState(this.stateFile);
  }

  change<T>(change: (state: MacState) => T): T {
    return changeState(this.stateFile, change);
  }

  /** Options for the product: its programs run in this process, on this Mac. */
  options(): OpenKeychain {
    return {
      run: this.run,
      framework: this.framework,
      home: this.home,
      root: this.folder,
      brand: "JumpCloud",
      random: (length) => crypto.getRandomValues(new Uint8Array(length)),
      created: this.ledger.created.slice(),
      recordPath: (created) => void this.ledger.created.push(created),
      macosApplications: this.macosApplications,
      ownProgram: `${this.folder}/usr/local/bin/device-trust`,
      stateDir: `${this.home}/Library/Application Support/Device Trust`,
      publicKeys: () => this.ledger.publicKeys,
    };
  }

  /** {@link RunCommand} on this Mac. */
  readonly run: RunCommand = (command) => {
    const [program, ...args] = command.argv;
    this.#die("before");
    this.calls.push(recordedCall(program, args, command.env, command.input ?? ""));
    const result = runModel(this.stateFile, program, args, command.input ?? "");
    this.#die("after");
    this.onCall(program, args);
    return Promise.resolve(resultOf(result));
  };

  /** What the Security framework would do for this program. */
  readonly framework: SecurityFramework = {
    isLocked: (path) => keychainAt(this.state(), path)?.locked ?? false,
    sign: ({ keychain, label }, message) => {
      const state = this.state();
      const key = keychainAt(state, keychain)?.keys
        .find((key) => key.label === label.toUpperCase());
      if (!key) throw new Problem("internal", `There is no key ${label}.`);
      const use = useOfKey(state, `${this.folder}/usr/local/bin/device-trust`, label);
      if (use !== "silent") throw new KeyAccessLost(label);
      return signWith(key, message);
    },
  };

  /** How many calls of programs were made since the last {@link revive}. */
  get callCount(): number {
    return this.#calls;
  }

  /** Whether the run that is under way was killed. */
  get isDead(): boolean {
    return this.#dead;
  }

  /** After a kill: files and state are as they were in that instant. */
  revive(): void {
    if (this.#dead) {
      removeFolder(this.home);
      copyFolder(this.#snapshot, this.home);
      Deno.copyFileSync(`${this.#snapshot}.json`, this.stateFile);
      removeFolder(this.#snapshot);
    }
    this.killAt = undefined;
    this.#calls = 0;
    this.#dead = false;
  }

  /** Makes both programs real: scripts in a folder, for {@link RunCommand} on the real system. */
  installPrograms(): { security: string; codesign: string } {
    const main = fileURLToPath(new URL("./main.ts", import.meta.url));
    const { argv: [deno], env } = selfProgram(undefined, main);
    Deno.mkdirSync(`${this.folder}/bin`);
    const install = (name: "security" | "codesign") => {
      const path = `${this.folder}/bin/${name}`;
      // What Deno needs is set here, so that the model sees the environment that it was given.
      const words = [
        ...["/usr/bin/env", ...Object.entries(env).map(([key, value]) => `${key}=${value}`)],
        ...[
          deno,
          "run",
          "-A",
          "--quiet",
          "--no-check",
          "--cached-only",
          main,
          this.folder,
          `/usr/bin/${name}`,
        ],
      ];
      const script = `#!/bin/sh\nexec ${words.map((word) => `'${word}'`).join(" ")} "$@"\n`;
      Deno.writeTextFileSync(path, script, { mode: 0o755 });
      return path;
    };
    return { security: install("security"), codesign: install("codesign") };
  }

  [Symbol.dispose](): void {
    removeFolder(this.folder);
  }

  #die(when: KillPoint["when"]): void {
    if (this.#dead) throw new Killed();
    if (when === "before") this.#calls++;
    if (this.killAt?.call !== this.#calls || this.killAt.when !== when) return;
    this.#dead = true;
    copyFolder(this.home, this.#snapshot);
    Deno.copyFileSync(this.stateFile, `${this.#snapshot}.json`);
    throw new Killed();
  }

  get #snapshot(): string {
    return `${this.folder}/snapshot`;
  }
}

/** A call as it is recorded. */
export function recordedCall(
  program: string,
  argv: readonly string[],
  env: Command["env"],
  stdin: string,
): RecordedCall {
  return { program, argv: [...argv], env: { ...env }, stdin };
}

/** Runs a modelled program on the Mac whose state is in a file. */
export function runModel(
  stateFile: string,
  program: string,
  args: readonly string[],
  input: string,
): ProgramResult {
  const run = PROGRAMS[program];
  if (!run) throw new Forbidden(`${program} was run`);
  return changeState(stateFile, (state) => run(state, args, input));
}

function resultOf({ code, stdout, stderr }: ProgramResult): CommandResult {
  return { code, timedOut: false, stdoutTail: stdout, stderrTail: stderr };
}

function copyFolder(from: string, to: string): void {
  Deno.mkdirSync(to, { mode: (Deno.statSync(from).mode ?? 0o700) & 0o777 });
  for (const { name, isDirectory } of Deno.readDirSync(from)) {
    if (isDirectory) copyFolder(`${from}/${name}`, `${to}/${name}`);
    else Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  }
}

function removeFolder(path: string): void {
  Deno.removeSync(path, { recursive: true });
}
