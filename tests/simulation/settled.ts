/** Whether everything is as the server wants it: store, ledger, filter, and what it was told. */
import type { Device } from "./device.ts";
import { anchorsOf, holds, isLeaf, leavesIn, ownerOf } from "./holdings.ts";
import type { Home } from "./home.ts";
import type { SimulatedServer } from "./server.ts";
import { HOUR } from "./timeline.ts";

/** How long after the end of its window a leaf may still be the current one. */
const LATE = 3 * HOUR;

/**
 * What is not as the server wants it in a home; undefined when all is.
 *
 * @param last whether no other home of the device keeps what they share
 */
export function unsettled(
  server: SimulatedServer,
  device: Device,
  home: Home,
  last: boolean,
): string | undefined {
  const owner = ownerOf(server, device, home);
  const wrong = owner === undefined
    ? unclean(server, device, home) ?? (last ? unleft(server, device) : undefined)
    : unequipped(server, home, device.deviceId ?? "", owner) ?? untold(server, device, owner);
  return wrong ?? unknown(home);
}

/** What a home lacks, or has too much of. */
function unequipped(
  server: SimulatedServer,
  home: Home,
  deviceId: string,
  userId: string,
): string | undefined {
  const live = server.live(deviceId, userId);
  const [current] = live;
  if (!current) return "the server has issued no leaf";
  if (current.renewalEnd < server.context.now().getTime() - LATE) {
    return "the current leaf's window is over";
  }
  // An elder whose key is lost is lost, and one that never came to be installed; the current one is
  // replaced.
  const wanted = live.filter((leaf) =>
    leaf === current || (leaf.installedAt !== null && !home.destroyed.has(leaf.spkiSha256))
  );
  if (wanted.some((leaf) => !holds(home, leaf))) return "a leaf that counts is not in the store";
  const leaves = leavesIn(server, home);
  if (leaves.some((leaf) => !live.some(({ serial }) => serial === leaf.serial))) {
    return "a leaf that does not count is in the store";
  }
  const keys = new Set(leaves.map((leaf) => leaf.spkiSha256));
  if ([...home.keys].some(([spki, { ours }]) => ours && !keys.has(spki))) {
    return "a key without a leaf is in the store";
  }
  const anchors = anchorsOf(server, home);
  if (anchors.some((anchor) => !home.certificates.has(anchor))) {
    return "an authority is not in the store";
  }
  const stray = [...home.certificates].some(([hash, held]) =>
    held.ours && !isLeaf(server, held) && !anchors.includes(hash) && home.destroyed.size === 0
  );
  return stray ? "an authority without a leaf is in the store" : undefined;
}

/** What browsers, and the server, were not told. */
function untold(server: SimulatedServer, device: Device, userId: string): string | undefined {
  const { store } = server.context;
  const { deviceId = "" } = device;
  if (device.filter !== store.settings.current.selectionPatterns.join(" ")) {
    return `the selection filter is ${device.filter}`;
  }
  const [current] = server.live(deviceId, userId);
  const report = store.reports.get(deviceId, userId);
  if (report?.state !== "installed") return `the server was last told ${report?.state}`;
  return report.serial === current?.serial ? undefined : "the server was told of another leaf";
}

/** What is still there of what is not wanted (S13). */
function unclean(server: SimulatedServer, device: Device, home: Home): string | undefined {
  if ([...home.certificates.values()].some(({ ours }) => ours)) {
    return "a certificate of ours is still in the store";
  }
  if ([...home.keys.values()].some(({ ours }) => ours)) return "a key of ours is still there";
  const { store } = server.context;
  const { deviceId } = device;
  if (deviceId === undefined || store.devices.get(deviceId)?.deletedAt !== null) return undefined;
  const told = store.reports.ofDevice(deviceId).find(({ userId, state, at }) =>
    // Who has left without being able to say so, and came back, knows nothing of earlier users.
    at > device.enrolledAt && store.bindings.get(deviceId, userId)?.username === home.name &&
    state !== "removed" && state !== "absent"
  );
  return told && `the server was last told ${told.state}`;
}

/** What the last one to leave should have taken along. */
function unleft(server: SimulatedServer, device: Device): string | undefined {
  const { deviceId } = device;
  if (deviceId && server.context.store.devices.get(deviceId)?.deletedAt !== null) {
    return "the device has not left the server that deleted it";
  }
  const wanted = [...device.homes.values()].some((home) => ownerOf(server, device, home));
  return wanted || device.filter === undefined ? undefined : "the selection filter is still there";
}

/** What ledger and store do not agree about. */
function unknown(home: Home): string | undefined {
  const keys = home.ledger?.keys() ?? [];
  const rows = home.ledger?.certificates().map((row) => row.sha256) ?? [];
  if (keys.some((key) => !home.keys.has(key))) return "the ledger has a key that is not there";
  if (rows.some((hash) => !home.certificates.has(hash))) {
    return "the ledger has a certificate that is not there";
  }
  if ([...home.keys].some(([spki, { ours }]) => ours && !keys.includes(spki))) {
    return "the ledger lacks a key";
  }
  if ([...home.certificates].some(([hash, { ours }]) => ours && !rows.includes(hash))) {
    return "the ledger lacks a certificate";
  }
}
