/** Aligned and, where wanted, coloured text for a terminal. Pure. */
import { oneLine } from "./text_lines.ts";

/** What colours are for: what is right, what waits, what is wrong, and what is beside the point. */
export type Tone = "good" | "waiting" | "bad" | "faint";

/** A part of a line; what others wrote in it cannot steer the terminal. */
export type Cell = string | { text: string; tone: Tone };

/** SGR parameters (ECMA-48, 8.3.117). */
const SGR = { good: 32, waiting: 33, bad: 31, faint: 2 } as const satisfies Record<Tone, number>;

/**
 * Rows as lines without their ends. A column is as wide as the widest of its cells that have another
 * behind them: what ends a line may be of any length.
 */
export function alignedLines(rows: readonly (readonly Cell[])[], color: boolean): string[] {
  const texts = rows.map((row) => row.map((cell) => oneLine(textOf(cell))));
  const widths: number[] = [];
  for (const row of texts) {
    for (const [at, text] of row.slice(0, -1).entries()) {
      widths[at] = Math.max(widths[at] ?? 0, [...text].length);
    }
  }
  return rows.map((row, line) =>
    row.map((cell, at) => {
      const text = texts[line]?.[at] ?? "";
      const gap = at === row.length - 1 ? 0 : (widths[at] ?? 0) - [...text].length;
      return painted(text, cell, color) + " ".repeat(gap);
    }).join("  ").trimEnd()
  );
}

function textOf(cell: Cell): string {
  return typeof cell === "string" ? cell : cell.text;
}

function painted(text: string, cell: Cell, color: boolean): string {
  if (!color || typeof cell === "string" || text === "") return text;
  return `\x1b[${SGR[cell.tone]}m${text}\x1b[0m`;
}
