/**
 * {@link SecurityFramework} through Deno FFI: Security and CoreFoundation, one checked call each.
 *
 * Not run yet: nothing that this project is built on runs macOS. Names, types and rules of ownership
 * are those of Apple's headers: what a function with Create or Copy in its name gives is released
 * here, constants are not.
 */
import { KeyAccessLost, Problem } from "../errors.ts";
import type { KeychainKey, SecurityFramework } from "./security_framework.ts";

/** The frameworks of this Mac. @throws Problem `internal` when they cannot be loaded */
export function loadSecurityFramework(): SecurityFramework {
  const { sec, cf } = openFrameworks();
  // For the whole process: no call of it may put a dialog on the user's screen.
  check("SecKeychainSetUserInteractionAllowed", sec.SecKeychainSetUserInteractionAllowed(0));
  return {
    isLocked(keychain) {
      using pool = new Pool(cf.CFRelease);
      const status = new Uint32Array(1);
      const code = sec.SecKeychainGetStatus(openKeychain(keychain, pool), bytesOf(status));
      if (code === errSecNoSuchKeychain) return false;
      check("SecKeychainGetStatus", code);
      return ((status[0] ?? 0) & kSecUnlockStateStatus) === 0;
    },
    sign(key, message) {
      using pool = new Pool(cf.CFRelease);
      const algorithm = constant(
        key.kind === "RSA"
          ? sec.kSecKeyAlgorithmRSASignatureMessagePKCS1v15SHA256
          : sec.kSecKeyAlgorithmECDSASignatureMessageX962SHA256,
      );
      const failure = pointerCell();
      const signature = sec.SecKeyCreateSignature(
        findKey(key, pool),
        algorithm,
        data(message, pool),
        bytesOf(failure),
      );
      if (signature === null) throw signProblem(key, pool.own(readCell(failure)));
      return copyData(pool.own(signature));
    },
  };

  function openKeychain(path: string, pool: Pool): Deno.PointerValue {
    const out = pointerCell();
    check("SecKeychainOpen", sec.SecKeychainOpen(cString(path), bytesOf(out)));
    return pool.own(readCell(out));
  }

  function findKey({ keychain, label }: KeychainKey, pool: Pool): Deno.PointerValue {
    const keychains = pool.own(
      cf.CFArrayCreate(null, cells([openKeychain(keychain, pool)]), 1n, cf.kCFTypeArrayCallBacks),
    );
    const query: [Deno.PointerValue, Deno.PointerValue][] = [
      [constant(sec.kSecClass), constant(sec.kSecClassKey)],
      [constant(sec.kSecAttrKeyClass), constant(sec.kSecAttrKeyClassPrivate)],
      [constant(sec.kSecAttrApplicationLabel), data(Uint8Array.fromHex(label), pool)],
      [constant(sec.kSecMatchSearchList), keychains],
      [constant(sec.kSecMatchLimit), constant(sec.kSecMatchLimitOne)],
      [constant(sec.kSecReturnRef), constant(cf.kCFBooleanTrue)],
    ];
    const dictionary = pool.own(cf.CFDictionaryCreate(
      null,
      cells(query.map(([name]) => name)),
      cells(query.map(([, value]) => value)),
      BigInt(query.length),
      cf.kCFTypeDictionaryKeyCallBacks,
      cf.kCFTypeDictionaryValueCallBacks,
    ));
    const out = pointerCell();
    const code = sec.SecItemCopyMatching(dictionary, bytesOf(out));
    if (code === errSecItemNotFound) {
      throw new Problem("internal", `There is no key ${label} in ${keychain} to sign with.`);
    }
    check("SecItemCopyMatching", code);
    return pool.own(readCell(out));
  }

  function signProblem(key: KeychainKey, error: Deno.PointerValue): Problem {
    const code = error === null ? 0 : Number(cf.CFErrorGetCode(error));
    const cause = new Error(`SecKeyCreateSignature: ${code}`);
    if (DENIED.has(code)) return new KeyAccessLost(key.label, { cause });
    return new Problem("internal", `Cannot sign with the key ${key.label} (${code}).`, { cause });
  }

  function data(bytes: Uint8Array, pool: Pool): Deno.PointerValue {
    return pool.own(cf.CFDataCreate(null, new Uint8Array(bytes), BigInt(bytes.length)));
  }

  function copyData(object: Deno.PointerValue): Uint8Array {
    const start = cf.CFDataGetBytePtr(object);
    if (start === null) throw new Problem("internal", "SecKeyCreateSignature gave no bytes.");
    const length = Number(cf.CFDataGetLength(object));
    return new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(start, length)).slice();
  }
}

const errSecItemNotFound = -25300;
const errSecNoSuchKeychain = -25294;
const kSecUnlockStateStatus = 1;
/**
 * errSecInteractionNotAllowed, errSecAuthFailed, errSecUserCanceled, and of the CSP below:
 * OPERATION_AUTH_DENIED, NO_USER_INTERACTION, USER_CANCELED.
 */
const DENIED: ReadonlySet<number> = new Set([
  ...[-25308, -25293, -128],
  ...[-2147416032, -2147415840, -2147415839],
]);

const FRAMEWORKS = "/System/Library/Frameworks";
const constants = { type: "pointer" } as const;

const SECURITY_SYMBOLS = {
  SecKeychainSetUserInteractionAllowed: { parameters: ["u8"], result: "i32" },
  SecKeychainOpen: { parameters: ["buffer", "buffer"], result: "i32" },
  SecKeychainGetStatus: { parameters: ["pointer", "buffer"], result: "i32" },
  SecItemCopyMatching: { parameters: ["pointer", "buffer"], result: "i32" },
  SecKeyCreateSignature: {
    parameters: ["pointer", "pointer", "pointer", "buffer"],
    result: "pointer",
  },
  kSecClass: constants,
  kSecClassKey: constants,
  kSecAttrKeyClass: constants,
  kSecAttrKeyClassPrivate: constants,
  kSecAttrApplicationLabel: constants,
  kSecMatchSearchList: constants,
  kSecMatchLimit: constants,
  kSecMatchLimitOne: constants,
  kSecReturnRef: constants,
  kSecKeyAlgorithmECDSASignatureMessageX962SHA256: constants,
  kSecKeyAlgorithmRSASignatureMessagePKCS1v15SHA256: constants,
} as const;

const CORE_FOUNDATION_SYMBOLS = {
  CFRelease: { parameters: ["pointer"], result: "void" },
  CFDataCreate: { parameters: ["pointer", "buffer", "i64"], result: "pointer" },
  CFDataGetLength: { parameters: ["pointer"], result: "i64" },
  CFDataGetBytePtr: { parameters: ["pointer"], result: "pointer" },
  CFArrayCreate: { parameters: ["pointer", "buffer", "i64", "pointer"], result: "pointer" },
  CFDictionaryCreate: {
    parameters: ["pointer", "buffer", "buffer", "i64", "pointer", "pointer"],
    result: "pointer",
  },
  CFErrorGetCode: { parameters: ["pointer"], result: "i64" },
  // Structures: their address is what is wanted. The others hold an object.
  kCFTypeArrayCallBacks: constants,
  kCFTypeDictionaryKeyCallBacks: constants,
  kCFTypeDictionaryValueCallBacks: constants,
  kCFBooleanTrue: constants,
} as const;

function openFrameworks() {
  const path = (name: string) => `${FRAMEWORKS}/${name}.framework/${name}`;
  try {
    return {
      sec: Deno.dlopen(path("Security"), SECURITY_SYMBOLS).symbols,
      cf: Deno.dlopen(path("CoreFoundation"), CORE_FOUNDATION_SYMBOLS).symbols,
    };
  } catch (cause) {
    throw new Problem("internal", "The macOS framework Security cannot be loaded.", { cause });
  }
}

/** Releases in the end what was given to be owned. */
class Pool implements Disposable {
  readonly #objects: Deno.PointerObject[] = [];
  constructor(private readonly release: (object: Deno.PointerValue) => void) {}

  own(object: Deno.PointerValue): Deno.PointerObject {
    if (object === null) throw new Problem("internal", "A macOS framework gave no object.");
    this.#objects.push(object);
    return object;
  }

  [Symbol.dispose](): void {
    for (const object of this.#objects.toReversed()) this.release(object);
  }
}

/** The object that a framework's constant holds; FFI gives the constant's address. */
function constant(address: Deno.PointerValue): Deno.PointerValue {
  return address === null ? null : new Deno.UnsafePointerView(address).getPointer(0);
}

function pointerCell(): BigUint64Array<ArrayBuffer> {
  return new BigUint64Array(1);
}

function readCell(cell: BigUint64Array): Deno.PointerValue {
  return Deno.UnsafePointer.create(cell[0] ?? 0n);
}

function cells(pointers: readonly Deno.PointerValue[]): Uint8Array<ArrayBuffer> {
  return bytesOf(BigUint64Array.from(pointers, (pointer) => Deno.UnsafePointer.value(pointer)));
}

/** The same memory as bytes: what is written into them is seen in the cell. */
function bytesOf(
  cell: BigUint64Array<ArrayBuffer> | Uint32Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  return new Uint8Array(cell.buffer);
}

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}

function check(call: string, code: number): void {
  if (code !== 0) throw new Problem("internal", `The macOS call ${call} failed (${code}).`);
}
