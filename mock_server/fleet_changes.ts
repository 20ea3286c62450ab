/**
 * Changes of the fleet that reach further than one row. Each writes its rows, the revocations that
 * follow and one event in one transaction, and then wakes the held requests that it concerns.
 */
import { LIMITS } from "../agent/contract.ts";
import type { RevocationReason, RevokedCertificate } from "./certificates.ts";
import { recordEvent, type ServerContext } from "./context.ts";
import type { Device, User } from "./fleet.ts";
import { RequestProblem } from "./problems.ts";
import type { Settings } from "./store.ts";

/** Who asked for a change. */
export type Actor = "administrator" | "agent";

/**
 * Sets what `change` holds. Turning distribution OFF revokes every leaf; whatever changed, every
 * device is told.
 */
export function changeSettings(context: ServerContext, change: Partial<Settings>): void {
  const { store } = context;
  const now = context.now().getTime();
  const before = store.settings.current.globalCertificateDistribution;
  store.transaction(() => {
    store.settings.update(change, now);
    const { globalCertificateDistribution: enabled } = store.settings.current;
    if (enabled === before) return recordEvent(context, "settings.changed", {}, { ...change });
    const revoked = enabled ? [] : store.certificates.revokeAll({}, "cessationOfOperation", now);
    recordEvent(context, enabled ? "distribution.on" : "distribution.off", {}, {
      ...change,
      revoked: revoked.length,
    });
  });
  context.changes.wakeAll();
}

/**
 * Makes a user managed on a device, or gives them another account there. Throws `not-found` for
 * ids that are unknown or deleted, `conflict` when the account is another user's or the device is
 * full.
 */
export function bindUser(
  context: ServerContext,
  deviceId: string,
  userId: string,
  username: string,
): void {
  const { store } = context;
  store.transaction(() => {
    requireDevice(context, deviceId);
    requireUser(context, userId);
    const owner = store.bindings.byAccount(deviceId, username);
    if (owner && owner.userId !== userId) {
      throw new RequestProblem(
        "conflict",
        `Account '${username}' of this device belongs to user ${owner.userId}; unbind that one first`,
      );
    }
    const known = store.bindings.get(deviceId, userId)?.removedAt === null;
    if (!known && store.bindings.count(deviceId) >= LIMITS.usersPerDevice) {
      throw new RequestProblem(
        "conflict",
        `A device has at most ${LIMITS.usersPerDevice} managed users; unbind one first`,
      );
    }
    store.bindings.put(deviceId, userId, username, context.now().getTime());
    recordEvent(context, "user.bound", { deviceId, userId }, { username });
  });
  context.changes.wake(deviceId);
}

/** Ends a user's being managed on a device: their leaves there are revoked. Throws `not-found`. */
export function unbindUser(context: ServerContext, deviceId: string, userId: string): void {
  const { store } = context;
  const now = context.now().getTime();
  store.transaction(() => {
    requireDevice(context, deviceId);
    requireBinding(context, deviceId, userId);
    store.bindings.remove(deviceId, userId, now);
    const revoked = store.certificates.revokeAll({ deviceId, userId }, "affiliationChanged", now);
    recordEvent(context, "user.unbound", { deviceId, userId }, { revoked: serials(revoked) });
  });
  context.changes.wake(deviceId);
}

/** Deletes a user: unbound everywhere, every leaf revoked. Throws `not-found`. */
export function deleteUser(context: ServerContext, userId: string): void {
  const { store } = context;
  const now = context.now().getTime();
  const devices = store.transaction(() => {
    requireUser(context, userId);
    const devices = store.bindings.devicesOf(userId);
    for (const deviceId of devices) store.bindings.remove(deviceId, userId, now);
    const revoked = store.certificates.revokeAll({ userId }, "affiliationChanged", now);
    store.users.delete(userId, now);
    recordEvent(context, "user.deleted", { userId }, { revoked: serials(revoked) });
    return devices;
  });
  for (const deviceId of devices) context.changes.wake(deviceId);
}

/** Deletes a device: every leaf of it is revoked, its held request ends. Throws `not-found`. */
export function deleteDevice(context: ServerContext, deviceId: string, by: Actor): void {
  const { store } = context;
  const now = context.now().getTime();
  store.transaction(() => {
    requireDevice(context, deviceId);
    for (const { userId } of store.bindings.managedOn(deviceId)) {
      store.bindings.remove(deviceId, userId, now);
    }
    const revoked = store.certificates.revokeAll({ deviceId }, "cessationOfOperation", now);
    store.devices.delete(deviceId, now);
    recordEvent(context, "device.deleted", { deviceId }, { by, revoked: serials(revoked) });
  });
  context.changes.wake(deviceId);
}

/** Revokes one leaf; one that is revoked already keeps its reason. Throws `not-found`. */
export function revokeCertificate(
  context: ServerContext,
  serial: string,
  reason: RevocationReason,
): void {
  const { store } = context;
  const now = context.now().getTime();
  const certificate = store.certificates.get(serial);
  if (!certificate) throw new RequestProblem("not-found", `No certificate has serial ${serial}`);
  const { deviceId, userId } = certificate;
  store.transaction(() => {
    if (!store.certificates.revoke(serial, reason, now)) return;
    store.certificates.restoreNewest(deviceId, userId, now);
    recordEvent(context, "certificate.revoked", { deviceId, userId }, { serial, reason });
  });
  context.changes.wake(deviceId);
}

/**
 * Brings the leaves up to now: overlaps that are over end in a revocation, and devices whose
 * leaves ended or expired are woken. Costs nothing while nothing ended, so every reader of leaves
 * calls it first.
 */
export function settleLeaves(context: ServerContext): void {
  const { store } = context;
  const { overlapSeconds } = store.settings.current;
  const now = context.now().getTime();
  if (!store.certificates.due(overlapSeconds, now)) return;
  const ended = store.transaction(() => {
    const { superseded, expired } = store.certificates.settle(overlapSeconds, now);
    for (const { serial, deviceId, userId } of superseded) {
      recordEvent(context, "certificate.superseded", { deviceId, userId }, { serial });
    }
    return [...superseded, ...expired];
  });
  for (const deviceId of new Set(ended.map((leaf) => leaf.deviceId))) {
    context.changes.wake(deviceId);
  }
}

/** The device, which is enrolled. Throws `not-found`. */
export function requireDevice({ store }: ServerContext, deviceId: string): Device {
  const device = store.devices.get(deviceId);
  if (!device || device.deletedAt !== null) {
    throw new RequestProblem("not-found", `No device ${deviceId} is enrolled`);
  }
  return device;
}

/** The user, who is not deleted. Throws `not-found`. */
export function requireUser({ store }: ServerContext, userId: string): User {
  const user = store.users.get(userId);
  if (!user || user.deletedAt !== null) {
    throw new RequestProblem("not-found", `There is no user ${userId}`);
  }
  return user;
}

/** Throws `not-found` unless the user is managed on the device. */
export function requireBinding(
  { store }: ServerContext,
  deviceId: string,
  userId: string,
): void {
  if (store.bindings.get(deviceId, userId)?.removedAt !== null) {
    throw new RequestProblem("not-found", `User ${userId} is not managed on device ${deviceId}`);
  }
}

function serials(revoked: RevokedCertificate[]): string[] {
  return revoked.map(({ serial }) => serial);
}
