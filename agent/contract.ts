/**
 * The wire contract between agent and agent server (DESIGN section 5): the one module that both
 * sides import. Times are RFC 3339 in UTC, ids lower-case UUIDs, serials lower-case hexadecimal.
 */
import { z } from "zod";

/** Bounds that both sides keep. Bytes, counts and seconds as named. */
export const LIMITS = {
  bodyBytes: 64 * 1024,
  reportBytes: 1024 * 1024,
  desiredStateBytes: 1024 * 1024,
  usersPerDevice: 1000,
  patterns: 100,
  patternBytes: 255,
  waitSeconds: 300,
  clockSkewSeconds: 300,
  removedItems: 256,
} as const;

/** What a schema says of a value. */
export type Judgement<T> =
  | { success: true; data: T; error?: never }
  | { success: false; data?: never; error: Pick<z.ZodError, "issues"> };

/**
 * Judges a stranger's value, whatever it is: the library itself compares whatever is called
 * `length`, also of what is no list, and throws when that cannot be compared (seen in zod 4.6.7).
 */
export function judge<T extends z.ZodType>(schema: T, value: unknown): Judgement<z.output<T>> {
  try {
    return schema.safeParse(value);
  } catch {
    const issue = { code: "custom" as const, path: [], message: "is malformed" };
    return { success: false, error: { issues: [issue] } };
  }
}

/** A lower-case UUID: safe as part of a path or a unit name. */
export const Uuid = z.string().regex(
  /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
  "must be a lower-case UUID",
);

/** An instant, RFC 3339 in UTC with `Z`. */
export const Instant = z.string().regex(
  /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z$/,
  "must be RFC 3339 in UTC, for instance 2026-01-31T12:00:00Z",
).refine((text) => !Number.isNaN(Date.parse(text)), "is not a date");

/** A certificate serial number: lower-case hexadecimal, 1 to 20 octets (RFC 5280, 4.1.2.2). */
export const Serial = z.string().regex(/^([0-9a-f]{2}){1,20}$/, "must be lower-case hexadecimal");

/** One or more certificates in PEM. */
export const Pem = z.string().max(LIMITS.bodyBytes).regex(
  /^-----BEGIN [A-Z ]+-----\s/,
  "must be PEM",
);

/** Operating systems that a device can have. */
export const DeviceOs = z.enum(["linux", "macos", "windows"]);

/** Key algorithms of a leaf. */
export const LeafKeyAlgorithm = z.enum(["P-256", "RSA-2048"]);

/** A P-256 public key as JWK (RFC 7517, 7518); other members are dropped. */
export const PublicJwk = z.object({
  kty: z.literal("EC"),
  crv: z.literal("P-256"),
  x: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  y: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
});

/** The name of a local account, as the administrator typed it. */
export const Username = z.string().min(1).max(256).regex(
  // deno-lint-ignore no-control-regex
  /^[^\u0000-\u001f\u007f/:]+$/,
  "must be an account name without control characters, '/' or ':'",
);

const PATTERN =
  /^https:\/\/(?<wildcard>\[\*\.\])?(?<host>[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*)(?::(?<port>\d{1,5}))?$/i;

/**
 * Why `pattern` is not a selection pattern, or undefined when it is one: `https://HOST[:PORT]` or
 * `https://[*.]DOMAIN[:PORT]`, the latter of two labels at least and no public suffix by shape.
 */
export function patternProblem(pattern: string): string | undefined {
  if (new TextEncoder().encode(pattern).length > LIMITS.patternBytes) {
    return `is longer than ${LIMITS.patternBytes} bytes`;
  }
  const { wildcard, host, port } = PATTERN.exec(pattern)?.groups ?? {};
  if (!host) return "must be https://HOST[:PORT] or https://[*.]DOMAIN[:PORT]";
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65535)) {
    return "has a port that is not 1 to 65535";
  }
  const labels = host.split(".");
  if (labels.some((label) => label.startsWith("-") || label.endsWith("-"))) {
    return "has a host name with a bad label";
  }
  if (wildcard && labels.length < 2) return "has a wildcard over a whole top-level domain";
  if (wildcard && isPublicSuffix(host.toLowerCase())) {
    return "has a wildcard over a public suffix, where strangers have names too";
  }
  return undefined;
}

/** Second-level labels under which registries of country domains sell names. */
const REGISTRY_LABELS = new Set(
  ["ac", "co", "com", "edu", "gob", "gov", "gouv", "gv", "ltd", "mil", "ne", "net", "nom", "or"]
    .concat(["org", "plc", "sch", "go", "id", "in", "me", "asso", "firm", "nhs", "police"]),
);

/** Hosting domains of the public suffix list's private part that companies use most. */
const SHARED_HOSTS = new Set([
  "github.io",
  "gitlab.io",
  "pages.dev",
  "workers.dev",
  "vercel.app",
  "netlify.app",
  "herokuapp.com",
  "azurewebsites.net",
  "cloudapp.net",
  "cloudfront.net",
  "appspot.com",
  "web.app",
  "firebaseapp.com",
  "blogspot.com",
  "deno.dev",
  "fly.dev",
  "onrender.com",
  "ngrok.io",
  "duckdns.org",
  "amazonaws.com",
]);

function isPublicSuffix(domain: string): boolean {
  if (SHARED_HOSTS.has(domain)) return true;
  const [second, top, ...rest] = domain.split(".");
  return rest.length === 0 && top?.length === 2 && REGISTRY_LABELS.has(second ?? "");
}

/** A content-settings pattern that a selection filter may name. */
export const SelectionPattern = z.string().superRefine((pattern, context) => {
  const problem = patternProblem(pattern);
  if (problem) context.addIssue({ code: "custom", message: `'${pattern}' ${problem}` });
});

/** The window in which a leaf is to be renewed, as in RFC 9773: `start` before `end`. */
export const RenewalWindow = z.object({ start: Instant, end: Instant }).refine(
  (window) => Date.parse(window.start) < Date.parse(window.end),
  "must start before it ends",
);

/** Root and intermediate, PEM; `crossSigned` is a new root's certificate signed by a pinned root. */
export const TrustAnchors = z.object({
  root: Pem,
  intermediate: Pem,
  crossSigned: Pem.optional(),
});

/** `POST /v1/devices`. */
export const EnrollmentRequest = z.object({
  connectKey: z.string().min(1).max(256),
  hostname: z.string().min(1).max(255),
  os: DeviceOs,
  osVersion: z.string().max(255),
  agentVersion: z.string().min(1).max(64),
  publicKey: PublicJwk,
});

/** Its answer. */
export const EnrollmentAnswer = z.object({
  deviceId: Uuid,
  publicUrl: z.string().max(2048).regex(/^https:\/\/[^/\s]+(\/\S*[^/\s])?$/),
  trustAnchors: TrustAnchors,
});

/** A leaf that the server counts as live on this device. */
export const LiveLeaf = z.object({ serial: Serial, status: z.enum(["current", "overlap"]) });

/** A managed user in the desired state. */
export const DesiredUser = z.object({
  userId: Uuid,
  username: Username,
  email: z.string().max(320),
  renewal: RenewalWindow.optional(),
  leaves: z.array(LiveLeaf).max(16),
});

/** What the agent server wants of a device now. */
export const DesiredState = z.object({
  brand: z.string().regex(/^[A-Za-z0-9]{1,32}$/),
  distribution: z.object({ enabled: z.boolean() }),
  certificate: z.object({
    keyAlgorithm: LeafKeyAlgorithm,
    overlapSeconds: z.number().int().min(0).max(365 * 86400),
  }),
  selection: z.object({ patterns: z.array(SelectionPattern).max(LIMITS.patterns) }),
  macosApplications: z.array(z.string().max(1024)).max(100),
  trustAnchors: TrustAnchors,
  users: z.array(DesiredUser).max(LIMITS.usersPerDevice),
});

/** `POST .../certificates`: a PKCS#10 request in PEM. */
export const CertificateRequest = z.object({
  csr: z.string().max(16 * 1024).regex(/^-----BEGIN CERTIFICATE REQUEST-----\s/),
});

/** Its answer: the bundle (PEM each), without the key that never left the device. */
export const CertificateAnswer = z.object({
  serial: Serial,
  leaf: Pem,
  intermediate: Pem,
  root: Pem,
  notAfter: Instant,
  renewal: RenewalWindow,
  overlapSeconds: z.number().int().min(0),
});

/** States of a managed user on a device (DESIGN section 7). */
export const UserState = z.enum([
  "absent",
  "waiting",
  "requesting",
  "installed",
  "renewing",
  "removing",
  "removed",
  "failed",
]);

/** States of a browser's selection filter (DESIGN section 7). */
export const FilterState = z.enum(["ok", "shadowed", "missing", "managed-elsewhere"]);

/** One browser's selection filter: where it is and whether it works. */
export const FilterReport = z.object({
  browser: z.string().max(64),
  location: z.string().max(1024),
  state: FilterState,
});

/** Why a user is not where the desired state wants; `code` as in DESIGN section 7. */
export const ReportedError = z.object({
  code: z.string().min(1).max(64),
  message: z.string().max(2000),
});

/** One thing that was removed and, read back, is gone: S13's receipt. */
export const RemovedItem = z.object({
  kind: z.enum([
    "leaf",
    "key",
    "intermediate",
    "root",
    "filter",
    "keychain",
    "password",
    "database",
  ]),
  id: z.string().max(1024),
});

/** A user's part of a report. */
export const UserReport = z.object({
  userId: Uuid,
  state: UserState,
  serial: Serial.optional(),
  filters: z.array(FilterReport).max(64),
  error: ReportedError.optional(),
  removed: z.array(RemovedItem).max(LIMITS.removedItems).optional(),
});

/** `POST .../reports`. */
export const DeviceReport = z.object({
  agentVersion: z.string().min(1).max(64),
  osVersion: z.string().max(255),
  hostname: z.string().min(1).max(255),
  users: z.array(UserReport).max(LIMITS.usersPerDevice * 2),
});

/** An error answer (RFC 9457), with this API's own members. */
export const ProblemDetails = z.object({
  type: z.string().max(256),
  title: z.string().max(256),
  status: z.number().int(),
  detail: z.string().max(4000).optional(),
  skewSeconds: z.number().optional(),
});

/** Prefix of every problem type of this API. */
export const PROBLEM_PREFIX = "urn:device-trust:";

export type DesiredState = z.infer<typeof DesiredState>;
export type DesiredUser = z.infer<typeof DesiredUser>;
export type CertificateAnswer = z.infer<typeof CertificateAnswer>;
export type EnrollmentAnswer = z.infer<typeof EnrollmentAnswer>;
export type UserReport = z.infer<typeof UserReport>;
export type UserState = z.infer<typeof UserState>;
export type FilterReport = z.infer<typeof FilterReport>;
export type FilterState = z.infer<typeof FilterState>;
export type RemovedItem = z.infer<typeof RemovedItem>;
export type DeviceReport = z.infer<typeof DeviceReport>;
export type TrustAnchors = z.infer<typeof TrustAnchors>;
export type RenewalWindow = z.infer<typeof RenewalWindow>;
