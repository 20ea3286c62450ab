/**
 * A life of a bundle in the user's store, killed at the n-th call into NSS (0: never, over and
 * over until somebody kills it). Arguments: home, the authority's folder, ledger file, n.
 */
import { Nss } from "../platform/linux/nss_ffi.ts";
import { openNssdb } from "../platform/linux/nssdb.ts";
import { openThrowawayCa } from "./throwaway_ca.ts";

const [home = "", caFolder = "", ledger = "", n = "0"] = Deno.args;
const killAt = Number(n);

let calls = 0;
function step(): void {
  if (++calls === killAt) Deno.kill(Deno.pid, "SIGKILL");
  if (killAt === 0) Deno.stdout.writeSync(new Uint8Array([46]));
}

for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(Nss.prototype))) {
  const original: unknown = descriptor.value;
  // Calls that only look or give back change nothing on disk.
  if (/^(constructor|sha256|need.*|destroy.*|encodePublicKey|key.*)$/.test(name)) continue;
  if (typeof original !== "function") continue;
  Object.defineProperty(Nss.prototype, name, {
    ...descriptor,
    value(this: Nss, ...args: unknown[]) {
      step();
      return original.apply(this, args);
    },
  });
}

const ca = openThrowawayCa(caFolder);
do {
  const store = openNssdb({ home, recordPath() {}, lockTimeout: 10_000 });
  const spki = await store.createKey("P-256", (_spki, id) => {
    step();
    Deno.writeTextFileSync(ledger, `${id}\n`, { append: true });
    step();
  });
  await store.install("root", ca.root);
  await store.install("leaf", ca.issue(spki, { subject: "/CN=Leaf" }));
  for (const { sha256 } of (await store.list()).certificates) await store.removeCertificate(sha256);
  for (const key of (await store.list()).keys) await store.removeKey(key);
  store.close();
} while (killAt === 0);
