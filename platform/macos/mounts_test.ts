import assert from "node:assert/strict";
import { fileSystemType, isNetworkFileSystem } from "./mounts.ts";

const MOUNTS = `/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
devfs on /dev (devfs, local, nobrowse)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse, protect)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
//ada@server/homes on /Users/ada (smbfs, nodev, nosuid, mounted by ada)
server:/export/all on (odd) on /Volumes/all on one (nfs, nodev, nosuid)
/dev/disk4s1 on /Volumes/Stick (msdos, local, nodev, nosuid, noowners)
nonsense
`;

Deno.test("the file system of a path is that of the longest place above it", () => {
  const cases: [string, string | undefined][] = [
    ["/", "apfs"],
    ["/Users/grace", "apfs"],
    ["/Users/ada", "smbfs"],
    ["/Users/ada/Library", "smbfs"],
    ["/Users/adam", "apfs"],
    ["/home/eve", "autofs"],
    ["/System/Volumes/Data/home/eve", "autofs"],
    ["/System/Volumes/Data/Users/grace", "apfs"],
    ["/Volumes/all on one/x", "nfs"],
    ["/Volumes/Stick", "msdos"],
  ];
  for (const [path, type] of cases) assert.equal(fileSystemType(MOUNTS, path), type, path);
  assert.equal(fileSystemType("", "/Users/ada"), undefined);
});

Deno.test("what other computers see too is told from what is this Mac's own", () => {
  const shared = ["smbfs", "nfs", "apfs", "hfs", "autofs", "msdos"].filter(isNetworkFileSystem);
  assert.deepEqual(shared, ["smbfs", "nfs", "autofs"]);
});
