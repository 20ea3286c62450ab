/** Does what reconcile says to one user's store: ledger first, then the thing, then a look at it. */
import { sameBytes } from "../ca/der.ts";
import type { RunningBrowser } from "../platform/findings.ts";
import type { StoreContents } from "../platform/trust_store.ts";
import type { RemovedItem } from "./contract.ts";
import { BROWSER_START_TIME, FILTER_READ_TIME, filterReadAt } from "./filter_timing.ts";
import {
  type LeafRequestKeys,
  type LeafRequestWorld,
  type RequestedLeaf,
  requestLeaf,
} from "./leaf_request.ts";
import type { UserSlice } from "./local_contract.ts";
import type { Observation } from "./observe.ts";
import type { Action } from "./reconcile.ts";
import { planRenewal } from "./renewal.ts";
import { certificateDer, describeCertificate, sha256Hex } from "./verify.ts";

/** What applying needs of the user-agent's world. */
export interface ApplyWorld extends LeafRequestWorld {
  /** Uniform in [0, 1). */
  random: () => number;
  sleep: (milliseconds: number) => Promise<void>;
  runningBrowsers: () => Promise<RunningBrowser[]>;
}

/**
 * Does the actions in order and stops at the first that fails, so that nothing is broken before
 * its successor is made. What was removed, each read back by the store, is added to `removed` as it
 * goes: the receipt counts also when a later step fails.
 *
 * @returns the serial of the leaf that was installed, if one was
 */
export async function apply(
  world: ApplyWorld,
  slice: UserSlice,
  seen: Observation,
  actions: readonly Action[],
  removed: RemovedItem[],
): Promise<string | undefined> {
  let requested: RequestedLeaf | undefined;
  for (const action of actions) {
    switch (action.do) {
      case "request-leaf":
        requested = await requestLeaf(world, slice, {
          ...(action.key === undefined ? {} : { key: action.key }),
          ...signerOf(seen, action.signer),
        });
        break;
      case "install-authority":
        await installAuthority(world, action.role, certificateDer(slice.trustAnchors[action.role]));
        break;
      case "install-leaf":
        if (requested) await installLeaf(world, slice, seen, requested);
        break;
      case "remove-leaf":
        await world.store.removeCertificate(action.sha256);
        world.ledger.forgetCertificate(action.sha256);
        world.ledger.forgetRenewal(seen.descriptions.get(action.sha256)?.serial ?? "");
        remove(world, removed, "leaf", seen.descriptions.get(action.sha256)?.serial ?? "");
        break;
      case "remove-key":
        await world.store.removeKey(action.spkiSha256);
        world.ledger.forgetKey(action.spkiSha256);
        remove(world, removed, "key", action.spkiSha256);
        break;
      case "remove-authority":
        // A leaf that is given again still hangs on the authorities that issued it.
        if (requested?.bundle[action.role].sha256 === action.sha256) break;
        await world.store.removeCertificate(action.sha256);
        world.ledger.forgetCertificate(action.sha256);
        remove(world, removed, action.role, action.sha256);
        break;
    }
  }
  return requested?.bundle.leaf.serial;
}

/** Forgets ledger rows of things that are not in the store (removed by hand, or never stored). */
export function forgetAbsent(world: LeafRequestWorld, contents: StoreContents): void {
  const present = new Set(contents.certificates.map((certificate) => certificate.sha256));
  for (const row of world.ledger.certificates()) {
    if (!present.has(row.sha256)) world.ledger.forgetCertificate(row.sha256);
  }
  const keys = new Set(contents.keys);
  for (const key of world.ledger.keys()) if (!keys.has(key)) world.ledger.forgetKey(key);
}

function signerOf(seen: Observation, sha256: string | undefined): LeafRequestKeys {
  const signer = sha256 === undefined ? undefined : seen.descriptions.get(sha256);
  return signer === undefined ? {} : { signer };
}

function remove(
  world: ApplyWorld,
  removed: RemovedItem[],
  kind: RemovedItem["kind"],
  id: string,
): void {
  world.ledger.recordEvent(`${kind}.removed`, id);
  removed.push({ kind, id });
}

async function installAuthority(
  world: ApplyWorld,
  role: "root" | "intermediate",
  der: Uint8Array,
): Promise<void> {
  const { serial, commonName } = await describeCertificate(der);
  world.ledger.recordCertificate({ sha256: await sha256Hex(der), role, serial, commonName });
  await world.store.install(role, der);
}

async function installLeaf(
  world: ApplyWorld,
  slice: UserSlice,
  seen: Observation,
  { bundle: { leaf, ...chain }, renewal }: RequestedLeaf,
): Promise<void> {
  for (const role of ["root", "intermediate"] as const) {
    // Of an earlier generation, when the leaf was issued before the anchors were renewed.
    const { sha256, der } = chain[role];
    const isPinned = sameBytes(der, certificateDer(slice.trustAnchors[role]));
    if (!isPinned && !seen.present.has(sha256)) await installAuthority(world, role, der);
  }
  world.ledger.recordCertificate({
    sha256: leaf.sha256,
    role: "leaf",
    serial: leaf.serial,
    commonName: leaf.commonName,
  });
  world.ledger.recordRenewal(leaf.serial, planRenewal(renewal, world.random));
  if (!seen.leaves.some((other) => other.hasKey)) await waitForBrowsers(world, slice);
  await world.store.install("leaf", leaf.der);
  world.ledger.recordEvent("leaf.installed", `${leaf.commonName}, serial ${leaf.serial}`);
}

/** The filter goes first: a first leaf waits until running browsers have read it (S15). */
async function waitForBrowsers(world: ApplyWorld, slice: UserSlice): Promise<void> {
  let writtenAt = slice.filterWrittenAt;
  for (let waits = 0; waits < MOST_WAITS && writtenAt !== undefined; waits++) {
    if (writtenAt + LONGEST_WAIT <= world.now()) return;
    const left = filterReadAt(writtenAt, await world.runningBrowsers()) - world.now();
    if (left <= 0) return;
    // A clock that was set back must not make anybody wait for longer than the reading takes.
    await world.sleep(Math.min(left, LONGEST_WAIT));
    // For a browser that was just starting, the agent has touched the filter meanwhile.
    writtenAt = (await world.client.slice())?.slice.filterWrittenAt;
  }
}

const LONGEST_WAIT = BROWSER_START_TIME + FILTER_READ_TIME;
const MOST_WAITS = 3;
