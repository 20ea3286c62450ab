/** Who is managed where, with the live leaves that are there: what previews of changes look at. */
import type { ServerContext } from "./context.ts";
import { type Page, pageOf } from "./paging.ts";

/** A managed user on a device, with the live leaves that are there. */
export interface FleetMember {
  deviceId: string;
  hostname: string;
  userId: string;
  email: string;
  username: string;
  leaves: { serial: string; supersededAt: number | null }[];
}

/** Everybody who is managed anywhere. */
export function fleet(context: ServerContext): FleetMember[] {
  const members: FleetMember[] = [];
  let page: Page | undefined = { limit: 500 };
  while (page) {
    const { items, nextCursor } = context.store.devices.list(page);
    for (const device of items) members.push(...membersOn(context, device));
    page = nextCursor === null ? undefined : pageOf({ limit: 500, cursor: nextCursor });
  }
  return members;
}

/** Everybody who is managed on a device. */
export function membersOn(
  { store, now }: ServerContext,
  { deviceId, hostname }: { deviceId: string; hostname: string },
): FleetMember[] {
  const leaves = store.certificates.liveOn(deviceId, now().getTime());
  return store.bindings.managedOn(deviceId).map((user) => ({
    deviceId,
    hostname,
    ...user,
    leaves: leaves.filter(({ userId }) => userId === user.userId)
      .map(({ serial, supersededAt }) => ({ serial, supersededAt })),
  }));
}
