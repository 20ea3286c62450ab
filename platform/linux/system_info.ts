/** What the agent tells of this system, and what tells a cloned image from its original. */
import fs from "node:fs";
import { readRegularFile } from "../files.ts";
import { underRoot } from "../paths.ts";

/** Facts about this system. */
export interface SystemInfo {
  /** 1 to 255 characters. */
  hostname: string;
  /** For people, at most 255 characters. */
  osVersion: string;
  /** 32 hexadecimal digits; undefined where there is none yet. Confidential: never sent. */
  machineId?: string;
}

/**
 * Reads them. Under a root (as in `--root`) the machine id and the name of the system are the
 * root's; without one there, there is no machine id, and the name is this system's.
 */
export function readSystemInfo(root?: string): SystemInfo {
  const machineId = parseMachineId(readSmall(underRoot("/etc/machine-id", root)));
  const places = ["/etc/os-release", "/usr/lib/os-release"];
  const osRelease = [...places.map((path) => underRoot(path, root)), ...places]
    .map(readSmall).find((text) => text !== undefined);
  return {
    hostname: bounded(Deno.hostname()) || "localhost",
    osVersion: prettyName(osRelease) ?? bounded(`Linux ${Deno.osRelease()}`),
    ...(machineId === undefined ? {} : { machineId }),
  };
}

/** The system's name for people, from the text of `os-release` (os-release(5)). */
export function prettyName(osRelease: string | undefined): string | undefined {
  const value = /^PRETTY_NAME=(.*)$/m.exec(osRelease ?? "")?.[1]?.trim();
  if (!value) return undefined;
  const quoted = /^(["'])(.*)\1$/.exec(value);
  const text = quoted?.[2] ?? value;
  return bounded(text.replace(/\\(["'$`\\])/g, "$1")) || undefined;
}

/** An id from the text of `machine-id` (machine-id(5)); an image not yet started has none. */
export function parseMachineId(text: string | undefined): string | undefined {
  const id = text?.trim();
  return id !== undefined && /^[0-9a-f]{32}$/.test(id) && !/^0+$/.test(id) ? id : undefined;
}

/** One line that fits the contract, whatever somebody put into a file or a host name. */
function bounded(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\u0000-\u001f\u007f]/g, "").trim().slice(0, 255).toWellFormed();
}

/** A text of at most 64 KiB, links followed (`os-release` is one); undefined where there is none. */
function readSmall(path: string): string | undefined {
  if (!fs.existsSync(path)) return undefined;
  const bytes = readRegularFile(fs.realpathSync(path), 64 * 1024);
  return bytes && new TextDecoder().decode(bytes);
}
