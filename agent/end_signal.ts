/**
 * Aborts when this process is told to end: at the first SIGTERM or SIGINT; on Windows at Ctrl-C,
 * Ctrl-Break, and when its console, the session or the system closes.
 */
export function endSignal(): AbortSignal {
  const end = new AbortController();
  for (const signal of SIGNALS) Deno.addSignalListener(signal, () => end.abort());
  return end.signal;
}

const SIGNALS: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK", "SIGHUP"]
  : ["SIGTERM", "SIGINT"];
