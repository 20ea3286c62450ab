import assert from "node:assert/strict";
import { STYLE } from "./style.ts";

/** What is written on what; WCAG 2.2, 1.4.3 asks for 4.5 to 1. */
const WRITTEN: [colour: string, on: string[]][] = [
  ["text", ["page", "card", "raised", "accent-soft", "good-soft", "warn-soft", "bad-soft"]],
  ["muted", ["page", "card", "raised", "accent-soft", "good-soft", "warn-soft"]],
  ["accent", ["page", "card", "raised", "accent-soft", "good-soft", "warn-soft"]],
  ["on-accent", ["accent"]],
  ["good", ["good-soft"]],
  ["warn", ["warn-soft"]],
  ["bad", ["bad-soft", "card"]],
];

/** Edges of fields; WCAG 2.2, 1.4.11 asks for 3 to 1. */
const DRAWN: [colour: string, on: string[]][] = [["edge", ["page", "card"]]];

/** The sheet's colours by name: light, dark. */
function colours(): Map<string, [string, string]> {
  const found = STYLE.matchAll(/--([a-z-]+): light-dark\((#[0-9a-f]+), (#[0-9a-f]+)\)/g);
  return new Map([...found].map(([, name = "", light = "", dark = ""]) => [name, [light, dark]]));
}

function luminance(colour: string): number {
  const hex = colour.length === 4 ? colour.replace(/[0-9a-f]/g, "$&$&") : colour;
  const [red = 0, green = 0, blue = 0] = [1, 3, 5]
    .map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: string, other: string): number {
  const [light = 0, dark = 0] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

Deno.test("what is written and drawn stands out enough, in light and in dark", () => {
  const known = colours();
  for (const [pairs, least] of [[WRITTEN, 4.5], [DRAWN, 3]] as const) {
    for (const [colour, grounds] of pairs) {
      for (const ground of grounds) {
        for (const scheme of [0, 1] as const) {
          const [front, back] = [known.get(colour)?.[scheme], known.get(ground)?.[scheme]];
          assert.ok(front && back, `${colour} on ${ground}`);
          const found = contrast(front, back);
          const where = `${colour} on ${ground}, ${scheme === 0 ? "light" : "dark"}`;
          assert.ok(found >= least, `${where}: ${found.toFixed(2)}`);
        }
      }
    }
  }
});
