/**
 * What putting a bundle into a new NSS database costs, beside a script of Mozilla's own tools doing
 * the same: a key, a request signed with it (made by openssl there), the chain, a look at it all.
 */
import { openNssdb } from "../platform/linux/nssdb.ts";
import { makeThrowawayCa, openThrowawayCa, type ThrowawayCa } from "../tests/throwaway_ca.ts";
import type { Bench, BenchOptions, Row } from "./measure.ts";

/** Rows for `deno task bench`. */
export const bench: Bench = { title: "A bundle into and out of an NSS database", measure };

const RATIO = "nssdb, first thing in a process, per script";

async function measure({ times, progress }: BenchOptions): Promise<Row[]> {
  const folder = Deno.makeTempDirSync({ prefix: "bench-nss-" });
  try {
    const ca = makeThrowawayCa(folder);
    const script = prepareScript(folder, ca);
    await cycle(folder, ca);
    const samples: Record<string, number[]> = {};
    const add = (what: string, value: number) => (samples[what] ??= []).push(value);
    const rounds = times(100);
    // In turns, so that all meet the same machine.
    for (let round = 0; round < rounds; round++) {
      const { install, remove } = await cycle(folder, ca);
      const first = await inNewProcess(folder, ca);
      const { key, bundle } = script();
      add("bundle into a new nssdb: key, request, chain, read back", install);
      add("the same, as the first thing that a process does", first);
      add("the same by openssl, pk12util and certutil", key + bundle);
      add("of that, pk12util and certutil alone, with a key ready-made", bundle);
      add("bundle out of nssdb, read back", remove);
      add(RATIO, first / (key + bundle));
      if (round % 20 === 0) progress(`round ${round} of ${rounds}`);
    }
    return Object.entries(samples).map(([what, samples]) =>
      what === RATIO
        ? { what, samples, unit: "x", target: { median: 0.33 } }
        : { what, samples, unit: "ms" }
    );
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Milliseconds for one bundle in and out; the authority's own time is not counted. */
async function cycle(folder: string, ca: ThrowawayCa) {
  const home = Deno.makeTempDirSync({ dir: folder });
  let start = performance.now();
  const store = openNssdb({ home, recordPath() {} });
  let key = "";
  const spki = await store.createKey("P-256", (_spki, id) => key = id);
  await store.sign(key, spki);
  let install = performance.now() - start;

  const leaf = ca.issue(spki, { subject: "/CN=Leaf" });
  const intermediate = ca.selfSigned("/CN=Intermediate");
  start = performance.now();
  await store.install("root", ca.root);
  await store.install("intermediate", intermediate);
  await store.install("leaf", leaf);
  const { certificates } = await store.list();
  store.close();
  install += performance.now() - start;
  if (certificates.filter(({ complete }) => complete).length !== 3) {
    throw new Error("The bundle is not whole.");
  }

  start = performance.now();
  const again = openNssdb({ home, recordPath() {} });
  for (const { sha256 } of certificates) await again.removeCertificate(sha256);
  await again.removeKey(key);
  again.close();
  return { install, remove: performance.now() - start };
}

/** {@link cycle}'s installation in a process that has done nothing yet; its start is not counted. */
async function inNewProcess(folder: string, ca: ThrowawayCa): Promise<number> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", import.meta.filename ?? "", folder, ca.folder],
    stderr: "inherit",
  }).output();
  return Number(new TextDecoder().decode(stdout));
}

/** Makes the script's files; what is returned runs it: milliseconds for the key, and the rest. */
function prepareScript(folder: string, ca: ThrowawayCa): () => { key: number; bundle: number } {
  ca.selfSigned("/CN=Intermediate");
  Deno.copyFileSync(`${ca.folder}/other.pem`, `${ca.folder}/intermediate.pem`);
  // The script's leaf is of a key of its own, so that no authority's time is in between.
  ca.selfSigned("/CN=Leaf");
  const keyScript = `set -e
    cd "$1"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=leaf \
      -keyout "$0/leaf.key" -out "$0/leaf.csr"
    openssl pkcs12 -export -inkey other.key -in other.pem -name leaf -passout pass:x \
      -out "$0/leaf.p12"`;
  const bundleScript = `set -e
    certutil -N -d "sql:$0" --empty-password
    pk12util -i "$0/leaf.p12" -d "sql:$0" -W x
    certutil -A -d "sql:$0" -n root -t ,, -i "$1/ca.pem"
    certutil -A -d "sql:$0" -n intermediate -t ,, -i "$1/intermediate.pem"
    certutil -L -d "sql:$0"
    certutil -K -d "sql:$0"`;
  return () => {
    const directory = Deno.makeTempDirSync({ dir: folder });
    const timed = (script: string) => {
      const start = performance.now();
      run("sh", ["-c", script, directory, ca.folder]);
      return performance.now() - start;
    };
    return { key: timed(keyScript), bundle: timed(bundleScript) };
  };
}

function run(program: string, args: string[]): void {
  const { success, stderr } = new Deno.Command(program, { args }).outputSync();
  if (!success) throw new Error(`${program} failed: ${new TextDecoder().decode(stderr)}`);
}

if (import.meta.main) {
  const [folder = "", caFolder = ""] = Deno.args;
  const { install } = await cycle(folder, openThrowawayCa(caFolder));
  Deno.stdout.writeSync(new TextEncoder().encode(String(install)));
}
