/** A model of `codesign --display --verbose=4`, and of the partition that macOS puts code into. */
import type { MacState, ModelCode } from "./model_state.ts";
import type { ProgramResult } from "./security_program.ts";

/** Runs the program. */
export function runCodesign(state: MacState, args: readonly string[]): ProgramResult {
  const [display, verbose, path = "", ...rest] = args;
  if (display !== "--display" || verbose !== "--verbose=4" || rest.length > 0) {
    return { code: 2, stdout: "", stderr: "Usage: codesign --display [options] path\n" };
  }
  const code = state.code[path];
  if (code?.authority === undefined) {
    const stderr = `${path}: code object is not signed at all\n`;
    return { code: 1, stdout: "", stderr };
  }
  return { code: 0, stdout: "", stderr: describe(path, code) };
}

/** The partition of code that runs: securityd decides it from the code itself. */
export function partitionOf({ authority, team, identifier, hash }: ModelCode): string {
  if (authority === undefined) return "unsigned:";
  if (authority === "Software Signing") {
    return identifier === "com.apple.security" ? "apple-tool:" : "apple:";
  }
  return team === undefined ? `cdhash:${hash}` : `teamid:${team}`;
}

/** The designated requirement of code: its build when nobody vouches for it, else who it is. */
export function requirementOf({ authority, team, identifier, hash }: ModelCode): string {
  if (authority === "Software Signing") return `identifier "${identifier}" and anchor apple`;
  if (team === undefined) return `cdhash H"${hash}"`;
  return `identifier "${identifier}" and anchor apple generic and subject.OU = "${team}"`;
}

function describe(path: string, { identifier, authority, team, hash }: ModelCode): string {
  const authorities = authority === ""
    ? ["Signature=adhoc"]
    : ["Signature size=9000", `Authority=${authority}`, "Authority=Apple Root CA"];
  return [
    `Executable=${path}`,
    `Identifier=${identifier}`,
    "Format=app bundle with Mach-O universal (x86_64 arm64)",
    "CodeDirectory v=20500 size=1863 flags=0x12a00 hashes=47+7 location=embedded",
    "Hash type=sha256 size=32",
    `CandidateCDHash sha256=${hash}`,
    `CandidateCDHashFull sha256=${hash}000000000000000000000000`,
    `CDHash=${hash}`,
    ...authorities,
    `TeamIdentifier=${team ?? "not set"}`,
    "Sealed Resources version=2 rules=13 files=63",
    "",
  ].join("\n");
}
