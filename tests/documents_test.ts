/** Documents that say what the program does: run, or held against it. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { PROBLEM_CODES } from "../platform/errors.ts";
import { shellBlocks } from "./documents.ts";
import { programFromSource } from "./product.ts";
import { testWith } from "./skip.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const IN_PYTHON = "python3 examples/agent.py server/server.json ./device";
const IN_TYPESCRIPT = `"$DENO" run -A --quiet --no-prompt ${ROOT}docs/examples/agent.ts ` +
  "server/server.json";

testWith(
  ["curl", "openssl", "python3"],
  "the integrators' document leads from nothing to a managed device, and back",
  async () => {
    const blocks = shellBlocks("docs/integrators.md");
    assert.ok(blocks.length >= 5);
    const out = await runSession(blocks.join("\n"));
    assert.match(out, /^enrolled as [0-9a-f-]{36}\nalice has serial [0-9a-f]{32} until .*Z$/m);
    assert.match(out, /^managed: True \(ok\)$/m);
    assert.match(out, /^distribution-off$/m, "the verdict after OFF");
  },
);

testWith(
  ["curl", "python3"],
  "the example in TypeScript does what the one in Python does",
  async () => {
    const untilManaged = shellBlocks("docs/integrators.md").slice(0, 3).join("\n");
    assert.ok(untilManaged.includes(IN_PYTHON));
    const out = await runSession(`${untilManaged.replace(IN_PYTHON, IN_TYPESCRIPT)}\nkill %1`);
    assert.match(out, /^enrolled as [0-9a-f-]{36}\nalice has serial [0-9a-f]{32} until .*Z$/m);
    assert.match(out, /^managed: true \(ok\)$/m);
  },
);

Deno.test("the operators' document has every code, and every link that doctor looks at", () => {
  const text = Deno.readTextFileSync(`${ROOT}docs/operators.md`);
  const rows = [...text.matchAll(/^\| `([^`]+)`/gm)].map(([, name = ""]) => name.split(":")[0]);
  const checked = ["doctor.ts", "doctor_user.ts", "doctor_challenge.ts"].flatMap((file) => {
    const source = Deno.readTextFileSync(`${ROOT}agent/${file}`);
    const ids = /(?:passed|failed)\(\s*[`"]([a-z-]+)|\bid = (?:.*\? )?[`"]([a-z-]+)/g;
    return [...source.matchAll(ids)].map(([, first, second]) => first ?? second);
  });
  const known = new Set([...checked, ...PROBLEM_CODES]);
  assert.ok(known.size > PROBLEM_CODES.length + 15);
  assert.deepEqual([...new Set(rows)].toSorted(), [...known].toSorted());
});

/** As in a terminal, but the first failure ends it, and nothing outlives it. */
const BEGIN = "set -eum; trap 'kill $(jobs -p) 2> /dev/null || true' EXIT";

/** Runs a script in an empty folder where `device-trust` and the examples are; gives what it says. */
async function runSession(script: string): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "device-trust-document-" });
  try {
    await Deno.symlink(`${ROOT}docs/examples`, `${folder}/examples`);
    const program = programFromSource().map((word) => `'${word}'`).join(" ");
    const { code, stdout, stderr } = await new Deno.Command("timeout", {
      args: ["120", "bash", "-c", `${BEGIN}\ndevice-trust() { exec ${program} "$@"; }\n${script}`],
      cwd: folder,
      env: { DENO: Deno.execPath() },
      stdin: "null",
    }).output();
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assert.equal(code, 0, `${out}\n${err}`);
    return out ?? "";
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
