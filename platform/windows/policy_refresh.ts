/** Has running browsers read their policies again, which they otherwise do every 15 minutes. */

/**
 * Asks Windows to apply the computer's policies: who waits for that, as Chromium does, then reads
 * its own. Best effort: without it they are read a little later.
 */
export function refreshPolicies(): void {
  try {
    const userenv = Deno.dlopen("userenv.dll", {
      RefreshPolicyEx: { parameters: ["i32", "u32"], result: "i32" },
    });
    userenv.symbols.RefreshPolicyEx(OF_THE_COMPUTER, 0);
    userenv.close();
  } catch (error) {
    // Wine has no such function, and no policies to apply.
    if (!(error instanceof Error)) throw error;
  }
}

const OF_THE_COMPUTER = 1;
