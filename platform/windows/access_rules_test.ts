import assert from "node:assert/strict";
import {
  ADMINISTRATORS,
  DESCRIPTORS,
  type FoundFolder,
  judgeFolder,
  strangersWhoMayChange,
  SYSTEM,
} from "./access_rules.ts";

const ADA = "S-1-5-21-1-2-3-1001";
const OWNERS = [SYSTEM, ADMINISTRATORS];
/** As Windows writes the list of a private folder. */
const PRIVATE = "D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";

function folder(more: Partial<FoundFolder> = {}): FoundFolder {
  const found = { isDirectory: true, isReparsePoint: false, owner: ADMINISTRATORS, dacl: PRIVATE };
  return { ...found, ...more };
}

Deno.test("a folder of SYSTEM's or Administrators' with our list is right", () => {
  for (const owner of OWNERS) {
    assert.equal(judgeFolder(folder({ owner }), PRIVATE, OWNERS), "right");
  }
  // Windows notes how a list came to be; that changes nothing of what it grants.
  for (const flags of ["P", "PAI", "PAR", "PARAI"]) {
    const dacl = PRIVATE.replace("PAI", flags);
    assert.equal(judgeFolder(folder({ dacl }), PRIVATE, OWNERS), "right", flags);
  }
});

Deno.test("a folder that somebody else made before us is refused, whatever its list says", () => {
  const verdict = judgeFolder(folder({ owner: ADA }), PRIVATE, OWNERS);
  assert.deepEqual(verdict, { refused: `belongs to ${ADA}` });
});

Deno.test("a link, or a file, in a folder's place is refused", () => {
  const link = judgeFolder(folder({ isReparsePoint: true }), PRIVATE, OWNERS);
  assert.deepEqual(link, { refused: "is a link" });
  const file = judgeFolder(folder({ isDirectory: false }), PRIVATE, OWNERS);
  assert.deepEqual(file, { refused: "is not a folder" });
});

Deno.test("a list that grants more, less or inherits is made ours first", () => {
  const lists = [
    // As a folder below ProgramData is that nobody gave a list.
    "D:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;0x1200a9;;;BU)(A;CIID;DCLCRPCR;;;BU)",
    "D:(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)",
    "D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;BU)",
    "D:PAI(A;OICI;FA;;;SY)",
    "D:PAI",
    "D:NO_ACCESS_CONTROL",
    "",
  ];
  for (const dacl of lists) {
    assert.equal(judgeFolder(folder({ dacl }), PRIVATE, OWNERS), "open", dacl);
  }
});

Deno.test("every folder of ours belongs to Administrators and inherits nothing", () => {
  const all = [
    DESCRIPTORS.private,
    DESCRIPTORS.passage,
    DESCRIPTORS.user(ADA),
    DESCRIPTORS.in(ADA),
    DESCRIPTORS.out(ADA),
  ];
  for (const text of all) assert.match(text, /^O:BAD:PAI\(A;OICI;FA;;;SY\)\(A;OICI;FA;;;BA\)/);
});

/** What a descriptor lets somebody do: with the folder itself, and with what is made in it. */
function rights(descriptor: string, who: string): { folder: number; below: number } {
  const found = { folder: 0, below: 0 };
  for (const [, flags = "", bits, sid] of descriptor.matchAll(/\(A;(\w*);(0x\w+);;;([^)]+)\)/g)) {
    if (sid !== who) continue;
    if (!flags.includes("IO")) found.folder |= Number(bits);
    if (flags.includes("OI")) found.below |= Number(bits);
  }
  return found;
}

const WRITE_DATA = 0x2, ADD_SUBDIRECTORY = 0x4, READ_DATA = 0x1, DELETE_CHILD = 0x40;
const DELETE = 0x10000, WRITE_DAC = 0x40000, WRITE_OWNER = 0x80000;

Deno.test("a user puts files into 'in', and no folders, and cannot change who may do what", () => {
  const { folder, below } = rights(DESCRIPTORS.in(ADA), ADA);
  assert.ok((folder & WRITE_DATA) !== 0 && (below & DELETE) !== 0);
  assert.equal((folder | below) & (WRITE_DAC | WRITE_OWNER | DELETE_CHILD), 0);
  assert.equal(folder & (ADD_SUBDIRECTORY | DELETE), 0);
});

Deno.test("a user reads 'out' and writes nothing there, and passes the folders above", () => {
  const { folder, below } = rights(DESCRIPTORS.out(ADA), ADA);
  const write = WRITE_DATA | ADD_SUBDIRECTORY | DELETE | DELETE_CHILD | WRITE_DAC | WRITE_OWNER;
  assert.ok((folder & READ_DATA) !== 0 && (below & READ_DATA) !== 0);
  assert.equal((folder | below) & write, 0);
  for (const descriptor of [DESCRIPTORS.passage, DESCRIPTORS.user(ADA)]) {
    const who = descriptor === DESCRIPTORS.passage ? "BU" : ADA;
    const passing = rights(descriptor, who);
    assert.equal(passing.folder & write, 0);
    assert.equal(passing.below, 0);
  }
  // Whose certificates this device keeps is nobody's business.
  assert.equal(rights(DESCRIPTORS.passage, "BU").folder & READ_DATA, 0);
});

const INSTALLER = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";

Deno.test("a program below Program Files, as Windows protects it, is nobody's to change", () => {
  const programFiles = {
    owner: INSTALLER,
    dacl:
      `D:PAI(A;;FA;;;${INSTALLER})(A;CIIO;GA;;;${INSTALLER})(A;;0x1301bf;;;SY)(A;OICIIO;GA;;;SY)` +
      "(A;;0x1301bf;;;BA)(A;OICIIO;GA;;;BA)(A;;0x1200a9;;;BU)(A;OICIIO;GXGR;;;BU)(A;OICIIO;GA;;;CO)",
  };
  const ours = {
    owner: ADMINISTRATORS,
    dacl: "D:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)(A;ID;0x1200a9;;;AC)",
  };
  const drive = {
    owner: INSTALLER,
    dacl:
      "D:PAI(A;;LC;;;AU)(A;OICIIO;SDGXGWGR;;;AU)(A;;FA;;;SY)(A;OICIIO;GA;;;SY)(A;OICI;FA;;;BA)" +
      "(A;OICI;0x1200a9;;;BU)",
  };
  assert.deepEqual(strangersWhoMayChange("program", ours), []);
  assert.deepEqual(strangersWhoMayChange("folder", programFiles), []);
  assert.deepEqual(strangersWhoMayChange("above", programFiles), []);
  assert.deepEqual(strangersWhoMayChange("above", drive), []);
  // A program right below the drive's root: everybody makes folders there.
  assert.deepEqual(strangersWhoMayChange("folder", drive), ["AU"]);
});

Deno.test("whoever may change a program, its folder or the way to it is named", () => {
  const list = (entry: string) => ({ owner: ADMINISTRATORS, dacl: `D:(A;;FA;;;BA)${entry}` });
  const cases = [
    ["program", "(A;;0x1301bf;;;AU)", ["AU"]],
    ["program", "(A;;FW;;;BU)", ["BU"]],
    ["program", "(A;;FR;;;BU)", []],
    ["program", `(A;;WD;;;${ADA})`, [ADA]],
    ["program", "(A;;GA;;;WD)(A;;FA;;;WD)", ["WD"]],
    ["program", "(D;;FA;;;WD)", []],
    ["program", '(XA;;FA;;;BU;(WIN://SYSAPPID Contains "x"))', ["BU"]],
    ["program", "(A;;??;;;BU)", ["BU"]],
    ["folder", "(A;CI;DC;;;BU)", ["BU"]],
    ["folder", "(A;CIIO;FA;;;BU)", []],
    ["above", "(A;CI;LC;;;AU)", []],
    ["above", "(A;CI;SD;;;AU)", ["AU"]],
    ["above", "(A;CI;DT;;;AU)", ["AU"]],
  ] as const;
  for (const [what, entry, expected] of cases) {
    assert.deepEqual(strangersWhoMayChange(what, list(entry)), expected, `${what} ${entry}`);
  }
  assert.deepEqual(strangersWhoMayChange("program", { owner: ADA, dacl: PRIVATE }), [ADA]);
  const open = { owner: ADMINISTRATORS, dacl: "D:NO_ACCESS_CONTROL" };
  assert.deepEqual(strangersWhoMayChange("above", open), ["WD"]);
});
