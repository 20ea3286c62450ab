/** The device's state as it is opened for work: one that is damaged gives way to a new one. */
import { X509Certificate } from "node:crypto";
import { replaceDamaged } from "./damaged_database.ts";
import { DamagedDatabase } from "./database.ts";
import { lockFile, LockHeld } from "./lock.ts";
import { State } from "./state.ts";
import { MIGRATIONS } from "./state_schema.ts";

/**
 * Opens the state in `stateDir`, a folder that is there. A damaged one is set aside while no agent
 * holds it, and what can still be read of it goes on to count: at best nothing is lost but the last
 * desired state, which is asked for again. At worst the device is to be enrolled again, which its
 * key survives.
 *
 * @throws DamagedDatabase when an agent runs, who alone may set it aside
 * @throws NewerDatabase, Problem
 */
export function openState(stateDir: string, now: () => number): State {
  const path = `${stateDir}/state.db`;
  try {
    return new State(path, now);
  } catch (error) {
    if (!(error instanceof DamagedDatabase)) throw error;
    using lock = lockUnlessHeld(`${stateDir}/agent.lock`);
    if (!lock) throw error;
    const aside = replaceDamaged(path, { migrations: MIGRATIONS, tables: KEPT, now: now() });
    const state = new State(path, now);
    takeStock(state, aside);
    return state;
  }
}

/** The rest is asked for again. */
const KEPT = ["identity", "user", "created_directory", "device_certificate", "event"];

/** Drops what was read and makes no sense, and tells people what they have to know. */
function takeStock(state: State, aside: string): void {
  if (!canBeRead(() => state.users())) state.forgetDevice();
  const enrolled = canBeRead(() => {
    const { root = "", intermediate = "" } = state.device() ?? {};
    if (!new X509Certificate(intermediate).verify(new X509Certificate(root).publicKey)) {
      throw new Error("The anchors do not belong together.");
    }
  });
  const wasDamaged = `The agent's state was damaged; it is at ${aside} now.`;
  if (enrolled) {
    state.recordReplaced(wasDamaged);
    return;
  }
  const message = `${wasDamaged} Enrol this device again; its key is kept, so it stays the same: ` +
    "device-trust enroll --server URL --connect-key-file FILE";
  state.transaction(() => {
    state.forgetDevice();
    state.saveSync({ clockOffset: 0, error: { code: "internal", message } });
    state.recordReplaced(message);
  });
}

function canBeRead(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch {
    // That is what is asked.
    return false;
  }
}

function lockUnlessHeld(path: string): Disposable | undefined {
  try {
    return lockFile(path, "fail");
  } catch (error) {
    if (error instanceof LockHeld) return undefined;
    throw error;
  }
}
