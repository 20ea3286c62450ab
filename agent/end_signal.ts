/** Aborts at the first SIGTERM or SIGINT of this process. */
export function endSignal(): AbortSignal {
  const end = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    Deno.addSignalListener(signal, () => end.abort());
  }
  return end.signal;
}
