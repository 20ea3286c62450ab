import assert from "node:assert/strict";
import fc from "fast-check";
import { canonicalIp, Cidr, cidrContains, cidrProblem, IpAddress } from "./cidr.ts";

const ipv4 = fc.ipV4();
const ipv6 = fc.ipV6();

/** An address as family and number, worked out here without any of the code under test. */
function number(ip: string): { bits: 32 | 128; value: bigint } {
  if (!ip.includes(":")) return { bits: 32, value: octets(ip) };
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(ip);
  let text = ip;
  if (dotted?.[1] && dotted[2]) {
    const low = octets(dotted[2]);
    text = `${dotted[1]}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}`;
  }
  const [head = "", tail] = text.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups = tail === undefined
    ? left
    : [...left, ...Array<string>(8 - left.length - right.length).fill("0"), ...right];
  const value = groups.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
  const mapped = value >> 32n === 0xffffn;
  return mapped ? { bits: 32, value: value & 0xffffffffn } : { bits: 128, value };
}

function octets(ip: string): bigint {
  return ip.split(".").reduce((sum, octet) => (sum << 8n) | BigInt(octet), 0n);
}

Deno.test("an address lies in a range when its first bits are the range's", () => {
  const pair = fc.oneof(
    fc.tuple(ipv4, ipv4, fc.nat(32)),
    fc.tuple(ipv6, ipv6, fc.nat(128)),
    // Neighbours: equal but for the last bits, where an off-by-one shows.
    fc.tuple(ipv4, fc.nat(255), fc.integer({ min: 22, max: 32 })).map(([ip, last, bits]) =>
      [ip, ip.replace(/\d+$/, String(last)), bits] as const
    ),
  );
  fc.assert(
    fc.property(pair, ([base, ip, bits]) => {
      const [range, address] = [number(base), number(ip)];
      fc.pre(base.includes(":") === (range.bits === 128));
      const shift = BigInt(range.bits - bits);
      const inside = range.bits === address.bits &&
        range.value >> shift === address.value >> shift;
      assert.equal(cidrContains(`${base}/${bits}`, ip), inside);
    }),
    { numRuns: 3000 },
  );
});

Deno.test("an IPv4 address gives the same answer when a socket shows it inside IPv6", () => {
  fc.assert(fc.property(ipv4, ipv4, fc.nat(32), (base, ip, bits) => {
    const plain = cidrContains(`${base}/${bits}`, ip);
    assert.equal(cidrContains(`${base}/${bits}`, `::ffff:${ip}`), plain);
    assert.equal(canonicalIp(`::FFFF:${ip}`), ip);
    assert.equal(cidrContains("::/0", `::ffff:${ip}`), false);
  }));
});

Deno.test("an IPv6 range holds an IPv4 address only where it lies in ::ffff:0:0/96", () => {
  const cases: [string, boolean][] = [
    ["::ffff:10.0.0.0/104", true],
    ["::ffff:a00:0/104", true],
    ["::ffff:10.0.0.0/128", false],
    ["::ffff:0:0/96", true],
    ["::ffff:0:0/95", false],
    ["::/0", false],
    ["::10.9.9.9/128", false],
  ];
  for (const [range, holds] of cases) assert.equal(cidrContains(range, "10.9.9.9"), holds, range);
});

Deno.test("a range holds its own address, and a zone does not matter", () => {
  fc.assert(fc.property(ipv6, fc.nat(128), (ip, bits) => {
    fc.pre(number(ip).bits === 128);
    assert.equal(cidrContains(`${ip}/${bits}`, `${ip}%eth0`), true);
  }));
});

Deno.test("what is no address lies in no range", () => {
  for (const text of ["", "localhost", "10.0.0", "010.0.0.1", "10.0.0.1.", "::1::", "unix:"]) {
    assert.equal(cidrContains("0.0.0.0/0", text), false, text);
    assert.equal(cidrContains("::/0", text), false, text);
  }
});

Deno.test("every address with a prefix length that fits is a range", () => {
  const good = fc.oneof(
    fc.tuple(ipv4, fc.nat(32)).map(([ip, bits]) => `${ip}/${bits}`),
    fc.tuple(ipv6, fc.nat(128)).map(([ip, bits]) => `${ip}/${bits}`),
  );
  fc.assert(fc.property(good, (text) => Cidr.parse(text) === text));
});

Deno.test("a range that is not ADDRESS/BITS is refused, with what to write instead", () => {
  const bad = [
    ["10.0.0.0/33", /not 0 to 32/],
    ["::/129", /not 0 to 128/],
    ["10.0.0.0/", /not 0 to 32/],
    ["10.0.0.0/08", /not 0 to 32/],
    ["10.0.0.0/-1", /not 0 to 32/],
    ["10.0.0.0/8/8", /ADDRESS\/BITS/],
    ["10.0.0.1", /'10\.0\.0\.1\/32' is this address alone/],
    ["10.0.0/8", /ADDRESS\/BITS/],
    ["fe80::1%eth0/64", /ADDRESS\/BITS/],
    ["*", /ADDRESS\/BITS/],
    ["", /ADDRESS\/BITS/],
  ] as const;
  for (const [text, words] of bad) {
    assert.match(cidrProblem(text) ?? "", words, text);
    assert.equal(Cidr.safeParse(text).success, false, text);
  }
});

Deno.test("any text is either refused as a range or works as one", () => {
  const nearly = fc.stringMatching(/^[0-9a-f:.%]{0,20}\/?[0-9]{0,4}$/);
  fc.assert(
    fc.property(fc.oneof(fc.string(), nearly), (text) => {
      if (Cidr.safeParse(text).success) cidrContains(text, "10.0.0.1");
    }),
    { numRuns: 2000 },
  );
});

Deno.test("an address has no zone and no leading zeros", () => {
  assert.equal(IpAddress.safeParse("192.0.2.1").success, true);
  assert.equal(IpAddress.safeParse("2001:db8::1").success, true);
  for (const text of ["fe80::1%eth0", "192.0.2.01", "192.0.2.1/32", "host", ""]) {
    assert.equal(IpAddress.safeParse(text).success, false, text);
  }
});
