/** What the server wants of a device now (DESIGN section 5), as the bytes of an answer. */
import { createHash } from "node:crypto";
import type { DesiredState, DesiredUser, RenewalWindow, TrustAnchors } from "../agent/contract.ts";
import type { Certificate } from "./certificates.ts";
import { instant, type ServerContext } from "./context.ts";
import { settleLeaves } from "./fleet_changes.ts";

/** A desired state in JSON, and the strong entity tag of exactly those bytes. */
export interface DesiredStateDocument {
  json: string;
  etag: string;
}

/** The desired state of a device that is enrolled; the same facts give the same bytes. */
export function desiredState(context: ServerContext, deviceId: string): DesiredStateDocument {
  settleLeaves(context);
  const settings = context.store.settings.current;
  const enabled = settings.globalCertificateDistribution;
  const state: DesiredState = {
    brand: context.authority.brand,
    distribution: { enabled },
    certificate: {
      keyAlgorithm: settings.keyAlgorithm,
      overlapSeconds: settings.overlapSeconds,
    },
    selection: { patterns: settings.selectionPatterns },
    macosApplications: settings.macosApplications,
    trustAnchors: trustAnchors(context),
    users: desiredUsers(context, deviceId, enabled),
  };
  const json = JSON.stringify(state);
  return { json, etag: `"${createHash("sha256").update(json).digest("base64url")}"` };
}

/** The certificates that a device pins, and what proves them to one that pinned earlier ones. */
export function trustAnchors({ authority }: Pick<ServerContext, "authority">): TrustAnchors {
  const { root, intermediate, crossSigned } = authority;
  return { root: root.pem, intermediate: intermediate.pem, ...(crossSigned && { crossSigned }) };
}

/** The window of a leaf as the API writes it. */
export function renewalWindow(
  certificate: Pick<Certificate, "renewalStart" | "renewalEnd">,
): RenewalWindow {
  return { start: instant(certificate.renewalStart), end: instant(certificate.renewalEnd) };
}

function desiredUsers(context: ServerContext, deviceId: string, enabled: boolean): DesiredUser[] {
  const live = enabled ? context.store.certificates.liveOn(deviceId, context.now().getTime()) : [];
  return context.store.bindings.managedOn(deviceId).map((user) => {
    const leaves = live.filter((leaf) => leaf.userId === user.userId);
    const [current] = leaves;
    return {
      userId: user.userId,
      username: user.username,
      email: user.email,
      ...(current && { renewal: renewalWindow(current) }),
      leaves: leaves.map(({ serial }, index) => ({
        serial,
        status: index === 0 ? "current" : "overlap",
      })),
    };
  });
}
