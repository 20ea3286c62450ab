/** A policy tree for the tests of selection filters. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { FilterWorld } from "./selection_filters.ts";

const linux = Deno.build.os === "linux";

/** Whether tests that need root's rights can run. */
export const asRoot = linux && Deno.uid() === 0;

/** File name of our policy. */
export const NAME = "JumpCloudCertificateAutoselect.json";

/** Desired filters of most tests. */
export const wanted = { brand: "JumpCloud", patterns: ["https://portal.example.com:8443"] };

/** Another product's policy that sets the same key. */
export const FOREIGN =
  '{"AutoSelectCertificateForUrls": ["{\\"pattern\\":\\"https://x\\",\\"filter\\":{}}"]}';

/** A `--root` with its ledger of directories. */
export class Scratch implements FilterWorld {
  readonly root = Deno.makeTempDirSync({ prefix: "device-trust-filters-" });
  readonly createdDirectories: string[] = [];
  readonly recordCreated = (path: string) => void this.createdDirectories.push(path);
  readonly managed = this.at("etc/opt/chrome/policies/managed");
  readonly location = join(this.managed, NAME);

  at(path: string): string {
    return join(this.root, path);
  }
  make(path: string, content?: string): string {
    const full = this.at(path);
    Deno.mkdirSync(content === undefined ? full : join(full, ".."), { recursive: true });
    if (content !== undefined) Deno.writeTextFileSync(full, content);
    return full;
  }
  /** Every path below the root, links not followed. */
  tree(dir = this.root): string[] {
    return [...Deno.readDirSync(dir)].flatMap(({ name, isDirectory }) => {
      const path = join(dir, name);
      return [path.slice(this.root.length), ...(isDirectory ? this.tree(path) : [])];
    }).sort();
  }
  [Symbol.dispose]() {
    Deno.removeSync(this.root, { recursive: true });
  }
}

/** A test in a scratch root of its own, with the umask of the agent. */
export function scratch(
  name: string,
  test: (world: Scratch) => void | Promise<void>,
  ignore = !linux,
) {
  Deno.test({
    name,
    ignore,
    fn: async () => {
      using world = new Scratch();
      const before = Deno.umask(0o077);
      try {
        Deno.chmodSync(world.root, 0o755);
        await test(world);
      } finally {
        Deno.umask(before);
      }
    },
  });
}

/** Browser and state of each report. */
export function states(reports: { browser: string; state: string }[]): string[] {
  return reports.map(({ browser, state }) => `${browser} ${state}`);
}

/** Runs a program that must succeed. */
export function command(...argv: string[]): void {
  const [program = "", ...args] = argv;
  assert.ok(new Deno.Command(program, { args }).outputSync().success, argv.join(" "));
}
