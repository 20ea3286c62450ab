/** Who may use the admin API: whoever presents the admin token (RFC 6750, section 2.1). */
import { createHash, timingSafeEqual } from "node:crypto";
import type { MiddlewareHandler } from "hono";
import type { ServerContext, ServerEnv } from "./context.ts";
import { RequestProblem } from "./problems.ts";

/** Whether an `Authorization` field carries the admin token. */
export function hasAdminToken(
  context: Pick<ServerContext, "adminTokenHash">,
  authorization: string | undefined,
): boolean {
  const token = /^Bearer +([A-Za-z0-9._~+/-]+=*) *$/i.exec(authorization ?? "")?.[1];
  return isAdminToken(context, token ?? "") && token !== undefined;
}

/**
 * Whether that is the admin token. Takes the same time for every wrong one, because only hashes are
 * compared.
 */
export function isAdminToken(
  { adminTokenHash }: Pick<ServerContext, "adminTokenHash">,
  token: string,
): boolean {
  const presented = createHash("sha256").update(token).digest();
  return timingSafeEqual(presented, Uint8Array.fromHex(adminTokenHash));
}

/** Refuses with 401 whoever does not present the admin token. */
export function requireAdminToken(context: ServerContext): MiddlewareHandler<ServerEnv> {
  return async (c, next) => {
    if (!hasAdminToken(context, c.req.header("authorization"))) {
      throw new RequestProblem(
        "unauthorized",
        "Send 'Authorization: Bearer TOKEN' with the adminToken of the server's server.json",
        { headers: { "www-authenticate": 'Bearer realm="device-trust"' } },
      );
    }
    await next();
  };
}
