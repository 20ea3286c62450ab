/** What a mock agent server tells a monitoring system of its devices' requests. */
import type { DrivenServer } from "./product.ts";

/** Figures of a server since its start. */
export interface ServerFigures {
  /** Requests for a desired state that were answered. */
  answered: number;
  /** Requests for a desired state that are being held. */
  held: number;
}

/** Reads them at `/metrics`. */
export async function serverFigures(
  { agentUrl, serverCa }: Pick<DrivenServer, "agentUrl" | "serverCa">,
): Promise<ServerFigures> {
  using client = Deno.createHttpClient({ caCerts: [await Deno.readTextFile(serverCa)] });
  const response = await fetch(`${agentUrl}/metrics`, { client });
  const text = await response.text();
  if (!response.ok) throw new Error(`/metrics: ${response.status} ${text}`);
  const sum = (pattern: RegExp) =>
    [...text.matchAll(pattern)].reduce((total, [, value]) => total + Number(value), 0);
  return {
    answered: sum(/^\w+_http_requests_total\{[^}]*desired-state"[^}]*\} (\d+)$/gm),
    held: sum(/^\w+_held_requests (\d+)$/gm),
  };
}
