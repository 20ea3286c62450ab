/** Identities and security descriptors (advapi32.dll), through FFI: checked calls, no policy. */
import { checkStatus, LastError, WindowsError } from "./windows_errors.ts";
import {
  bytesBehind,
  cell,
  dword,
  type Handle,
  readWide,
  struct,
  valueOf,
  wide,
} from "./windows_memory.ts";

/** An account by its name, as Windows knows it. */
export interface NamedAccount {
  sid: string;
  /** SID_NAME_USE: 1 is a user. */
  use: number;
}

/** Who owns something, and its list of accesses as SDDL. */
export interface Security {
  owner: string;
  dacl: string;
}

/** What a process runs as. */
export interface ProcessIdentity {
  /** SID of its user. */
  user: string;
  /** SID that owns what it makes. */
  owner: string;
  /** Whether it has an administrator's rights now. */
  isElevated: boolean;
}

/** Finds the account that Windows understands a name to be; undefined when it knows none. */
export function findAccount(name: string): NamedAccount | undefined {
  const [sidSize, domainLength, use] = [dword(MAX_SID), dword(256), dword()];
  const sid = new Uint8Array(MAX_SID);
  const found = advapi32().symbols.LookupAccountNameW(
    null,
    wide(name),
    sid,
    sidSize,
    new Uint8Array(2 * 256),
    domainLength,
    use,
  );
  if (found !== 0) return { sid: sidText(sid), use: use[0] ?? 0 };
  const failure = advapi32().failure("LookupAccountNameW");
  if (failure.code === ERROR_NONE_MAPPED) return undefined;
  throw failure;
}

/** What this process runs as. @throws WindowsError */
export function ownIdentity(): ProcessIdentity {
  return identityOf(CURRENT_PROCESS);
}

/** SID of the user whom a process runs as. @param process a handle @throws WindowsError */
export function userOf(process: Handle): string {
  using token = openToken(process);
  return sidText(bytesBehind(information(token.handle, TOKEN_USER), 0));
}

/** Owner and list of accesses behind a handle with READ_CONTROL. @throws WindowsError */
export function securityOf(handle: Handle): Security {
  const [owner, descriptor] = [cell(), cell()];
  const status = advapi32().symbols.GetSecurityInfo(
    handle,
    SE_FILE_OBJECT,
    OWNER | DACL,
    owner,
    null,
    null,
    null,
    descriptor,
  );
  checkStatus("GetSecurityInfo", status);
  const pointer = Deno.UnsafePointer.create(valueOf(descriptor));
  try {
    const write = (out: BigUint64Array<ArrayBuffer>) =>
      advapi32().symbols.daclAtPointer(pointer, SDDL_REVISION_1, DACL, out, null);
    return { owner: sidAt(valueOf(owner)), dacl: daclText(write) };
  } finally {
    advapi32().free(valueOf(descriptor));
  }
}

/** Gives what a handle with WRITE_DAC is of this list alone; nothing is inherited any more. */
export function setDacl(handle: Handle, descriptor: Uint8Array<ArrayBuffer>): void {
  const at = new DataView(descriptor.buffer).getUint32(DACL_OFFSET, true);
  const status = advapi32().symbols.SetSecurityInfo(
    handle,
    SE_FILE_OBJECT,
    (DACL | PROTECTED_DACL) >>> 0,
    null,
    null,
    descriptor.slice(at),
    null,
  );
  checkStatus("SetSecurityInfo", status);
}

/** A security descriptor of SDDL, all in one piece. @throws WindowsError when it is none */
export function descriptorOf(sddl: string): Uint8Array<ArrayBuffer> {
  const [made, size] = [cell(), dword()];
  const ok = advapi32().symbols.ConvertStringSecurityDescriptorToSecurityDescriptorW(
    wide(sddl),
    SDDL_REVISION_1,
    made,
    size,
  );
  advapi32().check("ConvertStringSecurityDescriptorToSecurityDescriptorW", ok);
  const pointer = Deno.UnsafePointer.create(valueOf(made));
  try {
    if (pointer === null) return new Uint8Array();
    const bytes = new Deno.UnsafePointerView(pointer).getArrayBuffer(size[0] ?? 0);
    return new Uint8Array(bytes).slice();
  } finally {
    advapi32().free(valueOf(made));
  }
}

/** The list of accesses of a descriptor, as Windows writes it. */
export function daclOf(descriptor: Uint8Array<ArrayBuffer>): string {
  return daclText((out) =>
    advapi32().symbols.daclOfBytes(descriptor, SDDL_REVISION_1, DACL, out, null)
  );
}

/** SECURITY_ATTRIBUTES of a descriptor: what makes something takes them. */
export function attributesOf(descriptor: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return struct(24, [{ at: 0, dword: 24 }, { at: 8, bytes: descriptor }]);
}

/** The text of a SID's bytes (MS-DTYP 2.4.2). */
export function sidText(sid: Uint8Array<ArrayBuffer>): string {
  const view = new DataView(sid.buffer, sid.byteOffset);
  const authority = view.getUint16(2) * 2 ** 32 + view.getUint32(4);
  const parts = Array.from(
    { length: view.getUint8(1) },
    (_, index) => view.getUint32(8 + 4 * index, true),
  );
  return ["S", view.getUint8(0), authority, ...parts].join("-");
}

const MAX_SID = 68;
const ERROR_NONE_MAPPED = 0x534;
const CURRENT_PROCESS = 0xffffffffffffffffn;
const TOKEN_QUERY = 0x8;
/** TOKEN_INFORMATION_CLASS. */
const TOKEN_USER = 1;
const TOKEN_OWNER = 4;
const TOKEN_ELEVATION = 20;
const SE_FILE_OBJECT = 1;
const OWNER = 0x1;
const DACL = 0x4;
const PROTECTED_DACL = 0x80000000;
const SDDL_REVISION_1 = 1;
/** Of SECURITY_DESCRIPTOR_RELATIVE. */
const DACL_OFFSET = 16;

class Advapi32 extends LastError {
  readonly symbols = Deno.dlopen("advapi32.dll", {
    OpenProcessToken: { parameters: ["usize", "u32", "buffer"], result: "i32" },
    GetTokenInformation: {
      parameters: ["usize", "u32", "buffer", "u32", "buffer"],
      result: "i32",
    },
    LookupAccountNameW: {
      parameters: ["pointer", "buffer", "buffer", "buffer", "buffer", "buffer", "buffer"],
      result: "i32",
    },
    GetSecurityInfo: {
      parameters: [
        ...["usize", "u32", "u32", "buffer"] as const,
        ...["pointer", "pointer", "pointer", "buffer"] as const,
      ],
      result: "u32",
    },
    SetSecurityInfo: {
      parameters: ["usize", "u32", "u32", "pointer", "pointer", "buffer", "pointer"],
      result: "u32",
    },
    ConvertStringSecurityDescriptorToSecurityDescriptorW: {
      parameters: ["buffer", "u32", "buffer", "buffer"],
      result: "i32",
    },
    // The same call, on what Windows holds and on what we hold.
    daclAtPointer: {
      name: "ConvertSecurityDescriptorToStringSecurityDescriptorW",
      parameters: ["pointer", "u32", "u32", "buffer", "pointer"],
      result: "i32",
    },
    daclOfBytes: {
      name: "ConvertSecurityDescriptorToStringSecurityDescriptorW",
      parameters: ["buffer", "u32", "u32", "buffer", "pointer"],
      result: "i32",
    },
  }).symbols;

  readonly #kernel32 = Deno.dlopen("kernel32.dll", {
    CloseHandle: { parameters: ["usize"], result: "i32" },
    LocalFree: { parameters: ["usize"], result: "usize" },
  }).symbols;

  close(handle: Handle): void {
    this.#kernel32.CloseHandle(handle);
  }

  free(memory: Handle): void {
    this.#kernel32.LocalFree(memory);
  }

  static #loaded: Advapi32 | undefined;

  static load(): Advapi32 {
    return Advapi32.#loaded ??= new Advapi32();
  }
}

/** The library; it stays loaded for the life of the process. */
function advapi32(): Advapi32 {
  return Advapi32.load();
}

function identityOf(process: Handle): ProcessIdentity {
  using token = openToken(process);
  const elevation = information(token.handle, TOKEN_ELEVATION);
  return {
    user: sidText(bytesBehind(information(token.handle, TOKEN_USER), 0)),
    owner: sidText(bytesBehind(information(token.handle, TOKEN_OWNER), 0)),
    isElevated: elevation[0] !== 0,
  };
}

function openToken(process: Handle): { handle: Handle } & Disposable {
  const token = cell();
  const opened = advapi32().symbols.OpenProcessToken(process, TOKEN_QUERY, token);
  advapi32().check("OpenProcessToken", opened);
  const handle = valueOf(token);
  return { handle, [Symbol.dispose]: () => advapi32().close(handle) };
}

function information(token: Handle, kind: number): Uint8Array<ArrayBuffer> {
  // A SID, and the structure that points at it.
  const bytes = new Uint8Array(16 + MAX_SID);
  const { GetTokenInformation } = advapi32().symbols;
  const ok = GetTokenInformation(token, kind, bytes, bytes.length, dword());
  advapi32().check("GetTokenInformation", ok);
  return bytes;
}

/** What is behind an address that Windows gave. */
function sidAt(address: Handle): string {
  const pointer = Deno.UnsafePointer.create(address);
  if (pointer === null) throw new WindowsError("GetSecurityInfo", ERROR_INVALID_OWNER);
  const view = new Deno.UnsafePointerView(pointer);
  const length = 8 + 4 * view.getUint8(1);
  return sidText(new Uint8Array(view.getArrayBuffer(length)).slice());
}

const ERROR_INVALID_OWNER = 0x51b;

/** The text that this call makes. */
function daclText(write: (out: BigUint64Array<ArrayBuffer>) => number): string {
  const text = cell();
  advapi32().check("ConvertSecurityDescriptorToStringSecurityDescriptorW", write(text));
  try {
    return readWide(Deno.UnsafePointer.create(valueOf(text)));
  } finally {
    advapi32().free(valueOf(text));
  }
}
