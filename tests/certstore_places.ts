/** Stores of Windows for tests, bundles in them, and all that could be left there or beside them. */
import { createHash, createPublicKey, verify } from "node:crypto";
import type { TrustStore } from "../platform/trust_store.ts";
import { type CertstoreStores, openCertstore } from "../platform/windows/certstore.ts";
import { keyProvider } from "../platform/windows/key_provider.ts";
import {
  type CertificateProperties,
  type StoreName,
  SystemStore,
} from "../platform/windows/system_store.ts";
import { dword, wide } from "../platform/windows/windows_memory.ts";
import type { ThrowawayCa } from "./throwaway_ca.ts";
import type { StorePlace } from "./trust_store_contract.ts";

/** The user's stores that browsers read, and one of the computer that nobody does. */
export const REAL_STORES: Required<CertstoreStores> = {
  root: { of: "machine", name: "DeviceTrustTest" },
  intermediate: { of: "user", name: "CA" },
  leaf: { of: "user", name: "MY" },
};

/** Stores that nobody has used; `dispose` removes them, and the keys that came since. */
export function newPlace(): StorePlace & { stores: Required<CertstoreStores> } {
  const keys = keyProvider();
  const before = keys.containers();
  const name = (role: string): StoreName => ({
    of: "user",
    name: `Test-${role}-${crypto.randomUUID()}`,
  });
  const stores = { root: name("Root"), intermediate: name("CA"), leaf: name("MY") };
  return {
    stores,
    open: () => openCertstore(stores),
    dispose() {
      Object.values(stores).forEach(unregister);
      for (const container of keys.containers()) {
        if (!before.includes(container)) keys.remove(container);
      }
    },
  };
}

/** What was put into a store, DER. */
export interface InstalledBundle {
  root: Uint8Array;
  intermediate: Uint8Array;
  leaf: Uint8Array;
  spki: Uint8Array;
}

/** Makes a key in the store and installs certificates called `Witnessed ROLE`. */
export async function install(store: TrustStore, ca: ThrowawayCa): Promise<InstalledBundle> {
  const spki = await store.createKey(keyProvider().algorithms[0], () => {});
  const bundle = {
    root: ca.selfSigned("/CN=Witnessed root"),
    intermediate: ca.selfSigned("/CN=Witnessed intermediate"),
    leaf: ca.issue(spki, { subject: "/CN=Witnessed leaf" }),
  };
  for (const role of ["root", "intermediate", "leaf"] as const) {
    await store.install(role, bundle[role]);
  }
  return { ...bundle, spki };
}

/** Removes all of it. */
export async function remove(store: TrustStore, bundle: InstalledBundle): Promise<void> {
  for (const role of ["leaf", "intermediate", "root"] as const) {
    await store.removeCertificate(sha256(bundle[role]));
  }
  await store.removeKey(sha256(bundle.spki));
}

/** Puts something there as another program would. */
export function plant(name: StoreName, der: Uint8Array, properties: CertificateProperties): void {
  using store = new SystemStore(name);
  store.add(der, properties);
  store.commit();
}

/** Whether a signature as `TrustStore.sign` makes it is of this message, by node:crypto. */
export function verifies(spki: Uint8Array, message: string, signature: Uint8Array): boolean {
  const key = createPublicKey({ key: Buffer.from(spki), type: "spki", format: "der" });
  return verify("sha256", Buffer.from(message), { key, dsaEncoding: "ieee-p1363" }, signature);
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The program that certstore_witness.c is, beside the tests. */
const WITNESS = ".\\certstore_witness.exe";

export function hasWitness(): boolean {
  try {
    return Deno.statSync(WITNESS).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** What it says of the first certificate of this name; nothing when there is none. */
export async function askWitness(
  { of, name }: StoreName,
  commonName: string,
  digest?: string,
): Promise<Partial<Record<string, string>>> {
  const { code, stdout, stderr } = await new Deno.Command(WITNESS, {
    args: [of, name, commonName, ...(digest === undefined ? [] : [digest])],
  }).output();
  if (code === 3) return {};
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  const lines = new TextDecoder().decode(stdout).trim().split(/\r?\n/);
  return Object.fromEntries(lines.map((line) => {
    const space = line.indexOf(" ");
    return [line.slice(0, space), line.slice(space + 1)];
  }));
}

/** How many handles this process holds; Wine always says 0. */
export function processHandles(): number {
  const kernel32 = Deno.dlopen("kernel32.dll", {
    GetCurrentProcess: { parameters: [], result: "usize" },
    GetProcessHandleCount: { parameters: ["usize", "buffer"], result: "i32" },
  });
  const count = dword();
  kernel32.symbols.GetProcessHandleCount(kernel32.symbols.GetCurrentProcess(), count);
  kernel32.close();
  return count[0] ?? 0;
}

/** Everything in these stores, with every property that we set, and every container. */
export function everything(stores: CertstoreStores): unknown {
  return {
    stores: Object.values(stores).map((name) => {
      using store = new SystemStore(name);
      return store.certificates();
    }),
    containers: keyProvider().containers().toSorted(),
  };
}

/** What the registry and the files hold of this user's certificates and keys. */
export async function whatIsLeft(): Promise<string> {
  const keys = ["HKCU\\Software\\Microsoft\\SystemCertificates", "HKCU\\Software\\Wine\\Crypto"];
  const texts = await Promise.all(keys.map(async (key) => {
    const { stdout } = await new Deno.Command("reg", { args: ["query", key, "/s"] }).output();
    return new TextDecoder().decode(stdout);
  }));
  const folder = `${Deno.env.get("APPDATA")}\\Microsoft`;
  const files = ["Crypto", "SystemCertificates"].flatMap((name) => filesIn(`${folder}\\${name}`));
  return [...texts, ...files].join("\n");
}

function filesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) =>
      isDirectory ? filesIn(`${folder}\\${name}`) : [`${folder}\\${name}`]
    ).toSorted();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function unregister({ of, name }: StoreName): void {
  if (of !== "user" || !name.startsWith("Test-")) throw new Error(`${name} is no test's store.`);
  const advapi32 = Deno.dlopen("advapi32.dll", {
    RegDeleteTreeW: { parameters: ["usize", "buffer"], result: "i32" },
  });
  const key = `Software\\Microsoft\\SystemCertificates\\${name}`;
  const status = advapi32.symbols.RegDeleteTreeW(HKEY_CURRENT_USER, wide(key));
  advapi32.close();
  if (status !== 0 && status !== ERROR_FILE_NOT_FOUND) {
    throw new Error(`The store ${name} cannot be removed: ${status}.`);
  }
}

const HKEY_CURRENT_USER = 0xffffffff80000001n;
const ERROR_FILE_NOT_FOUND = 2;
