/**
 * Where a request's client certificate comes from: the TLS connection, or, behind a proxy that
 * ended TLS, the `Client-Cert` field (RFC 9440). The field is believed from configured proxies
 * only; from anybody else it is as if it were not there, or every client could claim any
 * certificate, which are public.
 */
import { ParseError, parseItem } from "structured-headers";
import { canonicalIp, cidrContains } from "./cidr.ts";
import type { Peer } from "./context.ts";

/** What a client presented; `unreadable` is a field of a trusted proxy that holds no bytes. */
export type PresentedCertificate =
  | { kind: "none" }
  | { kind: "unreadable" }
  | { kind: "der"; der: Uint8Array };

/** Header fields with which a proxy says what it saw; anybody can send them. */
export interface ForwardedFields {
  /** The value of `Client-Cert`; several fields are joined with ", ". */
  clientCert?: string;
  /** The value of `X-Forwarded-For`. */
  forwardedFor?: string;
}

/** The certificate that the client itself presented. Judges nothing of what it says. */
export function presentedCertificate(
  peer: Peer,
  { clientCert }: ForwardedFields,
  trustedProxies: readonly string[],
): PresentedCertificate {
  if (clientCert !== undefined && isTrustedProxy(peer.address, trustedProxies)) {
    return decodeClientCert(clientCert);
  }
  const [leaf] = peer.certificates;
  return leaf ? { kind: "der", der: leaf } : { kind: "none" };
}

/**
 * The address that the client itself has: the connection's, or behind trusted proxies the last
 * one in `X-Forwarded-For` that is not a trusted proxy.
 */
export function clientAddress(
  peer: Peer,
  { forwardedFor }: ForwardedFields,
  trustedProxies: readonly string[],
): string {
  const own = canonicalIp(peer.address) ?? peer.address;
  if (forwardedFor === undefined || !isTrustedProxy(own, trustedProxies)) return own;
  const hops = forwardedFor.split(",").map((hop) => canonicalIp(hop.trim()));
  for (const hop of hops.reverse()) {
    if (hop === undefined) return own;
    if (!isTrustedProxy(hop, trustedProxies)) return hop;
  }
  return own;
}

/** Decodes a `Client-Cert` value: one byte sequence (RFC 9440, 2.2; RFC 9651, 3.3.5). */
export function decodeClientCert(field: string): PresentedCertificate {
  try {
    const [value] = parseItem(field);
    if (value instanceof ArrayBuffer && value.byteLength > 0) {
      return { kind: "der", der: new Uint8Array(value) };
    }
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
  }
  return { kind: "unreadable" };
}

/** Whether `address` is a proxy whose word counts. */
export function isTrustedProxy(address: string, trustedProxies: readonly string[]): boolean {
  return trustedProxies.some((range) => cidrContains(range, address));
}
