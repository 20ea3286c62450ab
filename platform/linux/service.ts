/** The text of our systemd units (systemd.service(5), systemd.exec(5)). Pure; installs nothing. */

/** Name of the agent's unit. */
export const AGENT_UNIT = "device-trust.service";

/** Name of the user-agent's template unit; the instance is the uid. */
export const USER_AGENT_TEMPLATE = "device-trust-user-agent@.service";

/** Name of the unit that runs the user-agent of one uid. */
export function userAgentUnitName(uid: number): string {
  return `device-trust-user-agent@${uid}.service`;
}

/** The agent's unit; `binary` is absolute. */
export function agentUnit(_binary: string): string {
  throw new Error("signature only");
}

/** The user-agent's template unit; `binary` is absolute. */
export function userAgentUnit(_binary: string): string {
  throw new Error("signature only");
}
