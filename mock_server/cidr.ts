/**
 * Address ranges (RFC 4632, RFC 4291 section 2.3) for policy conditions and `--trusted-proxy`.
 * An IPv4 address written inside IPv6 (`::ffff:10.0.0.1`), as sockets show it, counts as IPv4.
 */
import { isIP, isIPv4 } from "node:net";
import { z } from "@hono/zod-openapi";

/** An IPv4 or IPv6 address, without a zone. */
export const IpAddress = z.string().max(45).refine(
  (text) => isIP(text) !== 0 && !text.includes("%"),
  "must be an IPv4 or IPv6 address",
);

/** A range as ADDRESS/BITS; bits of the address after the prefix do not matter. */
export const Cidr = z.string().max(49).superRefine((text, context) => {
  const problem = cidrProblem(text);
  if (problem) context.addIssue({ code: "custom", message: `'${text}' ${problem}` });
});

/** Why `text` is not a range, or undefined when it is one. */
export function cidrProblem(text: string): string | undefined {
  const [address = "", bits, ...rest] = text.split("/");
  const version = address.includes("%") ? 0 : isIP(address);
  if (version === 0 || rest.length > 0) return "must be ADDRESS/BITS, for instance 10.0.0.0/8";
  const size = version === 4 ? 32 : 128;
  if (bits === undefined) return `needs a prefix length: '${text}/${size}' is this address alone`;
  if (!/^(0|[1-9]\d{0,2})$/.test(bits) || Number(bits) > size) {
    return `has a prefix length that is not 0 to ${size}`;
  }
  return undefined;
}

/**
 * Whether `ip` lies in `cidr`. What is no address lies nowhere; an IPv6 range holds no IPv4
 * address, unless it lies in `::ffff:0:0/96`.
 *
 * @param cidr a range that {@link Cidr} accepts; throws RangeError for any other
 */
export function cidrContains(cidr: string, ip: string): boolean {
  const [base = "", bits] = cidr.split("/");
  const [first, address] = [addressNumber(base), addressNumber(ip)];
  if (first === undefined) throw new RangeError(`'${cidr}' is not ADDRESS/BITS`);
  if (address === undefined) return false;
  const length = Number(bits) + (isIPv4(base) ? 96 : 0);
  if (length < 96 && address >> 32n === MAPPED) return false;
  const rest = BigInt(128 - length);
  return first >> rest === address >> rest;
}

/** What stands before an IPv4 address inside IPv6. */
const MAPPED = 0xffffn;

/** The address as 128 bits, IPv4 inside IPv6; undefined for what is no address. */
function addressNumber(ip: string): bigint | undefined {
  const address = canonicalIp(ip);
  if (address === undefined) return undefined;
  if (isIPv4(address)) {
    const octets = address.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0);
    return (MAPPED << 32n) | BigInt(octets);
  }
  const [head = "", tail = ""] = address.split("::").map(groupDigits);
  return BigInt(`0x${head}${tail.padStart(32 - head.length, "0")}`);
}

function groupDigits(groups: string): string {
  return groups.split(":").map((group) => group && group.padStart(4, "0")).join("");
}

/**
 * The one spelling of an address: no zone, IPv4 inside IPv6 as IPv4, IPv6 compressed in lower
 * case. Undefined for what is no address.
 */
export function canonicalIp(ip: string): string | undefined {
  const [address = ""] = ip.split("%");
  const version = isIP(address);
  if (version === 0) return undefined;
  if (version === 4) return address;
  const compressed = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(compressed);
  if (!mapped?.[1] || !mapped[2]) return compressed;
  const [high, low] = [parseInt(mapped[1], 16), parseInt(mapped[2], 16)];
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}
