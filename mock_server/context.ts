/** What every part of the mock server is given: nothing here is read from the world later. */
import type { Logger } from "@logtape/logtape";
import type { Authority } from "../ca/authority.ts";
import type { Changes } from "./changes.ts";
import type { FaultBoard } from "./faults.ts";
import type { Store } from "./store.ts";

/** The server as its route factories see it. */
export interface ServerContext {
  store: Store;
  /** Replaced as a whole when its next generation begins. */
  authority: Authority;
  /** Server time, as everything but timers sees it. */
  now: () => Date;
  random: RandomBytes;
  /** URL of the device and admin API, without trailing slash; signatures are judged against it. */
  publicUrl: string;
  /** URL of the portal, without trailing slash. */
  portalUrl: string;
  changes: Changes;
  /** Life of a leaf, and when after its issue its renewal window starts. */
  leafTtlSeconds: number;
  renewAfterSeconds: number;
  /** SHA-256 of the admin token, lower-case hexadecimal. */
  adminTokenHash: string;
  /** Networks (CIDR) whose `Client-Cert` field counts. */
  trustedProxies: readonly string[];
  /** How the server misbehaves on demand. */
  faults: FaultBoard;
  log: Logger;
}

/** That many random bytes. */
export type RandomBytes = (length: number) => Uint8Array<ArrayBuffer>;

/** Who sent a request: what the listener knows and no header can say. */
export interface Peer {
  /** IP address, without zone and port. */
  address: string;
  /** The certificates that the TLS client presented, DER, leaf first; empty without any. */
  certificates: Uint8Array<ArrayBuffer>[];
}

/** Hono environment of every app here; `server.ts` passes `{ peer }` to `fetch`. */
export interface ServerEnv {
  Bindings: { peer: Peer };
}

/** An instant as the API writes it. */
export function instant(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

/** A random lower-case UUID (RFC 9562, version 4). */
export function newUuid(random: RandomBytes): string {
  const bytes = random(16);
  const hex = Array.from(bytes, (byte, index) => {
    if (index === 6) return (byte & 0x0f) | 0x40;
    if (index === 8) return (byte & 0x3f) | 0x80;
    return byte;
  }).map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** A new secret for people to copy: 32 random bytes in base64url. */
export function newSecret(random: RandomBytes): string {
  return random(32).toBase64({ alphabet: "base64url", omitPadding: true });
}

/** Appends an event to the audit log; answers its id. */
export function recordEvent(
  context: Pick<ServerContext, "store" | "now" | "random">,
  type: string,
  subject: { deviceId?: string; userId?: string },
  detail: Record<string, unknown> = {},
): string {
  const eventId = newUuid(context.random);
  context.store.events.append({ eventId, at: context.now().getTime(), type, ...subject, detail });
  return eventId;
}
