/** A lock that the operating system releases when its holder ends, however it ends. */

/** Somebody else holds the lock. */
export class LockHeld extends Error {
  override readonly name = "LockHeld";
  constructor(readonly path: string, readonly holder: string) {
    super(`Another agent runs on this device${holder ? ` (pid ${holder})` : ""}.`);
  }
}

/**
 * Takes the lock file at `path`, which then holds this process's id.
 *
 * @param mode `fail` to throw at once, `wait` to block until it is free
 * @throws LockHeld
 */
export function lockFile(path: string, mode: "fail" | "wait"): Disposable {
  const file = Deno.openSync(path, { read: true, write: true, create: true, mode: 0o600 });
  try {
    if (mode === "wait") file.lockSync(true);
    else if (!file.tryLockSync(true)) throw new LockHeld(path, Deno.readTextFileSync(path).trim());
    file.truncateSync(0);
    file.writeSync(new TextEncoder().encode(`${Deno.pid}\n`));
  } catch (error) {
    file.close();
    throw error;
  }
  return { [Symbol.dispose]: () => file.close() };
}

/** Who holds the lock file at `path`; undefined when nobody does. */
export function lockHolder(path: string): { pid?: number } | undefined {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true, write: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  try {
    if (file.tryLockSync(true)) return undefined;
    const pid = Number(Deno.readTextFileSync(path).trim());
    return Number.isInteger(pid) && pid > 0 ? { pid } : {};
  } finally {
    file.close();
  }
}
