/** A whole server context for tests: real store (in memory) and authority, a clock set by hand. */
import { getLogger } from "@logtape/logtape";
import { openAuthority } from "../ca/authority.ts";
import { issueLeaf } from "../ca/issue.ts";
import { sha256Hex } from "../ca/signature.ts";
import { Changes } from "./changes.ts";
import { newUuid, type RandomBytes, type ServerContext } from "./context.ts";
import { FaultBoard } from "./faults.ts";
import { revocationListUrl } from "./revocation_list.ts";
import { openStore } from "./store.ts";

/** The admin token of every scratch context. */
export const SCRATCH_TOKEN = "scratch-admin-token";

/** Where a scratch context's clock starts. */
export const SCRATCH_START = Date.parse("2026-03-01T12:00:00Z");

const HOUR_MS = 3_600_000;

/** A managed user with a device and, once it was issued, a leaf. */
export interface ScratchUser {
  userId: string;
  email: string;
  deviceId: string;
}

/** A leaf with its key, which no server would ever see. */
export interface ScratchLeaf {
  serial: string;
  der: Uint8Array<ArrayBuffer>;
  pem: string;
  /** PKCS#8 PEM. */
  key: string;
}

/** Ways to fill a server's store without its API. */
export interface ScratchFleet {
  addUser(email: string, groups?: string[]): string;
  addDevice(os?: "linux" | "macos" | "windows"): string;
  /** A user bound to a device of their own. */
  addManaged(email: string, groups?: string[]): ScratchUser;
  /** Issues and registers a leaf that is valid for an hour. */
  issue(owner: { deviceId: string; userId: string }): Promise<ScratchLeaf>;
}

/** The context and what tests do to it. */
export interface Scratch extends ScratchFleet {
  context: ServerContext;
  clock: { now: number };
  /** Devices that were woken since the last look, in order; `*` for all. */
  woken(): string[];
}

/** Runs `test` with a context of its own; distribution is ON. */
export async function withScratch(
  test: (scratch: Scratch) => Promise<void>,
  over: Partial<Pick<ServerContext, "portalUrl" | "publicUrl" | "trustedProxies">> = {},
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "device-trust-test-" });
  const clock = { now: SCRATCH_START };
  const authority = await openAuthority(`${folder}/ca`, {
    brand: "JumpCloud",
    now: new Date(SCRATCH_START),
  });
  const store = openStore(":memory:", {
    globalCertificateDistribution: true,
    selectionPatterns: ["https://[*.]challenge.localhost:8443"],
    keyAlgorithm: "P-256",
    overlapSeconds: 604_800,
    macosApplications: [],
    defaultDecision: "allow",
  });
  const changes = new RecordingChanges();
  try {
    const context: ServerContext = {
      store,
      authority,
      now: () => new Date(clock.now),
      random,
      publicUrl: "https://localhost:8442",
      portalUrl: "https://localhost:8443",
      changes,
      leafTtlSeconds: 30 * 86_400,
      renewAfterSeconds: 14 * 86_400,
      adminTokenHash: await sha256Hex(new TextEncoder().encode(SCRATCH_TOKEN)),
      trustedProxies: [],
      faults: new FaultBoard(Math.random),
      log: getLogger(["device-trust", "test"]),
      ...over,
    };
    await test({
      ...scratchFleet(context),
      context,
      clock,
      woken: () => changes.woken.splice(0),
    });
  } finally {
    store.close();
    await Deno.remove(folder, { recursive: true });
  }
}

const random: RandomBytes = (length) => crypto.getRandomValues(new Uint8Array(length));

class RecordingChanges extends Changes {
  woken: string[] = [];
  override wake(deviceId: string): void {
    this.woken.push(deviceId);
    super.wake(deviceId);
  }
  override wakeAll(): void {
    this.woken.push("*");
    super.wakeAll();
  }
}

/** Fills the store of `context`. */
export function scratchFleet(context: ServerContext): ScratchFleet {
  const { store } = context;
  const now = () => context.now().getTime();
  const addUser = (email: string, groups: string[] = []) => {
    const userId = newUuid(random);
    store.users.add({ userId, email, name: null, groups, createdAt: now() });
    return userId;
  };
  const addDevice = (os: "linux" | "macos" | "windows" = "linux") => {
    const deviceId = newUuid(random);
    const coordinate = random(32).toBase64({ alphabet: "base64url", omitPadding: true });
    store.devices.add({
      deviceId,
      thumbprint: random(32).toHex(),
      publicKey: { kty: "EC", crv: "P-256", x: coordinate, y: coordinate },
      hostname: "laptop",
      os,
      osVersion: "12",
      agentVersion: "0.1.0",
      enrolledAt: now(),
    });
    return deviceId;
  };
  return {
    addUser,
    addDevice,
    addManaged: (email, groups) => {
      const [userId, deviceId] = [addUser(email, groups), addDevice()];
      store.bindings.put(deviceId, userId, "account", now());
      return { userId, email, deviceId };
    },
    issue: (owner) => issueLeafFor(context, owner),
  };
}

async function issueLeafFor(
  context: ServerContext,
  { deviceId, userId }: { deviceId: string; userId: string },
): Promise<ScratchLeaf> {
  const keys = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    true,
    ["sign", "verify"],
  );
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
  const now = context.now();
  const leaf = await issueLeaf(context.authority, {
    spki,
    nameSuffix: random(4).toHex(),
    deviceId,
    userId,
    crlUrl: revocationListUrl(context, context.authority),
    now,
    ttlSeconds: HOUR_MS / 1000,
  });
  context.store.certificates.add({
    serial: leaf.serial,
    sha256: leaf.sha256,
    commonName: leaf.commonName,
    deviceId,
    userId,
    spkiSha256: await sha256Hex(spki),
    pem: leaf.pem,
    issuerKeyIdentifier: context.authority.intermediate.keyIdentifier,
    kind: "first",
    issuedAt: now.getTime(),
    notBefore: leaf.notBefore.getTime(),
    notAfter: leaf.notAfter.getTime(),
    renewalStart: now.getTime() + HOUR_MS / 2,
    renewalEnd: now.getTime() + HOUR_MS * 3 / 4,
  });
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", keys.privateKey));
  const key = `-----BEGIN PRIVATE KEY-----\n${pkcs8.toBase64()}\n-----END PRIVATE KEY-----\n`;
  return { serial: leaf.serial, der: new Uint8Array(leaf.der), pem: leaf.pem, key };
}
