/**
 * `GET /v1/crl`: which leaves are revoked, signed by an intermediate. A list counts for the leaves
 * of the key that signed it (RFC 5280, 5), so each generation of the authority has one of its own;
 * all name every revocation. The first's is at the bare path, for its leaves say so.
 */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { type Generation, generationOf } from "../ca/authority.ts";
import { signCrl } from "../ca/revoke.ts";
import type { ServerContext } from "./context.ts";
import type { DeviceEnv } from "./device_authentication.ts";
import { namesTag } from "./entity_tag.ts";
import { settleLeaves } from "./fleet_changes.ts";
import { refusals } from "./openapi.ts";
import { RequestProblem } from "./problems.ts";

/** How long a list is good for; a new one is signed at half of it, and at every revocation. */
const VALID_MS = 24 * 3_600_000;

/** Where the list for leaves of a generation is. */
export function revocationListUrl(
  { publicUrl }: Pick<ServerContext, "publicUrl">,
  { number, intermediate }: Generation,
): string {
  return `${publicUrl}/v1/crl${number === 1 ? "" : `?issuer=${intermediate.keyIdentifier}`}`;
}

/** Adds the route. */
export function revocationRoutes(app: OpenAPIHono<DeviceEnv>, context: ServerContext): void {
  const lists = new Map<number, RevocationList>();
  const route = createRoute({
    method: "get",
    path: "/v1/crl",
    summary: "The certificate revocation list, DER",
    request: {
      query: z.object({
        issuer: z.string().regex(/^[0-9a-f]{2,64}$/).optional().openapi({
          description: "Key identifier of the intermediate that is to sign it; absent: the first",
        }),
      }),
    },
    responses: {
      200: {
        description: "The list (RFC 5280, section 5)",
        content: { "application/pkix-crl": { schema: z.string().openapi({ format: "binary" }) } },
      },
      304: { description: "The list that `If-None-Match` names is still the newest" },
      ...refusals("not-found", "invalid"),
    },
  });
  app.openapi(route, async (c) => {
    settleLeaves(context);
    const { issuer } = c.req.valid("query");
    const { authority } = context;
    const generation = issuer === undefined
      ? authority.elders.at(-1) ?? authority
      : generationOf(authority, issuer);
    if (!generation) throw new RequestProblem("not-found", `No intermediate has key ${issuer}`);
    const list = lists.get(generation.number) ?? new RevocationList(context, generation);
    lists.set(generation.number, list);
    const { der, number } = await list.current();
    const validators = { etag: `"${number}"`, "cache-control": "no-cache" };
    if (namesTag(c.req.header("if-none-match"), validators.etag)) {
      return c.body(null, 304, validators);
    }
    return c.body(der, 200, { ...validators, "content-type": "application/pkix-crl" });
  });
}

/** A list, and the number that it bears. */
interface SignedList {
  der: Uint8Array<ArrayBuffer>;
  number: number;
}

/** The list that is being served, and the work of signing the next. */
class RevocationList {
  #signed?: { list: Promise<SignedList>; revision: number; at: number };

  constructor(private readonly context: ServerContext, private readonly issuer: Generation) {}

  /** A list that names every revocation so far. Signed once for all who ask meanwhile. */
  current(): Promise<SignedList> {
    const now = this.context.now().getTime();
    const { revision } = this.context.store.certificates;
    const signed = this.#signed;
    const age = signed ? now - signed.at : 0;
    if (signed && signed.revision === revision && age >= 0 && age < VALID_MS / 2) {
      return signed.list;
    }
    const list = this.#sign(now);
    this.#signed = { list, revision, at: now };
    list.catch(() => this.#signed = undefined);
    return list;
  }

  async #sign(now: number): Promise<SignedList> {
    const { store } = this.context;
    // An entry stays until a list after its leaf's end has shown it (RFC 5280, 3.3).
    const entries = store.certificates.revoked(now - 2 * VALID_MS)
      .map(({ revokedAt, ...entry }) => ({ ...entry, revokedAt: new Date(revokedAt) }));
    const number = store.certificates.nextCrlNumber();
    const [thisUpdate, nextUpdate] = [new Date(now), new Date(now + VALID_MS)];
    const der = await signCrl(this.issuer, { entries, number, thisUpdate, nextUpdate });
    return { der, number };
  }
}
