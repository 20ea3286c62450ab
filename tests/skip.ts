/** Tests that need something of the machine, and say so where it is not there. */
import { hasDebianTrees } from "./debian_tree.ts";
import { hasWineTree } from "./wine_tree.ts";
import { missing, type Witness } from "./witnesses.ts";

/** What a test may need: a witness, root's rights, a tree of ours, or what no package brings. */
export type Requirement = Witness | "root" | "wine" | "debian" | MachineFact;

/** A fact about the machine. */
export interface MachineFact {
  met: boolean;
  /** What is wrong when it is not met; begins with "this machine". */
  otherwise: `this machine ${string}`;
}

/**
 * Registers a test that runs where its requirements are met. Elsewhere it is reported as ignored,
 * with the reason at the end of its name, where `deno task test` finds it.
 */
export function testWith(
  requirements: readonly Requirement[],
  name: string,
  fn: (t: Deno.TestContext) => void | Promise<void>,
): void {
  const reason = unmet(requirements);
  const ignore = reason !== undefined;
  Deno.test({ name: ignore ? `${name} [skipped: ${reason}]` : name, ignore, fn });
}

/** Why something with these requirements cannot run here; undefined when it can. */
export function unmet(requirements: readonly Requirement[]): string | undefined {
  const needs: string[] = [];
  for (const requirement of requirements) {
    if (typeof requirement === "object") {
      if (!requirement.met) return requirement.otherwise;
    } else if (requirement === "wine") {
      if (!hasWineTree()) return NO_WINE;
    } else if (requirement === "debian") {
      if (!hasDebianTrees()) return NO_DEBIAN;
    } else if (!isMet(requirement)) {
      needs.push(requirement);
    }
  }
  return needs.length === 0 ? undefined : `needs ${needs.join(", ")}`;
}

/** The reason that a skipped test's name ends with; undefined where it gives none. */
export function reasonIn(testName: string): string | undefined {
  return / (?:\[skipped|\(not run): (.*)[\])]$/.exec(testName)?.[1];
}

const NO_WINE = "this machine has no Wine of ours, which 'deno task test --wine' builds";
const NO_DEBIAN = "this machine has no Debians of ours, which 'deno task test --debian' builds";

function isMet(requirement: Witness | "root"): boolean {
  if (requirement === "root") return Deno.uid() === 0;
  return missing([requirement]).length === 0;
}
