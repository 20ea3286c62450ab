/** `GET /v1/crl`: which leaves are revoked, signed by the intermediate. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { signCrl } from "../ca/revoke.ts";
import type { ServerContext } from "./context.ts";
import type { DeviceEnv } from "./device_authentication.ts";

/** How long a list is good for; a new one is signed at half of it, and at every revocation. */
const VALID_MS = 24 * 3_600_000;

/** Adds the route. */
export function revocationRoutes(app: OpenAPIHono<DeviceEnv>, context: ServerContext): void {
  const list = new RevocationList(context);
  const route = createRoute({
    method: "get",
    path: "/v1/crl",
    summary: "The certificate revocation list, DER",
    responses: {
      200: {
        description: "The list (RFC 5280, section 5)",
        content: { "application/pkix-crl": { schema: z.string().openapi({ format: "binary" }) } },
      },
    },
  });
  app.openapi(route, async (c) => {
    const der = await list.current();
    return c.body(der, 200, {
      "content-type": "application/pkix-crl",
      "cache-control": "no-cache",
    });
  });
}

/** The list that is being served, and the work of signing the next. */
class RevocationList {
  #signed?: { der: Promise<Uint8Array<ArrayBuffer>>; revision: number; at: number };

  constructor(private readonly context: ServerContext) {}

  /** A list that names every revocation so far. Signed once for all who ask meanwhile. */
  current(): Promise<Uint8Array<ArrayBuffer>> {
    const now = this.context.now().getTime();
    const { revision } = this.context.store.certificates;
    const signed = this.#signed;
    const age = signed ? now - signed.at : 0;
    if (signed && signed.revision === revision && age >= 0 && age < VALID_MS / 2) return signed.der;
    const der = this.#sign(now);
    this.#signed = { der, revision, at: now };
    der.catch(() => this.#signed = undefined);
    return der;
  }

  #sign(now: number): Promise<Uint8Array<ArrayBuffer>> {
    const { authority, store } = this.context;
    // An entry stays until a list after its leaf's end has shown it (RFC 5280, 3.3).
    const entries = store.certificates.revoked(now - 2 * VALID_MS)
      .map(({ revokedAt, ...entry }) => ({ ...entry, revokedAt: new Date(revokedAt) }));
    return signCrl(authority, {
      entries,
      number: store.certificates.nextCrlNumber(),
      thisUpdate: new Date(now),
      nextUpdate: new Date(now + VALID_MS),
    });
  }
}
