/** An organization as it may look after some weeks, for pages that show one. */
import { sha256Hex } from "../ca/signature.ts";
import { addPolicy } from "../mock_server/admin_policies.ts";
import { answerChallenge } from "../mock_server/challenge.ts";
import type { ServerContext } from "../mock_server/context.ts";
import { PolicyBody } from "../mock_server/policy.ts";
import { scratchFleet, type ScratchLeaf } from "../mock_server/scratch_context.ts";

/** Parts of the organization that somebody looks at more closely. */
export interface ExampleFleet {
  /** A user with a certificate of the authority's own, DER. */
  alice: { email: string; userId: string; deviceId: string; leaf: Uint8Array<ArrayBuffer> };
  /** A policy that is asked for a second factor on unmanaged devices. */
  policyId: string;
}

/** Days since each one's certificate was issued. */
const AGES = [1, 1, 2, 2, 2, 4, 6, 6, 9, 13];

const DAY_MS = 86_400_000;

const PEOPLE: [email: string, hostname: string, os: "linux" | "macos" | "windows"][] = [
  ["alice.martin@example.com", "ada-thinkpad", "linux"],
  ["bob.okafor@example.com", "sales-mbp-07", "macos"],
  ["carol.weber@example.com", "finance-pc-12", "windows"],
  ["dan.rossi@example.com", "dev-tower-03", "linux"],
  ["erin.novak@example.com", "erin-xps", "linux"],
  ["farid.haddad@example.com", "support-pc-02", "windows"],
  ["grace.lind@example.com", "design-mbp-01", "macos"],
  ["hugo.costa@example.com", "hugo-framework", "linux"],
  ["ines.moreau@example.com", "legal-pc-05", "windows"],
  ["jonas.berg@example.com", "build-host-1", "linux"],
];

/** Fills an empty server; distribution is ON afterwards. */
export async function fillExampleFleet(context: ServerContext): Promise<ExampleFleet> {
  const { store } = context;
  const fleet = scratchFleet(context);
  const now = context.now().getTime();
  store.settings.update({ globalCertificateDistribution: true }, now - 40 * DAY_MS);
  const members: { userId: string; deviceId: string; email: string }[] = [];
  for (const [index, [email, hostname, os]] of PEOPLE.entries()) {
    const userId = fleet.addUser(email, index % 3 === 0 ? ["engineering"] : ["office"]);
    const deviceId = fleet.addDevice(os);
    const osVersion = { linux: "Debian 13", macos: "26.1", windows: "11 25H2" }[os];
    store.devices.describe({ deviceId, hostname, osVersion, agentVersion: "0.1.0" });
    store.bindings.put(deviceId, userId, email.split(".")[0] ?? "user", now - 40 * DAY_MS);
    members.push({ userId, deviceId, email });
  }
  let leaf: ScratchLeaf | undefined;
  for (const [index, member] of members.entries()) {
    if (index === 0) leaf = await fleet.issue(member);
    await addLeaf(context, member, { ageDays: AGES[index] ?? 0 });
    store.reports.record(member.deviceId, reportOf(index, member.userId), now - index * 47_000);
  }
  const [first] = members;
  if (!first || !leaf) throw new Error("The example has nobody.");
  const policyId = addPolicies(context);
  for (const [index, { email }] of members.entries()) {
    const presented = index === 0 ? { kind: "der", der: leaf.der } as const : NONE;
    const origin = { ip: `203.0.113.${index + 10}`, os: "linux" } as const;
    await answerChallenge(context, { user: email, resource: "payroll" }, presented, origin);
  }
  return { alice: { ...first, leaf: leaf.der }, policyId };
}

const NONE = { kind: "none" } as const;

function reportOf(index: number, userId: string) {
  const filters = [{
    browser: "chromium",
    location: "/etc/chromium/policies/managed/JumpCloudCertificateAutoselect.json",
    state: "ok" as const,
  }];
  const troubles = new Map([
    [4, {
      code: "store-locked",
      message: "Another program holds the database; it is tried again.",
    }],
    [7, { code: "home-missing", message: "The home folder is not mounted." }],
  ]);
  const error = troubles.get(index);
  const state = index === 4 ? "failed" : index === 7 ? "waiting" : "installed";
  return { userId, state, filters, ...(error ? { error } : {}) } as const;
}

async function addLeaf(
  { store, now, random }: ServerContext,
  { deviceId, userId }: { deviceId: string; userId: string },
  { ageDays }: { ageDays: number },
): Promise<void> {
  const issuedAt = now().getTime() - ageDays * DAY_MS;
  store.certificates.add({
    serial: random(16).toHex(),
    sha256: await sha256Hex(random(32)),
    commonName: `JumpCloud Device Trust Certificate - ${random(4).toHex()}`,
    deviceId,
    userId,
    spkiSha256: random(32).toHex(),
    pem: "",
    issuerKeyIdentifier: null,
    kind: "first",
    issuedAt,
    notBefore: issuedAt - 3_600_000,
    notAfter: issuedAt + 30 * DAY_MS,
    renewalStart: issuedAt + 14 * DAY_MS,
    renewalEnd: issuedAt + 16 * DAY_MS,
  });
}

function addPolicies(context: ServerContext): string {
  addPolicy(
    context,
    PolicyBody.parse({
      name: "Payroll only from managed devices",
      users: ["*"],
      resources: ["payroll"],
      conditions: { device: "unmanaged" },
      action: "deny",
    }),
  );
  const { policyId } = addPolicy(
    context,
    PolicyBody.parse({
      name: "Second factor on unmanaged devices",
      users: ["group:office", "group:engineering"],
      resources: ["*"],
      conditions: { device: "unmanaged" },
      action: "restrict",
    }),
  );
  addPolicy(
    context,
    PolicyBody.parse({
      name: "No sign-in from phones outside the office",
      enabled: false,
      users: ["*"],
      resources: ["*"],
      conditions: { os: ["ios", "android"], ip: ["198.51.100.0/24"] },
      action: "deny",
    }),
  );
  return policyId;
}
