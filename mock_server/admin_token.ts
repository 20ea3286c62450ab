/** Who may use the admin API: whoever presents the admin token (RFC 6750, section 2.1). */
import { createHash, timingSafeEqual } from "node:crypto";
import type { MiddlewareHandler } from "hono";
import type { ServerContext, ServerEnv } from "./context.ts";
import { RequestProblem } from "./problems.ts";

/**
 * Whether an `Authorization` field carries the admin token. Takes the same time for every wrong
 * token, because only hashes are compared.
 */
export function hasAdminToken(
  { adminTokenHash }: Pick<ServerContext, "adminTokenHash">,
  authorization: string | undefined,
): boolean {
  const token = /^Bearer +([A-Za-z0-9._~+/-]+=*) *$/i.exec(authorization ?? "")?.[1];
  const presented = createHash("sha256").update(token ?? "").digest();
  const equal = timingSafeEqual(presented, Uint8Array.fromHex(adminTokenHash));
  return equal && token !== undefined;
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
