/**
 * Folders with access lists of their own, and files that users put into them (kernel32.dll,
 * ntdll.dll), through FFI. What to make of a folder that is there is decided in access_rules.ts.
 */
import { win32 } from "node:path";
import { UnsafePath } from "../files.ts";
import { Problem } from "../errors.ts";
import { ADMINISTRATORS, type FoundFolder, judgeFolder, SYSTEM } from "./access_rules.ts";
import {
  attributesOf,
  daclOf,
  descriptorOf,
  ownIdentity,
  type Security,
  securityOf,
  setDacl,
} from "./security.ts";
import { LastError, WindowsError } from "./windows_errors.ts";
import { cell, dword, type Handle, struct, valueOf, wide } from "./windows_memory.ts";

/**
 * Sees that there is a folder with this descriptor, whose parent is there. One that was there before
 * is given the same list of accesses.
 *
 * @param descriptor SDDL, with owner and list
 * @param content `ours` when whatever is in it has to be of those who may own the folder
 * @throws UnsafePath when it is, or holds, what somebody else made
 * @throws Problem `internal`
 */
export function ensureFolder(path: string, descriptor: string, content: "ours" | "others"): void {
  const bytes = descriptorOf(descriptor);
  const made = kernel32().symbols.CreateDirectoryW(extended(path), attributesOf(bytes));
  if (made !== 0) return;
  const failure = kernel32().failure("CreateDirectoryW");
  try {
    using folder = open(path, FILE_READ_ATTRIBUTES | READ_CONTROL | WRITE_DAC);
    if (!folder) throw failure;
    const owners = trustedOwners();
    const found: FoundFolder = { ...kindOf(folder.handle), ...securityOf(folder.handle) };
    const verdict = judgeFolder(found, daclOf(bytes), owners);
    if (typeof verdict === "object") refuse(path, verdict.refused);
    if (verdict === "right") return;
    setDacl(folder.handle, bytes);
    // Whoever could write there before may have done so.
    if (content === "ours") refuseStrangers(path, owners);
  } catch (error) {
    throw folderProblem(path, error);
  }
}

/** Owner and list of accesses of a file or folder; a link's own. Undefined when nothing is there. */
export function readSecurity(path: string): Security | undefined {
  using found = open(path, READ_CONTROL);
  return found && securityOf(found.handle);
}

/**
 * The bytes of a file in a folder that a user may write: a regular file under one name, of at most
 * `maxBytes`. No link of any kind is followed, and nothing that the user does with the file makes
 * this wait. Undefined when it is gone.
 *
 * @throws UnsafePath for anything else
 */
export function readUserFile(path: string, maxBytes: number): Uint8Array | undefined {
  try {
    using file = openUserFile(path);
    if (!file) return undefined;
    const { isDirectory, isReparsePoint, links } = kindOf(file.handle);
    if (isDirectory) throw new UnsafePath(path, `${path} is a folder, not a file`);
    if (isReparsePoint) throw new UnsafePath(path, `${path} is a link, not a file`);
    if (links !== 1) throw new UnsafePath(path, `${path} is a file with ${links} names`);
    return readBounded(file.handle, path, maxBytes);
  } catch (error) {
    if (!(error instanceof WindowsError)) throw error;
    throw new UnsafePath(path, `${path} cannot be read: ${error.message}`, { cause: error });
  }
}

/**
 * Makes a file that nobody else can open until what is returned is disposed of, or this process
 * ends: with that it goes. Undefined when another process has it.
 *
 * @throws WindowsError
 */
export function holdFile(path: string): Disposable | undefined {
  const handle = kernel32().symbols.CreateFileW(
    extended(path),
    GENERIC_WRITE,
    SHARE_NOTHING,
    null,
    OPEN_ALWAYS,
    FILE_ATTRIBUTE_HIDDEN | FILE_FLAG_DELETE_ON_CLOSE,
    0n,
  );
  if (handle !== INVALID_HANDLE) return held(handle);
  const failure = kernel32().failure("CreateFileW");
  // The second: it is just going.
  if (failure.code === ERROR_SHARING_VIOLATION || failure.code === ERROR_ACCESS_DENIED) {
    return undefined;
  }
  throw failure;
}

type Held = { handle: Handle } & Disposable;

/** Opens what is at a path, a link itself; undefined when nothing is. */
function open(path: string, access: number): Held | undefined {
  const handle = kernel32().symbols.CreateFileW(
    extended(path),
    access,
    SHARE_ALL,
    null,
    OPEN_EXISTING,
    FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT,
    0n,
  );
  if (handle !== INVALID_HANDLE) return held(handle);
  const failure = kernel32().failure("CreateFileW");
  if (failure.code === ERROR_FILE_NOT_FOUND || failure.code === ERROR_PATH_NOT_FOUND) {
    return undefined;
  }
  throw failure;
}

/**
 * Opens a file with NtCreateFile, because a user can hold a file so that CreateFile waits for as
 * long as the user likes (an oplock), and this call alone says so instead.
 */
function openUserFile(path: string): Held | undefined {
  const name = wide(`\\??\\${win32.resolve(path)}`);
  const lengths = (name.length << 16) | (name.length - 2);
  // OBJECT_ATTRIBUTES, then the UNICODE_STRING that it points at: two lengths in bytes, the text.
  const attributes = struct(64, [
    { at: 0, dword: 48 },
    { at: 16, inside: 48 },
    { at: 24, dword: OBJ_CASE_INSENSITIVE },
    { at: 48, dword: lengths },
    { at: 56, bytes: name },
  ]);
  const handle = cell();
  const status = kernel32().ntdll.NtCreateFile(
    handle,
    FILE_READ_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE,
    attributes,
    new Uint8Array(16),
    null,
    0,
    SHARE_ALL,
    FILE_OPEN,
    FILE_OPEN_REPARSE_POINT | FILE_SYNCHRONOUS_IO_NONALERT | FILE_COMPLETE_IF_OPLOCKED,
    null,
    0,
  ) >>> 0;
  if (status === STATUS_NOT_FOUND || status === STATUS_PATH_NOT_FOUND) return undefined;
  if (status >= ERRORS_BEGIN) throw new WindowsError("NtCreateFile", status);
  const file = held(valueOf(handle));
  if (status === 0) return file;
  file[Symbol.dispose]();
  throw new WindowsError("NtCreateFile", status);
}

function readBounded(handle: Handle, path: string, maxBytes: number): Uint8Array {
  const bytes = new Uint8Array(maxBytes + 1);
  for (let length = 0;;) {
    const count = dword();
    const rest = bytes.subarray(length);
    const ok = kernel32().symbols.ReadFile(handle, rest, rest.length, count, null);
    kernel32().check("ReadFile", ok);
    if (count[0] === 0) return bytes.slice(0, length);
    length += count[0] ?? 0;
    if (length > maxBytes) throw new UnsafePath(path, `${path} is larger than ${maxBytes} bytes`);
  }
}

/** From BY_HANDLE_FILE_INFORMATION: attributes at 0, names at 40. */
function kindOf(
  handle: Handle,
): { isDirectory: boolean; isReparsePoint: boolean; links: number } {
  const information = new Uint8Array(52);
  const ok = kernel32().symbols.GetFileInformationByHandle(handle, information);
  kernel32().check("GetFileInformationByHandle", ok);
  const view = new DataView(information.buffer);
  const attributes = view.getUint32(0, true);
  return {
    isDirectory: (attributes & FILE_ATTRIBUTE_DIRECTORY) !== 0,
    isReparsePoint: (attributes & FILE_ATTRIBUTE_REPARSE_POINT) !== 0,
    links: view.getUint32(40, true),
  };
}

/** Whoever has no administrator's rights has nothing that its own user could gain by a plant. */
function trustedOwners(): string[] {
  const { user, owner, isElevated } = ownIdentity();
  return [SYSTEM, ADMINISTRATORS, owner, ...isElevated ? [] : [user]];
}

function refuseStrangers(folder: string, owners: readonly string[]): void {
  for (const { name } of Deno.readDirSync(folder)) {
    const path = win32.join(folder, name);
    const owner = readSecurity(path)?.owner;
    if (owner !== undefined && !owners.includes(owner)) refuse(path, `belongs to ${owner}`);
  }
}

function refuse(path: string, why: string): never {
  throw new UnsafePath(
    path,
    `${path} ${why}, and was there before this program made it: remove it, or have an ` +
      "administrator take ownership of it (takeown /a)",
  );
}

function folderProblem(path: string, error: unknown): unknown {
  if (!(error instanceof WindowsError)) return error;
  const advice = error.code === ERROR_PATH_NOT_FOUND
    ? `${win32.dirname(path)} is not there`
    : "run this as an administrator";
  return new Problem("internal", `Cannot make the folder ${path}: ${error.message}; ${advice}.`, {
    cause: error,
  });
}

/** As Windows takes paths of any length: whole, with its own separators, as they are. */
function extended(path: string): Uint8Array<ArrayBuffer> {
  return wide(`\\\\?\\${win32.resolve(path)}`);
}

function held(handle: Handle): Held {
  return { handle, [Symbol.dispose]: () => void kernel32().symbols.CloseHandle(handle) };
}

const INVALID_HANDLE = 0xffffffffffffffffn;
const READ_CONTROL = 0x20000;
const WRITE_DAC = 0x40000;
const SYNCHRONIZE = 0x100000;
const FILE_READ_DATA = 0x1;
const FILE_READ_ATTRIBUTES = 0x80;
/** Reading, writing, deleting. */
const SHARE_ALL = 7;
const SHARE_NOTHING = 0;
const OPEN_EXISTING = 3;
const OPEN_ALWAYS = 4;
const GENERIC_WRITE = 0x40000000;
const FILE_ATTRIBUTE_HIDDEN = 0x2;
const FILE_FLAG_DELETE_ON_CLOSE = 0x04000000;
const FILE_FLAG_BACKUP_SEMANTICS = 0x02000000;
const FILE_FLAG_OPEN_REPARSE_POINT = 0x00200000;
const FILE_ATTRIBUTE_DIRECTORY = 0x10;
const FILE_ATTRIBUTE_REPARSE_POINT = 0x400;
const OBJ_CASE_INSENSITIVE = 0x40;
const FILE_OPEN = 1;
const FILE_SYNCHRONOUS_IO_NONALERT = 0x20;
const FILE_COMPLETE_IF_OPLOCKED = 0x100;
const FILE_OPEN_REPARSE_POINT = 0x200000;
const ERROR_FILE_NOT_FOUND = 2;
const ERROR_PATH_NOT_FOUND = 3;
const ERROR_ACCESS_DENIED = 5;
const ERROR_SHARING_VIOLATION = 0x20;
const STATUS_NOT_FOUND = 0xc0000034;
const STATUS_PATH_NOT_FOUND = 0xc000003a;
/** NTSTATUS: from here on nothing was opened; below, 0 alone is without reservations. */
const ERRORS_BEGIN = 0xc0000000;

class Kernel32 extends LastError {
  readonly symbols = Deno.dlopen("kernel32.dll", {
    CreateDirectoryW: { parameters: ["buffer", "buffer"], result: "i32" },
    CreateFileW: {
      parameters: ["buffer", "u32", "u32", "pointer", "u32", "u32", "usize"],
      result: "usize",
    },
    GetFileInformationByHandle: { parameters: ["usize", "buffer"], result: "i32" },
    ReadFile: { parameters: ["usize", "buffer", "u32", "buffer", "pointer"], result: "i32" },
    CloseHandle: { parameters: ["usize"], result: "i32" },
  }).symbols;

  readonly ntdll = Deno.dlopen("ntdll.dll", {
    NtCreateFile: {
      parameters: [
        ...["buffer", "u32", "buffer", "buffer", "pointer", "u32"] as const,
        ...["u32", "u32", "u32", "pointer", "u32"] as const,
      ],
      result: "i32",
    },
  }).symbols;

  static #loaded: Kernel32 | undefined;

  static load(): Kernel32 {
    return Kernel32.#loaded ??= new Kernel32();
  }
}

/** The libraries; they stay loaded for the life of the process. */
function kernel32(): Kernel32 {
  return Kernel32.load();
}
