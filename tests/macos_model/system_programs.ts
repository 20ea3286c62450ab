/**
 * Strict models of the small programs of macOS that tell what there is: the directory, mounts,
 * sessions, processes, the system itself. Any other form of a command than those that the product
 * uses, as Apple's manual pages have them, is no answer but an error.
 */
import { type MacState, type ModelAccount } from "./model_state.ts";
import { Forbidden } from "./security_grammar.ts";
import type { ProgramResult } from "./security_program.ts";

/** A program: its arguments, and what it prints. */
export type SystemProgram = (state: MacState, args: readonly string[]) => ProgramResult;

/** Programs by path. */
export const SYSTEM_PROGRAMS: Readonly<Record<string, SystemProgram>> = {
  "/usr/bin/dscl": (state, args) => {
    const [plist, node, read, path = "", ...attributes] = args;
    if (
      plist !== "-plist" || node !== "/Search" || read !== "-read" || !path.startsWith("/Users/")
    ) {
      throw forbidden("dscl", args);
    }
    const name = path.slice("/Users/".length);
    // The directory takes any of an account's names, in any case.
    const account = state.accounts.find(({ names }) =>
      names.some((other) => other.toLowerCase() === name.toLowerCase())
    );
    if (!account) {
      return failed(56, "<dscl_cmd> DS Error: -14136 (eDSRecordNotFound)\n");
    }
    const members = attributes.map((attribute) =>
      `\t<key>dsAttrTypeStandard:${attribute}</key>\n\t<array>\n${
        valuesOf(account, attribute).map((value) => `\t\t<string>${escaped(value)}</string>\n`)
          .join("")
      }\t</array>\n`
    );
    return printed(
      `<?xml version="1.0" encoding="UTF-8"?>\n<plist version="1.0">\n<dict>\n${
        members.join("")
      }</dict>\n</plist>\n`,
    );
  },

  "/usr/bin/id": (state, args) => {
    const [u, end, name, ...rest] = args;
    if (u !== "-u" || end !== "--" || rest.length > 0) throw forbidden("id", args);
    const account = state.accounts.find(({ names }) => names[0] === name);
    return account ? printed(`${account.uid}\n`) : failed(1, `id: ${name}: no such user\n`);
  },

  "/usr/bin/who": (state, args) => {
    if (args.length > 0) throw forbidden("who", args);
    const lines = state.sessions.map((name) => `${name.padEnd(16)} console  Nov 25 10:00 \n`);
    return printed(`${lines.join("")}eve              ttys000  Nov 25 10:01 \n`);
  },

  "/sbin/mount": (state, args) => {
    if (args.length > 0) throw forbidden("mount", args);
    return printed(
      `/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n${state.mounts}`,
    );
  },

  "/usr/bin/sw_vers": (_, args) => {
    if (args.length > 0) throw forbidden("sw_vers", args);
    return printed("ProductName:\t\tmacOS\nProductVersion:\t\t15.1\nBuildVersion:\t\t24B83\n");
  },

  "/usr/sbin/ioreg": (state, args) => {
    if (args.join(" ") !== "-rd1 -c IOPlatformExpertDevice") throw forbidden("ioreg", args);
    return printed(`+-o Mac\n    {\n      "IOPlatformUUID" = "${state.hardware}"\n    }\n`);
  },

  "/bin/ps": (state, args) => {
    const [, uid, ...rest] = args;
    if (
      args[0] !== "-U" || !/^\d+$/.test(uid ?? "") || rest.join(" ") !== "-o pid=,lstart=,comm="
    ) {
      throw forbidden("ps", args);
    }
    return printed(state.processes);
  },

  "/usr/bin/plutil": (_, args) => {
    const [convert, xml, output, dash, file = "", ...rest] = args;
    const form = [convert, xml, output, dash].join(" ");
    if (form !== "-convert xml1 -o -" || rest.length > 0) throw forbidden("plutil", args);
    return printed(Deno.readTextFileSync(file));
  },
};

function valuesOf({ names, uid, gid, home }: ModelAccount, attribute: string): string[] {
  switch (attribute) {
    case "RecordName":
      return names;
    case "UniqueID":
      return [String(uid)];
    case "PrimaryGroupID":
      return [String(gid)];
    case "NFSHomeDirectory":
      return [home];
    default:
      throw new Forbidden(`dscl ${attribute} is not modelled`);
  }
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

/** What a command prints that succeeded. */
export function printed(stdout: string): ProgramResult {
  return { code: 0, stdout, stderr: "" };
}

/** A command that failed. */
export function failed(code: number, stderr: string): ProgramResult {
  return { code, stdout: "", stderr };
}

/** A form of a command that the model does not know. */
export function forbidden(program: string, args: readonly string[]): Forbidden {
  return new Forbidden(`${program} ${args.join(" ")} is no form of it, or not modelled`);
}
