/** Certificate answers that must be refused: made by real authorities, for the very CSR that came. */
import { type CertificateAnswer, CertificateRequest } from "../agent/contract.ts";
import { type Authority, openAuthority } from "../ca/authority.ts";
import { checkCsr } from "../ca/csr.ts";
import { issueLeaf, type LeafRequest } from "../ca/issue.ts";
import type { Distortion } from "./distorted_server.ts";
import { edited, type HostileAnswer } from "./hostile_answers.ts";
import { newCsr } from "../mock_server/scratch_device.ts";

const DAY = 86_400_000;

/** How a leaf differs from the one that was to be issued. */
interface LeafChanges extends Partial<LeafRequest> {
  /** Issues it in the authority's place. */
  by?: Authority;
}

/**
 * The answers to a device of `authority`.
 *
 * @param folder where other authorities are made
 */
export async function hostileBundles(
  authority: Authority,
  folder: string,
): Promise<HostileAnswer[]> {
  const now = new Date();
  const stranger = await openAuthority(`${folder}/stranger`, { brand: authority.brand, now });
  // The same keys under another name would be another brand's server.
  const renamed: Authority = { ...authority, brand: "Acme" };
  const { spki: otherKey } = await checkCsr((await newCsr()).csr);
  const ids = { deviceId: crypto.randomUUID(), userId: crypto.randomUUID() };
  const leaf = (what: string, changes: LeafChanges, words: RegExp): HostileAnswer => ({
    what: `a leaf ${what}`,
    answer: withLeaf(authority, changes),
    words,
  });
  const bundle = (what: string, change: (answer: Loose) => void, words: RegExp) => ({
    what: `a bundle ${what}`,
    answer: edited(change),
    words,
  });
  return [
    leaf("for another key", { spki: otherKey }, /its leaf is for another key/),
    leaf("for another user", { userId: ids.userId }, /names another device or user/),
    leaf("for another device", { deviceId: ids.deviceId }, /names another device or user/),
    leaf("of another brand", { by: renamed }, /no leaf name of brand 'JumpCloud'/),
    leaf("of another authority", { by: stranger }, /point to the key of the intermediate/),
    leaf(
      "that has expired",
      { now: new Date(now.getTime() - 2 * DAY), ttlSeconds: DAY / 1000 },
      /its leaf ended at/,
    ),
    leaf("of the future", { now: new Date(now.getTime() + DAY) }, /its leaf begins at/),
    {
      what: "another authority's whole chain",
      answer: withLeaf(authority, { by: stranger }, {
        root: stranger.root.pem,
        intermediate: stranger.intermediate.pem,
      }),
      words: /its root is not the root that was pinned/,
    },
    bundle(
      "with another authority's intermediate",
      (answer) => answer.intermediate = stranger.intermediate.pem,
      /its intermediate is not the intermediate that was pinned/,
    ),
    bundle(
      "whose leaf is the intermediate",
      (answer) => answer.leaf = answer.intermediate,
      /its leaf is for another key/,
    ),
    bundle(
      "whose leaf is rubbish",
      (answer) => answer.leaf = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
      /its leaf cannot be read/,
    ),
    bundle(
      "whose leaf is two",
      (answer) => answer.leaf = `${answer.leaf}${answer.root}`,
      /its leaf cannot be read/,
    ),
    bundle("without a leaf", (answer) => delete answer.leaf, /'leaf'/),
    bundle("with a number for a leaf", (answer) => answer.leaf = 1, /'leaf'/),
    bundle("that announces another serial", (answer) => answer.serial = "0badc0de", /0badc0de/),
    bundle(
      "that announces another end",
      (answer) => answer.notAfter = "2099-01-01T00:00:00Z",
      /not at 2099-01-01T00:00:00Z as announced/,
    ),
    bundle(
      "whose renewal window ends before it begins",
      (answer) => answer.renewal = { start: "2099-01-02T00:00:00Z", end: "2099-01-01T00:00:00Z" },
      /must start before it ends/,
    ),
    bundle(
      "that is to be renewed after its end",
      (answer) => answer.renewal = { start: "2099-01-01T00:00:00Z", end: "2099-01-02T00:00:00Z" },
      /renewal window begins after the leaf ends/,
    ),
  ];
}

/** A certificate answer of which anything may be replaced by anything. */
type Loose = { -readonly [K in keyof CertificateAnswer]?: unknown };

/** The usual answer, with another leaf that it announces truly. */
export function withLeaf(
  authority: Authority,
  { by = authority, ...changes }: LeafChanges,
  anchors: Partial<CertificateAnswer> = {},
): Distortion {
  return async (usual, request) => {
    const { csr } = CertificateRequest.parse(await request.clone().json());
    const [, deviceId = "", userId = ""] = IDS.exec(request.url) ?? [];
    const { pem, serial, notAfter } = await issueLeaf(by, {
      spki: (await checkCsr(csr)).spki,
      deviceId,
      userId,
      nameSuffix: "00c0ffee",
      crlUrl: "https://localhost/v1/crl",
      now: new Date(),
      ttlSeconds: 30 * DAY / 1000,
      ...changes,
    });
    const announced = { leaf: pem, serial, notAfter: notAfter.toISOString() };
    return await edited<Loose>((answer) => Object.assign(answer, announced, anchors))(
      usual,
      request,
    );
  };
}

const IDS = /\/devices\/([0-9a-f-]+)\/users\/([0-9a-f-]+)\/certificates$/;
