/** What happened, in words that are the same whenever the same happens: keys and serials are not. */
import { createHash } from "node:crypto";

/** Lines that are kept for who has to find out what went wrong. */
const KEPT = 50;

/** The trace of one life. */
export class Trace {
  /** How often each kind of event, fault and answer occurred. */
  readonly counts = new Map<string, number>();
  readonly #hash = createHash("sha256");
  readonly #lines: string[] = [];

  constructor(
    private readonly now: () => number,
    private readonly print?: (line: string) => void,
  ) {}

  /** Adds a line. */
  line(text: string): void {
    const line = `${new Date(this.now()).toISOString()} ${text}`;
    this.#hash.update(`${line}\n`);
    this.#lines.push(line);
    if (this.#lines.length > KEPT) this.#lines.shift();
    this.print?.(line);
  }

  /** Counts one of a kind, and adds a line of it. */
  count(kind: string, more = ""): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    this.line(more ? `${kind}: ${more}` : kind);
  }

  /** The last lines. */
  get last(): readonly string[] {
    return this.#lines;
  }

  /** SHA-256 of every line so far, hexadecimal. */
  digest(): string {
    return this.#hash.copy().digest("hex");
  }
}
