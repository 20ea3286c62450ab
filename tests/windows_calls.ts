/** Counts what is taken of Windows through FFI and what is given back. */

/** What is held between two calls of each pair; every name is a function that takes or gives. */
const PAIRS: readonly { takes: readonly string[]; gives: readonly string[] }[] = [
  { takes: ["CertOpenStore"], gives: ["CertCloseStore"] },
  { takes: ["CryptAcquireContextW"], gives: ["CryptReleaseContext"] },
  { takes: ["CryptGenKey", "CryptImportKey", "CryptGetUserKey"], gives: ["CryptDestroyKey"] },
  { takes: ["CryptCreateHash"], gives: ["CryptDestroyHash"] },
  // Enumeration frees what it is given: only what it ends with is taken.
  { takes: ["CertCreateCertificateContext"], gives: ["CertFreeCertificateContext"] },
  { takes: ["NCryptOpenKey", "NCryptImportKey"], gives: ["NCryptFreeObject", "NCryptDeleteKey"] },
  { takes: ["BCryptOpenAlgorithmProvider"], gives: ["BCryptCloseAlgorithmProvider"] },
  { takes: ["BCryptGenerateKeyPair"], gives: ["BCryptDestroyKey"] },
  { takes: ["RegOpenKeyExW", "RegCreateKeyExW"], gives: ["RegCloseKey"] },
  {
    takes: [
      ...["OpenProcess", "OpenProcessToken", "CreateToolhelp32Snapshot"],
      ...["CreateFileW", "NtCreateFile"],
    ],
    gives: ["CloseHandle"],
  },
  {
    takes: [
      ...["GetSecurityInfo", "ConvertStringSecurityDescriptorToSecurityDescriptorW"],
      ...["daclAtPointer", "daclOfBytes"],
    ],
    gives: ["LocalFree"],
  },
];

const INVALID_HANDLE_VALUE = 0xffffffffffffffffn;

/** CryptAcquireContext with it removes a container and gives no handle. */
const CRYPT_DELETEKEYSET = 0x10;

/**
 * From here on, counts the calls into libraries that are loaded later.
 *
 * @returns how many of each pair are held now, and how many were ever taken
 */
export function countWindowsCalls(): () => { held: Record<string, number>; taken: number } {
  const calls = new Map<string, number>();
  const load = Deno.dlopen;
  Object.assign(Deno, {
    dlopen(path: string, declared: Deno.ForeignLibraryInterface) {
      const library = load(path, declared);
      const symbols = Object.entries<unknown>(library.symbols).map(([name, call]) => {
        if (typeof call !== "function") throw new Error(`${name} is no function.`);
        return [name, (...args: unknown[]) => {
          const result: unknown = call(...args);
          if (succeeded(name, args, result)) calls.set(name, (calls.get(name) ?? 0) + 1);
          return result;
        }];
      });
      return { symbols: Object.fromEntries(symbols), close: () => library.close() };
    },
  });
  const sum = (names: readonly string[]) =>
    names.reduce((total, name) => total + (calls.get(name) ?? 0), 0);
  return () => ({
    held: Object.fromEntries(
      PAIRS.map(({ takes, gives }) => [takes.join(), sum(takes) - sum(gives)]),
    ),
    taken: sum(PAIRS.flatMap(({ takes }) => takes)),
  });
}

function succeeded(name: string, args: readonly unknown[], result: unknown): boolean {
  if (/^([NB]Crypt|Reg|GetSecurityInfo|NtCreateFile)/.test(name)) return result === 0;
  if (name === "LocalFree") return result === 0n;
  if (result === INVALID_HANDLE_VALUE) return false;
  if (name === "CryptAcquireContextW" && (Number(args[4]) & CRYPT_DELETEKEYSET) !== 0) return false;
  return result !== 0 && result !== 0n && result !== null;
}
