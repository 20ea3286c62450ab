/** A key in the store -> CSR -> signed request -> bundle that is proved to be what was asked for. */
import { readPublicKey } from "../ca/signature.ts";
import { KeyAccessLost, Problem } from "../platform/errors.ts";
import type { TrustStore } from "../platform/trust_store.ts";
import { createCsr } from "./csr.ts";
import { randomNonce, type SignatureFields, signRequest } from "./http_signature.ts";
import { KeyRefused } from "./key_refused.ts";
import type { Ledger } from "./ledger.ts";
import type { LocalClient } from "./local_client.ts";
import {
  certificateRequestBody,
  certificatesPath,
  type LocalBundle,
  type UserSlice,
} from "./local_contract.ts";
import {
  type CertificateDescription,
  sha256Hex,
  type VerifiedBundle,
  verifyBundle,
} from "./verify.ts";

/** What a request needs of the user-agent's world. */
export interface LeafRequestWorld {
  client: LocalClient;
  store: TrustStore;
  ledger: Ledger;
  /** Local clock, milliseconds. */
  now: () => number;
}

/** A leaf that was obtained and proved, and is not installed yet. */
export interface RequestedLeaf {
  bundle: VerifiedBundle;
  renewal: LocalBundle["renewal"];
}

/** What a leaf is asked for with. */
export interface LeafRequestKeys {
  /** SPKI hash of a key of the store, when a request for it may have been answered before. */
  key?: string;
  /** The live leaf whose key signs too: a renewal (S6). */
  signer?: CertificateDescription;
}

/**
 * Obtains a leaf: with the store's key `key`, else with a new one, whose hash is in the ledger
 * before it is in the store. Nothing but that key is stored here: the bundle is returned only when
 * every part of it was verified.
 *
 * @throws Problem `bundle-rejected` when the answer is not for this key, device, user and chain
 * @throws KeyRefused when another key is needed; `key` is gone then
 */
export async function requestLeaf(
  world: LeafRequestWorld,
  slice: UserSlice,
  { key, signer }: LeafRequestKeys,
): Promise<RequestedLeaf> {
  const known = key === undefined ? undefined : world.ledger.key(key);
  const algorithm = known?.algorithm ?? slice.keyAlgorithm;
  const spki = known?.spki ?? await createRecordedKey(world, algorithm);
  const spkiSha256 = await sha256Hex(spki);
  let csr: string;
  try {
    csr = await createCsr(spki, algorithm, (message) => world.store.sign(spkiSha256, message));
  } catch (error) {
    if (!known || !(error instanceof KeyAccessLost)) throw error;
    await removeKey(world, spkiSha256);
    return await requestLeaf(world, slice, signer ? { signer } : {});
  }
  const leafSignature = signer && await signWithLeaf(world, slice, csr, signer);
  const answer = await world.client.certificate({ csr, ...(leafSignature && { leafSignature }) })
    .catch(async (error) => {
      if (known && error instanceof KeyRefused) await removeKey(world, spkiSha256);
      throw error;
    });
  const bundle = await verifyBundle(answer, {
    spki,
    deviceId: slice.deviceId,
    userId: slice.userId,
    brand: slice.brand,
    pinned: slice.trustAnchors,
    former: slice.formerAnchors ?? [],
    now: new Date(world.now() + slice.clock.offset),
  });
  if (bundle.leaf.serial === signer?.serial) {
    throw new Problem(
      "bundle-rejected",
      "The agent server's certificate bundle was refused: its leaf has the serial of the leaf that " +
        "it is to replace. Nothing was changed; the agent server must give every leaf its own.",
    );
  }
  if (Date.parse(answer.renewal.start) >= bundle.leaf.notAfter.getTime()) {
    throw new Problem(
      "bundle-rejected",
      "The agent server's renewal window begins after the leaf ends. The bundle was not " +
        "installed; look at the agent server's --renew-after and --leaf-ttl.",
    );
  }
  return { bundle, renewal: answer.renewal };
}

/**
 * The signature that proves possession of the leaf to be renewed, made inside the store; undefined
 * when the store does not let this program use its key any more: then it is asked for as lost.
 */
async function signWithLeaf(
  world: LeafRequestWorld,
  slice: UserSlice,
  csr: string,
  leaf: CertificateDescription,
): Promise<SignatureFields | undefined> {
  const isRsa = readPublicKey(leaf.spki).kind === "RSA";
  const signing = signRequest(
    {
      method: "POST",
      targetUri: slice.publicUrl + certificatesPath(slice),
      body: certificateRequestBody(csr),
    },
    {
      label: "leaf",
      keyid: leaf.sha256,
      alg: isRsa ? "rsa-v1_5-sha256" : "ecdsa-p256-sha256",
      sign: (message) => world.store.sign(leaf.spkiSha256, message),
    },
    { created: Math.floor((world.now() + slice.clock.offset) / 1000), nonce: randomNonce },
  );
  try {
    return await signing;
  } catch (error) {
    if (!(error instanceof KeyAccessLost)) throw error;
    world.ledger.recordEvent("leaf.key-access-lost", error.message);
    return undefined;
  }
}

/** The next request is to be with a new key. */
async function removeKey({ store, ledger }: LeafRequestWorld, spkiSha256: string): Promise<void> {
  await store.removeKey(spkiSha256);
  ledger.forgetKey(spkiSha256);
}

async function createRecordedKey(
  world: LeafRequestWorld,
  algorithm: UserSlice["keyAlgorithm"],
): Promise<Uint8Array> {
  const applications = await world.store.applications?.();
  return await world.store.createKey(algorithm, (spki, spkiSha256) => {
    world.ledger.recordKey(spkiSha256, spki, algorithm, applications);
  });
}
