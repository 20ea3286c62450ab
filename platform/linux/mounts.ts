/** Which file system a path is on, by the kernel's mount table. Pure. */

/**
 * The type of the file system that holds `path` (absolute, links resolved), from the text of
 * `/proc/self/mountinfo` (proc(5)); undefined when no line covers it. Lines that make no sense are
 * skipped.
 */
export function fileSystemType(mountinfo: string, path: string): string | undefined {
  let best: { mountPoint: string; type: string } | undefined;
  for (const line of mountinfo.split("\n")) {
    const mount = parseMount(line);
    if (!mount || !covers(mount.mountPoint, path)) continue;
    // Of two on one mount point the later hides the earlier.
    if (!best || mount.mountPoint.length >= best.mountPoint.length) best = mount;
  }
  return best?.type;
}

/** Whether files of this type of file system are seen by other computers too. */
export function isNetworkFileSystem(type: string): boolean {
  return NETWORK.has(type.replace(/^fuse\./, ""));
}

/**
 * Network and cluster file systems, FUSE ones without their prefix. Folders of a virtual machine's
 * host (9p, virtiofs, vboxsf) are left out: one machine has them, and some have their root there.
 */
const NETWORK = new Set([
  ...["nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "auristorfs", "coda"],
  ...["ceph", "ceph-fuse", "lustre", "gpfs", "beegfs", "glusterfs", "orangefs", "pvfs2", "panfs"],
  ...["wekafs", "ocfs2", "gfs2", "juicefs", "moosefs", "mfs", "seaweedfs"],
  ...["sshfs", "davfs", "davfs2", "curlftpfs", "rclone", "s3fs", "goofys", "gcsfuse", "blobfuse"],
]);

function parseMount(line: string): { mountPoint: string; type: string } | undefined {
  const fields = line.split(" ");
  const separator = fields.indexOf("-", 6);
  const [mountPoint, type] = [fields[4], fields[separator + 1]];
  if (separator < 0 || !mountPoint?.startsWith("/") || !type) return undefined;
  return { mountPoint: unescape(mountPoint), type };
}

/** The kernel writes space, tab, line feed and backslash as octal. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)));
}

function covers(mountPoint: string, path: string): boolean {
  return mountPoint === "/" || path === mountPoint || path.startsWith(`${mountPoint}/`);
}
