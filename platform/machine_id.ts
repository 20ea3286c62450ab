/** What tells one machine from another, as it may leave the machine. */

/** SHA-256 of a machine's id, lower-case hexadecimal: the id itself is for the machine alone. */
export async function hashedMachineId(id: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(id));
  return new Uint8Array(digest).toHex();
}
