/** What the agent tells of this Windows, and what tells a cloned image from its original. */
import { createHash } from "node:crypto";
import type { SystemFacts } from "../platform.ts";
import type { KeyName, Registry } from "./registry.ts";

const VERSION: KeyName = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion";
const MACHINE: KeyName = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Cryptography";
const FIRST_BUILD_OF_11 = 22_000;

/** Reads it from the registry. @throws WindowsError */
export function readSystemInfo(registry: Registry): SystemFacts {
  const version = registry.read(VERSION)?.values ?? [];
  const text = (name: string) => version.find((value) => value.name === name)?.text;
  const number = (name: string) => version.find((value) => value.name === name)?.number;
  const guid = registry.value(MACHINE, "MachineGuid")?.text?.trim().toLowerCase();
  return {
    os: "windows",
    hostname: bounded(Deno.hostname()) || "localhost",
    osVersion: versionText({
      product: text("ProductName"),
      release: text("DisplayVersion") ?? text("ReleaseId"),
      build: text("CurrentBuildNumber"),
      revision: number("UBR"),
    }),
    ...(guid === undefined || guid === ""
      ? {}
      : { machine: createHash("sha256").update(guid).digest("hex") }),
  };
}

/** What the registry says of a Windows' version. */
export interface VersionFacts {
  product?: string | undefined;
  release?: string | undefined;
  build?: string | undefined;
  revision?: number | undefined;
}

/** For people: `Windows 11 Pro 24H2 (26100.1)`. The registry still calls a Windows 11 a 10. */
export function versionText({ product = "Windows", release, build, revision }: VersionFacts) {
  const isEleven = Number(build) >= FIRST_BUILD_OF_11 && !/server/i.test(product);
  const name = isEleven ? product.replace("Windows 10", "Windows 11") : product;
  const number = [build, revision].filter((part) => part !== undefined).join(".");
  return bounded([name, release, number && `(${number})`].filter(Boolean).join(" "));
}

/** One line that fits the contract, whatever somebody put into a host name. */
function bounded(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\u0000-\u001f\u007f]/g, "").trim().slice(0, 255).toWellFormed();
}
