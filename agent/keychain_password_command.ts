/** `keychain-password`: what macOS asks for when another program wants to use the leaf's key. */
import { Problem } from "../platform/errors.ts";
import { type UserPlatform, userPlatform } from "../platform/platform.ts";
import { isThere } from "../platform/presence.ts";
import { EXIT } from "./exit.ts";
import { Ledger } from "./ledger.ts";
import { ledgerPath } from "./ledger_file.ts";
import type { Output } from "./output.ts";

/** Prints the calling user's own, alone on a line. @throws Problem where there is none */
export async function keychainPasswordCommand(
  root: string | undefined,
  output: Output,
): Promise<number> {
  const platform = await userPlatform(root);
  return await printKeychainPassword(platform, brandIn(ledgerPath(platform)), output);
}

/** The same on a platform that is given. */
export async function printKeychainPassword(
  platform: Pick<UserPlatform, "keychainPassword">,
  brand: string | undefined,
  output: Output,
): Promise<number> {
  if (!platform.keychainPassword) {
    throw new Problem("internal", "Only macOS keeps leaves in a keychain with a password.");
  }
  const password = brand === undefined ? undefined : await platform.keychainPassword(brand);
  if (password === undefined) {
    throw new Problem(
      "internal",
      "This user has no device certificate, and so no keychain for it. Run it as the user who has " +
        "one, without sudo: device-trust keychain-password",
    );
  }
  output.out(`${password}\n`);
  return EXIT.done;
}

/** The brand of the leaf that a ledger knows; undefined when it knows none. */
function brandIn(path: string): string | undefined {
  if (!isThere(path)) return undefined;
  const ledger = new Ledger(path, Date.now);
  try {
    const leaf = ledger.certificates().find(({ role }) => role === "leaf");
    return leaf?.commonName.split(" ")[0];
  } finally {
    ledger.close();
  }
}
