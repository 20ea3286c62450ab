/** What the agent tells of this system, and what tells a cloned image from its original. */

/** Facts about this system. */
export interface SystemInfo {
  /** 1 to 255 characters. */
  hostname: string;
  /** For people, at most 255 characters. */
  osVersion: string;
  /** 32 hexadecimal digits; undefined where there is none yet. Confidential: never sent. */
  machineId?: string;
}

/** Reads them; `root` as in `--root`. */
export function readSystemInfo(_root?: string): SystemInfo {
  throw new Error("signature only");
}
