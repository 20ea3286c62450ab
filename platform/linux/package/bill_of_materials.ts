/** What the one binary is made of, as a CycloneDX 1.6 document: the runtime and npm packages. */
import { Buffer } from "node:buffer";
import { z } from "zod";
import { runTool } from "./tool.ts";

/**
 * The document for the program in the folder `project`: each package that it loads, directly or
 * not, with the digest that `deno.lock` pins and the licence that it names. As the packages, it is
 * the same whenever it is made; hence without a serial number.
 *
 * @param at seconds since 1970
 * @throws Error for a package that `deno.lock` does not pin or that names no licence
 */
export async function billOfMaterials(
  project: string,
  version: string,
  at: number,
): Promise<string> {
  const { modules, npmPackages } = Graph.parse(
    JSON.parse(await runTool([Deno.execPath(), "info", "--json", "main.ts"], { cwd: project })),
  );
  const lock = Lock.parse(JSON.parse(await Deno.readTextFile(`${project}/deno.lock`)));
  const loaded = new Set<string>();
  const load = (id: string) => {
    if (loaded.has(id)) return;
    loaded.add(id);
    npmPackages[id]?.dependencies.forEach(load);
  };
  for (const { npmPackage } of modules) if (npmPackage !== undefined) load(npmPackage);
  const packages = await Promise.all(
    [...loaded].toSorted().map(async (id) => {
      const found = npmPackages[id];
      const pinned = lock.npm[id];
      if (!found || !pinned) throw new Error(`deno.lock does not pin ${id}, which main.ts loads.`);
      return component(found, pinned.integrity, await licenseOf(found));
    }),
  );
  const program = { type: "application", name: "device-trust", version, "bom-ref": "device-trust" };
  const document = {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      timestamp: new Date(at * 1000).toISOString(),
      component: { ...program, licenses: [{ license: { id: "MIT" } }] },
    },
    components: [RUNTIME, ...packages],
    dependencies: [{
      ref: program["bom-ref"],
      dependsOn: [RUNTIME, ...packages].map((each) => each["bom-ref"]),
    }],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** What `deno info --json` prints, as far as it is read here. */
const Graph = z.object({
  modules: z.array(z.object({ npmPackage: z.string().optional() })),
  npmPackages: z.record(
    z.string(),
    z.object({
      name: z.string(),
      version: z.string(),
      dependencies: z.array(z.string()),
      localPath: z.string(),
    }),
  ),
});
type NpmPackage = z.infer<typeof Graph>["npmPackages"][string];

const Lock = z.object({ npm: z.record(z.string(), z.object({ integrity: z.string() })) });

const RUNTIME = {
  type: "framework",
  name: "deno",
  version: Deno.version.deno,
  "bom-ref": `pkg:github/denoland/deno@v${Deno.version.deno}`,
  purl: `pkg:github/denoland/deno@v${Deno.version.deno}`,
  licenses: [{ license: { id: "MIT" } }],
} as const;

function component({ name, version }: NpmPackage, integrity: string, license: string) {
  const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
  const [, digest = ""] = /^sha512-(.+)$/.exec(integrity) ?? [];
  return {
    type: "library",
    name,
    version,
    "bom-ref": purl,
    purl,
    hashes: [{ alg: "SHA-512", content: Buffer.from(digest, "base64").toString("hex") }],
    licenses: [{ license: { id: license } }],
  };
}

async function licenseOf({ localPath, name }: NpmPackage): Promise<string> {
  const manifest = z.object({ license: z.string().optional() })
    .parse(JSON.parse(await Deno.readTextFile(`${localPath}/package.json`)));
  if (manifest.license) return manifest.license;
  throw new Error(`The npm package ${name} names no licence; look at it before it is published.`);
}
