/** The secrets in `server.json`: kept over restarts, nowhere else, in the store only as hashes. */
import { join } from "node:path";
import { newSecret, newUuid, type RandomBytes } from "./context.ts";
import { connectKeyHash } from "./enrollment.ts";
import { ServerFile } from "./server_file.ts";
import type { Store } from "./store.ts";

/** The admin token and the connect key that was made at first start. */
export type ServerSecrets = Pick<ServerFile, "adminToken" | "connectKey">;

const NAME = "server.json";

/**
 * Reads `server.json` of an earlier start; undefined when there is none. Throws when it cannot be
 * understood, because new secrets would lock out whoever has the old ones.
 */
export async function readServerFile(folder: string): Promise<ServerFile | undefined> {
  const path = join(folder, NAME);
  try {
    return ServerFile.parse(JSON.parse(await Deno.readTextFile(path)));
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw new Error(
      `Cannot read ${path}: restore it, or remove it to get a new admin token and connect key`,
      { cause },
    );
  }
}

/** Writes `server.json`, 0600, whole or not at all. */
export async function writeServerFile(folder: string, file: ServerFile): Promise<void> {
  const path = join(folder, NAME);
  const scratch = `${path}.new`;
  await Deno.remove(scratch).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  const text = `${JSON.stringify(file, null, 2)}\n`;
  await Deno.writeTextFile(scratch, text, { mode: 0o600, createNew: true });
  await Deno.rename(scratch, path);
}

/**
 * The secrets of an earlier start, or new ones. A connect key that an administrator revoked is not
 * brought back: another takes its place.
 */
export function keepSecrets(
  store: Store,
  known: ServerSecrets | undefined,
  { now, random }: { now: Date; random: RandomBytes },
): ServerSecrets {
  const adminToken = known?.adminToken ?? newSecret(random);
  const standing = known ? store.connectKeys.standing(connectKeyHash(known.connectKey)) : undefined;
  if (known && standing === "good") return { adminToken, connectKey: known.connectKey };
  const connectKey = known && standing === "unknown" ? known.connectKey : newSecret(random);
  store.connectKeys.add({
    connectKeyId: newUuid(random),
    hash: connectKeyHash(connectKey),
    createdAt: now.getTime(),
    expiresAt: null,
    maxUses: null,
  });
  return { adminToken, connectKey };
}
