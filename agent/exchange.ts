/**
 * The asking end of a channel to the agent: requests go out, answers come back, over a socket here
 * and through folders in folder_exchange.ts. Whichever it is, one Hono app answers (local_api.ts).
 */

/** A request, as HTTP has it. */
export interface ChannelRequest {
  method: "GET" | "POST";
  path: string;
  headers?: Readonly<Record<string, string>>;
  body?: string;
  /** Seconds that the answer may be held back for when nothing is new. */
  wait?: number;
}

/** One user's, or the administrator's, way to the agent. */
export interface Exchange {
  /** Where it leads, for people. */
  readonly place: string;
  /** Gives the agent's answer. Rejects when there is none, or when the signal says to give up. */
  ask(request: ChannelRequest, signal?: AbortSignal): Promise<Response>;
  close(): void;
}

/** The way to an agent that listens at a Unix socket. */
export function socketExchange(socket: string): Exchange {
  const client = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
  return {
    place: socket,
    ask: (request, signal) =>
      fetch(`http://agent${request.path}`, {
        method: request.method,
        headers: channelHeaders(request),
        ...(request.body === undefined ? {} : { body: request.body }),
        ...(signal ? { signal } : {}),
        client,
      }),
    close: () => client.close(),
  };
}

/** Its headers, `Prefer: wait=N` (RFC 7240) among them where the answer may be held back. */
export function channelHeaders({ headers, wait }: ChannelRequest): Record<string, string> {
  return { ...headers, ...(wait === undefined ? {} : { prefer: `wait=${wait}` }) };
}
