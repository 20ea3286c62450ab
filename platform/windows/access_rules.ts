/**
 * Who may do what in our folders, as Windows' security descriptors have it (SDDL). Pure. Of a list
 * of accesses it reads what Windows itself writes: two lists are compared as Windows tells them.
 */

/** Well-known identities. */
export const SYSTEM = "S-1-5-18";
export const ADMINISTRATORS = "S-1-5-32-544";

/** Below it only SYSTEM and Administrators do anything; nothing is inherited from above. */
const PRIVATE = "O:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";
/** FILE_TRAVERSE, FILE_READ_ATTRIBUTES, READ_CONTROL, SYNCHRONIZE: a way through, no list. */
const PASS = "0x1200a0";
/** FILE_GENERIC_READ and FILE_GENERIC_EXECUTE. */
const READ = "0x1200a9";
/** {@link READ} and FILE_ADD_FILE: no folders, and so no junctions. */
const READ_AND_ADD_FILE = "0x1200ab";
/** {@link READ}, FILE_GENERIC_WRITE and DELETE, which renaming takes. */
const MODIFY = "0x1301bf";

/** The descriptor of each of our folders. */
export const DESCRIPTORS = {
  /** State, logs, and the administrator's channel. */
  private: PRIVATE,
  /** What has to be passed on the way to a user's folder. */
  passage: `${PRIVATE}(A;;${PASS};;;BU)`,
  /** A user's own, which holds `in` and `out`. */
  user: (sid: string) => `${PRIVATE}(A;;${READ};;;${sid})`,
  /** Where that user puts files, which are then that user's. */
  in: (sid: string) => `${PRIVATE}(A;;${READ_AND_ADD_FILE};;;${sid})(A;OIIO;${MODIFY};;;${sid})`,
  /** Where that user finds answers. */
  out: (sid: string) => `${PRIVATE}(A;OICI;${READ};;;${sid})`,
} as const;

/** What is at the path of a folder of ours. */
export interface FoundFolder {
  isDirectory: boolean;
  /** A link of any kind, or anything else that is not what it seems. */
  isReparsePoint: boolean;
  /** SID of who owns it. */
  owner: string;
  /** SDDL of its list of accesses, as Windows writes it. */
  dacl: string;
}

/**
 * Whether a folder that was there before can be used: as it is (`right`), or once its list of
 * accesses is ours (`open`: others may have put something into it). Otherwise why not.
 *
 * @param wanted SDDL of the list that it shall have, as Windows writes it
 * @param owners SIDs of whom to trust with it
 */
export function judgeFolder(
  found: FoundFolder,
  wanted: string,
  owners: readonly string[],
): "right" | "open" | { refused: string } {
  if (found.isReparsePoint) return { refused: "is a link" };
  if (!found.isDirectory) return { refused: "is not a folder" };
  if (!owners.includes(found.owner)) return { refused: `belongs to ${found.owner}` };
  return sameList(found.dacl, wanted) ? "right" : "open";
}

/** Whether two lists grant the same, and inherit as little. */
function sameList(a: string, b: string): boolean {
  const [left, right] = [parseDacl(a), parseDacl(b)];
  return left !== undefined && right !== undefined && left.isProtected === right.isProtected &&
    left.entries.map(({ text }) => text).join() === right.entries.map(({ text }) => text).join();
}

/** A part of a list of accesses. */
interface AccessEntry {
  text: string;
  allows: boolean;
  /** Whether it is for what is below alone. */
  inheritOnly: boolean;
  /** Bits, as winnt.h has them. */
  rights: number;
  /** A SID, or SDDL's abbreviation of one. */
  who: string;
}

/** Reads a list from SDDL; undefined where there is none, which lets everybody do everything. */
function parseDacl(sddl: string): { isProtected: boolean; entries: AccessEntry[] } | undefined {
  const found = /D:([A-Z_]*)((?:\([^()]*(?:\([^)]*\)[^()]*)*\))*)/.exec(sddl);
  if (!found || found[1]?.includes("NO_ACCESS_CONTROL")) return undefined;
  const entries = (found[2] ?? "").match(/\([^;()]*;[^;]*;[^;]*;[^;]*;[^;]*;[^;)]+/g) ?? [];
  return {
    isProtected: found[1]?.replace("AI", "").replace("AR", "") === "P",
    entries: entries.map((text): AccessEntry => {
      const [type = "", flags = "", rights = "", , , who = ""] = text.slice(1).split(";");
      return {
        text,
        allows: type.endsWith("A"),
        inheritOnly: /^(?:..)*IO/.test(flags),
        rights: parseRights(rights),
        who,
      };
    }),
  };
}

/**
 * Who, beside those whom Windows itself trusts, may change a program: the file, what lies in its
 * folder, or a folder above. SIDs, or SDDL's abbreviations.
 *
 * @param owner SID of who owns it
 * @param dacl SDDL of its list of accesses
 */
export function strangersWhoMayChange(
  what: "program" | "folder" | "above",
  { owner, dacl }: { owner: string; dacl: string },
): string[] {
  const list = parseDacl(dacl);
  const harmful = what === "above" ? REPLACE : REPLACE | ADD;
  const entries = list ? list.entries : [{ ...EVERYBODY, text: dacl }];
  const who = entries
    .filter((entry) => entry.allows && !entry.inheritOnly && (entry.rights & harmful) !== 0)
    .map((entry) => entry.who);
  return [...new Set([owner, ...who])].filter((sid) => !TRUSTED.has(sid));
}

/** Its installer, Administrators and SYSTEM, by name and abbreviation. */
const TRUSTED = new Set([
  SYSTEM,
  ADMINISTRATORS,
  "SY",
  "BA",
  "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
]);

const EVERYBODY = { allows: true, inheritOnly: false, rights: -1, who: "WD" };

/** GENERIC_ALL, WRITE_OWNER, WRITE_DAC, DELETE, FILE_DELETE_CHILD. */
const REPLACE = 0x10000000 | 0x80000 | 0x40000 | 0x10000 | 0x40;
/** GENERIC_WRITE, FILE_WRITE_DATA (add a file), FILE_APPEND_DATA (add a folder). */
const ADD = 0x40000000 | 0x2 | 0x4;

/** SDDL's abbreviations of rights (sddl.h). */
const RIGHTS: Readonly<Record<string, number>> = {
  GA: 0x10000000,
  GR: 0x80000000,
  GW: 0x40000000,
  GX: 0x20000000,
  RC: 0x20000,
  SD: 0x10000,
  WD: 0x40000,
  WO: 0x80000,
  CC: 0x1,
  DC: 0x2,
  LC: 0x4,
  SW: 0x8,
  RP: 0x10,
  WP: 0x20,
  DT: 0x40,
  LO: 0x80,
  CR: 0x100,
  FA: 0x1f01ff,
  FR: 0x120089,
  FW: 0x120116,
  FX: 0x1200a0,
};

/** What it does not know counts as everything. */
function parseRights(text: string): number {
  if (/^0x[0-9a-f]{1,8}$/i.test(text)) return Number(text);
  const names = text.match(/../g) ?? [];
  return names.reduce((bits, name) => bits | (RIGHTS[name] ?? -1), 0);
}
