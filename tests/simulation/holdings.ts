/** What a home holds of ours, and what the agent server wants there: the truth, as nobody in it knows. */
import { type Generation, generationOf } from "../../ca/authority.ts";
import type { Certificate } from "../../mock_server/certificates.ts";
import type { Device } from "./device.ts";
import { type HeldCertificate, type Home, sha256 } from "./home.ts";
import type { SimulatedServer } from "./server.ts";

/** The user whose leaf the server wants in a home now. */
export function ownerOf(server: SimulatedServer, device: Device, home: Home): string | undefined {
  const { store } = server.context;
  const { deviceId } = device;
  if (deviceId === undefined || store.devices.get(deviceId)?.deletedAt !== null) return undefined;
  if (!store.settings.current.globalCertificateDistribution) return undefined;
  return store.bindings.byAccount(deviceId, home.name)?.userId;
}

/** Our leaves in a home, whatever they are worth. */
export function leavesIn(server: SimulatedServer, home: Home): HeldCertificate[] {
  return [...home.certificates.values()].filter((held) => held.ours && isLeaf(server, held));
}

/** Whether a certificate is one that the server issued. */
export function isLeaf(server: SimulatedServer, { serial }: HeldCertificate): boolean {
  return server.context.store.certificates.get(serial) !== undefined;
}

/** Whether a home's leaf counts, and its key is there. */
export function isLive(
  server: SimulatedServer,
  home: Home,
  { serial, spkiSha256 }: HeldCertificate,
): boolean {
  const { store, now } = server.context;
  const leaf = store.certificates.get(serial);
  return leaf !== undefined && leaf.revokedAt === null && leaf.notAfter > now().getTime() &&
    home.keys.has(spkiSha256);
}

/** Whether a home holds a leaf and its key. */
export function holds(home: Home, leaf: Certificate): boolean {
  return home.certificates.has(leaf.sha256) && home.keys.has(leaf.spkiSha256);
}

/**
 * SHA-256 of the authorities that a home shall hold: the newest two, and those of its leaves. Of an
 * earlier generation's, one that somebody deleted is not put back, and the other need not stay.
 */
export function anchorsOf(server: SimulatedServer, home: Home): string[] {
  const { authority, store } = server.context;
  const issuers = leavesIn(server, home).flatMap(({ serial }) => {
    const issuer = store.certificates.get(serial)?.issuerKeyIdentifier;
    return issuer ? generationOf(authority, issuer) ?? [] : [];
  });
  const newest = hashes(authority);
  const elder = issuers.map(hashes).filter((pair) =>
    !pair.some((hash) => home.destroyed.has(hash))
  );
  return [...newest, ...elder.flat()];
}

function hashes({ root, intermediate }: Generation): string[] {
  return [sha256(root.der), sha256(intermediate.der)];
}
