/** What the packages put on a machine. Pure. */
import { dirname } from "node:path";
import { gzipSync } from "node:zlib";
import {
  AGENT_UNIT,
  agentUnit,
  POLICY_FOLDERS,
  USER_AGENT_TEMPLATE,
  userAgentUnit,
} from "../service.ts";

/** A file or a folder of a package; all of them are root's. */
export type Entry =
  /** `content` is the file itself, or where it is. */
  | { path: string; mode: number; content: string | Uint8Array | { copyOf: string } }
  /** One that is to go with the package. */
  | { folder: string };

/** What the sources say of the program. */
export interface Description {
  version: string;
  /** Completion scripts. */
  bash: string;
  zsh: string;
  fish: string;
  /** The manual page, as roff. */
  manual: string;
  /** Texts of these files. */
  license: string;
  changelog: string;
}

/** What a package is made of. */
export interface Ingredients extends Description {
  /** Where the compiled program is. */
  binary: string;
}

/** Where packages put the program. */
export const BINARY = "/usr/bin/device-trust";

/** What an administrator edits; as it comes it says nothing. */
export const CONFIG = { path: "/etc/device-trust/config.json", content: "{}\n" } as const;

/** What every Linux package holds. */
export function packageContents(made: Ingredients): Entry[] {
  return [
    { path: BINARY, mode: 0o755, content: { copyOf: made.binary } },
    text(`/usr/lib/systemd/system/${AGENT_UNIT}`, agentUnit(BINARY)),
    text(`/usr/lib/systemd/system/${USER_AGENT_TEMPLATE}`, userAgentUnit(BINARY)),
    text("/usr/share/bash-completion/completions/device-trust", made.bash),
    text("/usr/share/fish/vendor_completions.d/device-trust.fish", made.fish),
    packed("/usr/share/man/man8/device-trust.8.gz", made.manual),
    text(CONFIG.path, CONFIG.content),
    { folder: dirname(CONFIG.path) },
    ...POLICY_FOLDERS.flatMap((managed) => [
      { folder: dirname(dirname(managed)) },
      { folder: dirname(managed) },
      { folder: managed },
    ]),
  ];
}

/** A text that everybody may read. */
export function text(path: string, content: string): Entry {
  return { path, mode: 0o644, content };
}

/** The same compressed; the same bytes whenever it is made. */
export function packed(path: string, content: string): Entry {
  return { path, mode: 0o644, content: gzipSync(content, { level: 9 }) };
}
