/** Where a listener listens, and by which names it is known. Pure. */
import { isIP } from "node:net";

/** An address as `--listen` takes it. */
export interface ListenAddress {
  host: string;
  /** 0 for any free one. */
  port: number;
}

const ANY = ["0.0.0.0", "::"];
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/;

/** Reads `HOST:PORT` or `[IPV6]:PORT`; undefined for anything else. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/i.exec(text);
  const [, ipv6, name, port] = match ?? [];
  const host = (ipv6 ?? name)?.toLowerCase();
  if (host === undefined || Number(port) > 65535) return undefined;
  if (ipv6 !== undefined && isIP(ipv6) !== 6) return undefined;
  // It becomes a part of URLs.
  if (ipv6 === undefined && !URL.canParse(`https://${host}:${port}`)) return undefined;
  return { host, port: Number(port) };
}

/** The address to bind: `localhost` is the IPv4 loopback, which every client tries. */
export function bindHost({ host }: ListenAddress): string {
  return host === "localhost" ? "127.0.0.1" : host;
}

/**
 * The name by which clients know a listener: `localhost` on loopback, where every `*.localhost`
 * resolves; this machine's own name on all interfaces; else the host that was given.
 */
export function publicHost({ host }: ListenAddress, machineName: string): string {
  if (LOOPBACK.test(host)) return "localhost";
  return ANY.includes(host) ? machineName.toLowerCase() : host;
}

/** The URL of a listener, without trailing slash. */
export function publicUrl(host: string, port: number): string {
  return new URL(`https://${isIP(host) === 6 ? `[${host}]` : host}:${port}`).origin;
}

/** Names and addresses that the certificate of both listeners has to cover. */
export function certificateNames(hosts: string[]): { names: string[]; ips: string[] } {
  const all = [...new Set(["localhost", "127.0.0.1", "::1", ...hosts])];
  const names = all.filter((host) => isIP(host) === 0);
  return {
    names: names.flatMap((name) => [name, `*.challenge.${name}`]),
    ips: all.filter((host) => isIP(host) !== 0),
  };
}

/**
 * Patterns for which browsers are told to present their leaf, unless somebody sets others. An
 * address has no names below it, and an IPv6 address cannot be a pattern at all.
 */
export function defaultPatterns(portalUrl: string): string[] {
  const { hostname, host } = new URL(portalUrl);
  if (hostname.startsWith("[")) return [];
  return isIP(hostname) === 4 ? [portalUrl] : [portalUrl, `https://[*.]challenge.${host}`];
}
