/** How this program starts itself again: as one binary, or from source while it is developed. */
import type { SelfProgram } from "../platform/platform.ts";

/**
 * This program, with the same `--root`.
 *
 * @param source its main module where it runs from source, absolute; another program that drives
 * this one says where it is
 */
export function selfProgram(root: string | undefined, source: string = mainModule()): SelfProgram {
  const global = root === undefined ? [] : ["--root", root];
  const binary = Deno.execPath();
  if (Deno.build.standalone) return { argv: [binary, ...global], env: {}, files: [binary] };
  const cache = Deno.env.get("DENO_DIR") ?? usualCache();
  return {
    argv: [binary, "run", ...FROM_SOURCE, source, ...global],
    env: { DENO_DIR: cache, DENO_NO_UPDATE_CHECK: "1" },
    files: [binary, source, cache],
  };
}

/**
 * How `deno run` runs this program without asking or fetching anything. Were it not lazy, it would
 * read every module that a dynamic import names at each start, and keep it: 20 MB that the waiting
 * agent has no use for. The compiled binary is lazy by itself.
 */
const FROM_SOURCE = [
  ...["-A", "--quiet", "--no-prompt", "--cached-only"],
  "--unstable-lazy-dynamic-imports",
];

/** Without node:url, which would stay in the waiting agent's memory. */
function mainModule(): string {
  const path = decodeURIComponent(new URL(Deno.mainModule).pathname);
  return Deno.build.os === "windows" ? path.slice(1) : path;
}

function usualCache(): string {
  return Deno.build.os === "windows"
    ? `${Deno.env.get("LOCALAPPDATA")}\\deno`
    : `${Deno.env.get("HOME")}/.cache/deno`;
}

/** The same program with further arguments. */
export function withArguments(program: SelfProgram, ...args: string[]): SelfProgram {
  return { ...program, argv: [...program.argv, ...args] };
}
