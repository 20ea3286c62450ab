/** What a user's store holds, as certutil sees it. */
import type { UserStatus } from "../agent/status.ts";
import { certutilKeys, certutilTrust } from "./nss_witness.ts";

/** Certificates as `NAME TRUST`, in order, and the number of private keys. */
export interface StoreContents {
  certificates: string[];
  keys: number;
}

/** What certutil sees of the database in a user's home. */
export async function storeContents(home: string): Promise<StoreContents> {
  const directory = `${home}/.pki/nssdb`;
  // In a copy, because certutil adds a file to a database that it looks at.
  const copy = await Deno.makeTempDir();
  try {
    for (const file of ["cert9.db", "key4.db"]) {
      await Deno.copyFile(`${directory}/${file}`, `${copy}/${file}`);
    }
    const certificates = Object.entries(certutilTrust(copy)).map(([name, trust]) =>
      `${name} ${trust}`
    );
    return { certificates: certificates.sort(), keys: certutilKeys(copy).length };
  } finally {
    await Deno.remove(copy, { recursive: true });
  }
}

/** What that user's bundle is to certutil. */
export function bundleOf(user: UserStatus | undefined): StoreContents {
  return {
    certificates: [
      `${user?.leafName} u,u,u`,
      "JumpCloud Production Device Identification Root CA ,,",
      "device-trust.intermediate ,,",
    ],
    keys: 1,
  };
}
