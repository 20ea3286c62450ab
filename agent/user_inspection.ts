/**
 * What `doctor` looks at with a user's own rights: that user's home, databases and browsers. A
 * process of its own does it (hidden command `agent-inspect`), so that nothing of a user's is ever
 * opened with the agent's rights, and so that a database which somebody holds ends with a deadline.
 */
import { z } from "zod";
import { parseCertificate } from "../ca/certificate.ts";
import { DerError } from "../ca/der.ts";
import { INTERMEDIATE_NAME } from "../ca/names.ts";
import { PROBLEM_CODES, toProblem } from "../platform/errors.ts";
import { type UserPlatform, userPlatform } from "../platform/platform.ts";
import { EXIT } from "./exit.ts";

/** Longest wait for a database that another program holds, milliseconds. */
const LOCK_PATIENCE = 4000;

const Text = z.string().max(4096);

/** Why something did not work, as a `Problem` says it. */
export const FoundProblem = z.object({
  code: z.enum(PROBLEM_CODES).catch("internal"),
  message: z.string().max(16_384),
});

/** A certificate of a database that may have to do with us. Hashes and serials: hexadecimal. */
export const FoundCertificate = z.object({
  sha256: Text,
  serial: Text,
  commonName: Text,
  issuerCommonName: Text,
  /** Milliseconds since 1970. */
  notBefore: z.number(),
  notAfter: z.number(),
  hasKey: z.boolean(),
  /** Whether the database trusts it for anything. */
  trusted: z.boolean(),
});

/** One database. */
export const FoundStore = z.object({
  path: Text,
  usedBy: Text,
  exists: z.boolean(),
  certificates: z.array(FoundCertificate).max(200),
  problem: FoundProblem.optional(),
});

/** What a user's own process found; the user could have written anything, so it is parsed. */
export const UserInspection = z.object({
  home: FoundProblem.optional(),
  stores: z.array(FoundStore).max(50),
  browsers: z.array(z.object({ name: Text, pid: z.number(), startedAt: z.number() })).max(100),
  unserved: z.array(z.object({ browser: Text, location: Text, reason: Text })).max(50),
});

export type FoundProblem = z.infer<typeof FoundProblem>;
export type FoundCertificate = z.infer<typeof FoundCertificate>;
export type FoundStore = z.infer<typeof FoundStore>;
export type UserInspection = z.infer<typeof UserInspection>;

/** Looks at everything of the calling user, changing nothing. */
export async function inspectUser(
  platform: Pick<
    UserPlatform,
    "checkHome" | "inspectStores" | "runningBrowsers" | "unservedBrowsers"
  >,
): Promise<UserInspection> {
  try {
    await platform.checkHome();
  } catch (error) {
    return { home: found(error), stores: [], browsers: [], unserved: [] };
  }
  const stores = await platform.inspectStores(LOCK_PATIENCE);
  return {
    stores: stores.map(({ path, usedBy, exists, certificates, problem }) => ({
      path,
      usedBy,
      exists,
      certificates: certificates.flatMap((certificate) => describe(certificate)).slice(0, 200),
      ...(problem ? { problem: found(problem) } : {}),
    })),
    browsers: await platform.runningBrowsers(),
    unserved: await platform.unservedBrowsers(),
  };
}

/** `agent-inspect`: what was found, in JSON. */
export async function inspectCommand(
  root: string | undefined,
  output: { out: (text: string) => void },
): Promise<number> {
  output.out(`${JSON.stringify(await inspectUser(await userPlatform(root)))}\n`);
  return EXIT.done;
}

/** Others' certificates are nobody's business; those that bear our names are looked at. */
function describe(
  { der, ...found }: { der: Uint8Array; sha256: string; hasKey: boolean; trusted: boolean },
): FoundCertificate[] {
  try {
    const { serial, commonName = "", issuerCommonName = "", ...certificate } = parseCertificate(
      der,
    );
    const ours = [commonName, issuerCommonName].includes(INTERMEDIATE_NAME) ||
      commonName.endsWith(" Production Device Identification Root CA");
    if (!ours) return [];
    const notBefore = certificate.notBefore.getTime();
    const notAfter = certificate.notAfter.getTime();
    return [{ ...found, serial, commonName, issuerCommonName, notBefore, notAfter }];
  } catch (error) {
    if (error instanceof DerError) return [];
    throw error;
  }
}

function found(error: unknown): FoundProblem {
  const { code, message } = toProblem(error);
  return { code, message };
}
