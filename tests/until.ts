/** Waiting for what comes to be true. */

/** Waits until it is true. The pause between looks is short against what is waited for. */
export async function until(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!await isTrue()) {
    if (performance.now() > end) {
      throw new Error(`After ${PATIENCE_MS / 1000} s it is not true that ${what}.`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const PATIENCE_MS = 40_000;
