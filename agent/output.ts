/** Where a command says what it has to say. */

/** Writes results to `out`, everything else to `err`; false when nobody reads that any more. */
export interface Output {
  out: (text: string) => boolean;
  err: (text: string) => boolean;
}
