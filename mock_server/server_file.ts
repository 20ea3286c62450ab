/** `server.json`: what whoever starts a mock agent server needs to use it (DESIGN section 7). */
import { z } from "zod";

/** The file's content; it holds the server's secrets and is 0600. */
export const ServerFile = z.object({
  agentUrl: z.string(),
  portalUrl: z.string(),
  adminToken: z.string(),
  connectKey: z.string(),
  /** Absolute path of the PEM of the authority of both listeners' certificates. */
  serverCa: z.string(),
});
export type ServerFile = z.infer<typeof ServerFile>;
