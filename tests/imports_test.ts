/** The arrows of the architecture, and what the waiting agent may load, on the real import graph. */
import assert from "node:assert/strict";
import { fileURLToPath, pathToFileURL } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const FOLDERS = ["agent", "ca", "mock_server", "platform"];

/** Modules that all may import: names and formats of bytes, which load nothing but each other. */
const SHARED = ["ca/names.ts", "ca/der.ts", "ca/signature.ts", "ca/certificate.ts"];
/** The wire contract: what the agent and the agent server both import. */
const WIRE = ["agent/contract.ts", "agent/http_signature.ts"];

/** What a module of each folder may import. */
function mayImport(from: string, to: string): boolean {
  const within = (...places: string[]) => places.some((place) => to.startsWith(place));
  if (to === "main.ts" || to.startsWith("tests/")) return false;
  if (SHARED.includes(to)) return true;
  // The demonstration drives this program as a person would, with the agent's own means.
  if (from.startsWith("mock_server/demo")) return true;
  switch (folderOf(from)) {
    case "platform":
      return within("platform/");
    case "agent":
      return within("agent/", "platform/") || to === "deno.json";
    case "ca":
      return within("ca/");
    case "mock_server":
      return within("mock_server/", "ca/") || WIRE.includes(to);
    default:
      return within("agent/", "mock_server/");
  }
}

Deno.test("every import goes the way of the arrows", async () => {
  const graph = await importGraph([...FOLDERS.flatMap(sourcesIn), "main.ts"]);
  const wrong = [...graph].flatMap(([from, { imports }]) =>
    imports.filter((to) => isOurs(to) && !mayImport(from, to)).map((to) => `${from} -> ${to}`)
  );
  assert.deepEqual(wrong, []);
  assert.ok(graph.size > 50, "the graph was read");
});

Deno.test("what all may import loads nothing but itself", async () => {
  const graph = await importGraph(SHARED);
  assert.deepEqual([...graph.keys()].sort(), [...SHARED].sort());
  const loaded = [...graph.values()].flatMap(({ imports }) => imports);
  assert.deepEqual(loaded.filter((to) => !SHARED.includes(to)), []);
});

Deno.test("the waiting agent and a starting command load no heavy package", async () => {
  const graph = await importGraph(["main.ts"]);
  const heavy = /^npm:\/?(zod|@hono|hono|commander|@commander-js|@peculiar|@logtape)\b/;
  for (const start of ["main.ts", "agent/resident.ts", "agent/status_command.ts"]) {
    const loaded = loadedBy(start, graph);
    assert.deepEqual(loaded.filter((name) => heavy.test(name)), []);
    assert.ok(loaded.length > 1, `${start} is in what was looked at`);
  }
});

Deno.test("the waiting agent loads nothing of Node's but its SQLite: the rest is 16 MB", async () => {
  const graph = await importGraph(["main.ts"]);
  for (const start of ["main.ts", "agent/resident.ts"]) {
    const ofNode = loadedBy(start, graph).filter((name) => name.startsWith("node:"));
    assert.deepEqual(ofNode.filter((name) => name !== "node:sqlite"), []);
  }
});

Deno.test("the compiled binary holds everything that it loads", () => {
  // It looks in the shared temporary folder for what it does not hold, where anybody may put it.
  for (const file of [...FOLDERS.flatMap(sourcesIn), "main.ts"]) {
    const text = Deno.readTextFileSync(ROOT + file);
    const unknown = [...text.matchAll(/\bimport\((?!"[^"]+"\)).*|\bimport\.meta\.(?!main\b).*/g)];
    assert.deepEqual(unknown.map(([line]) => line), [], `${file}: not a literal name`);
  }
});

interface Module {
  /** Everything it names, types too. */
  imports: string[];
  /** What must be loaded before it runs. */
  loads: string[];
}

/** The graph below these files; names are relative to the project, packages as `npm:...`. */
async function importGraph(files: readonly string[]): Promise<Map<string, Module>> {
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(entry, files.map((file) => `import ${quotedUrl(file)};\n`).join(""));
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", "--config", `${ROOT}deno.json`, entry],
    }).output();
    return parseGraph(JSON.parse(new TextDecoder().decode(stdout)));
  } finally {
    await Deno.remove(entry);
  }
}

/** What `deno info --json` prints, as far as it is read here. */
interface DenoInfo {
  modules: {
    specifier: string;
    dependencies?: {
      code?: { specifier?: string };
      type?: { specifier?: string };
      isDynamic?: boolean;
    }[];
  }[];
}

function parseGraph({ modules }: DenoInfo): Map<string, Module> {
  const ours = modules.filter(({ specifier }) => isOurs(relative(specifier)));
  return new Map(ours.map(({ specifier, dependencies = [] }) => {
    const names = (list: (string | undefined)[]) =>
      list.flatMap((name) => name === undefined ? [] : [relative(name)]);
    return [relative(specifier), {
      imports: names(dependencies.flatMap(({ code, type }) => [code?.specifier, type?.specifier])),
      loads: names(
        dependencies.map(({ code, isDynamic }) => isDynamic ? undefined : code?.specifier),
      ),
    }];
  }));
}

/** Everything that has been loaded when a module begins to run. */
function loadedBy(file: string, graph: Map<string, Module>): string[] {
  const seen = new Set<string>();
  const visit = (name: string) => {
    if (seen.has(name)) return;
    seen.add(name);
    graph.get(name)?.loads.forEach(visit);
  };
  visit(file);
  return [...seen];
}

function relative(specifier: string): string {
  const root = pathToFileURL(ROOT).href;
  return specifier.startsWith(root) ? specifier.slice(root.length) : specifier;
}

function isOurs(name: string): boolean {
  return !name.includes(":");
}

function folderOf(file: string): string {
  return file.includes("/") ? file.slice(0, file.indexOf("/")) : "";
}

function quotedUrl(file: string): string {
  return JSON.stringify(pathToFileURL(ROOT + file).href);
}

/** The modules of a folder that are no tests. */
function sourcesIn(folder: string): string[] {
  return [...Deno.readDirSync(ROOT + folder)].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return sourcesIn(`${folder}/${name}`);
    return /\.tsx?$/.test(name) && !/_test\.tsx?$/.test(name) ? [`${folder}/${name}`] : [];
  });
}
