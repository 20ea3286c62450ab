/** Where agent, worker and user-agents meet: Unix sockets in folders that belong to root. */
import type { SystemPaths } from "../platform/paths.ts";

/** The sockets of one account: the resident agent's, and two of the worker's while one runs. */
export interface AccountSockets {
  dir: string;
  /** Whoever can connect is that user (0600, owned by that uid); so with the next. */
  agent: string;
  worker: string;
  /** Where both doors lead to; root's. */
  channel: string;
}

/** Socket paths of an account. */
export function accountSockets(paths: SystemPaths, uid: string): AccountSockets {
  const dir = `${paths.usersRunDir}/${uid}`;
  const at = (name: string) => `${dir}/${name}.sock`;
  return { dir, agent: at("agent"), worker: at("worker"), channel: at("channel") };
}

/** Socket of the worker's part of the control channel; root alone reaches it. */
export function workerControlSocket(paths: SystemPaths): string {
  return `${paths.runDir}/worker.sock`;
}

/**
 * Opens a listening socket at `path` by calling `listen`, in place of whatever socket an agent
 * that was killed left there, reachable by its owner alone.
 *
 * @param owner uid of its owner; absent: the caller
 */
export function bindSocket<T>(path: string, owner: number | undefined, listen: () => T): T {
  removeSocket(path);
  const listener = listen();
  Deno.chmodSync(path, 0o600);
  if (owner !== undefined) Deno.chownSync(path, owner, null);
  return listener;
}

/** Removes a socket; absent is success. */
export function removeSocket(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
