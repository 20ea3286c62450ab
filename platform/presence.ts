/** Whether something is there. */

/** Whether anything is at `path`, a link too; what else the system says is thrown. */
export function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
