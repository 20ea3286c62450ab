/** The user-agent's end of the channel to the agent. */
import { Problem } from "../platform/errors.ts";
import type { ChannelRequest, Exchange } from "./exchange.ts";
import { KeyRefused } from "./key_refused.ts";
import {
  LocalBundle,
  type LocalCertificateRequest,
  LocalProblem,
  type UserAgentReport,
  UserSlice,
} from "./local_contract.ts";

/** What a user-agent asks of the agent. Every method throws `unreachable` without an agent. */
export interface LocalClient {
  /**
   * This user's slice; with `etag` and `waitSeconds` it is held open for so long until the slice is
   * another, and is undefined when it is not. The signal gives it up, as if nobody answered.
   */
  slice(question?: SliceQuestion): Promise<{ etag: string; slice: UserSlice } | undefined>;
  /** Has the agent sign and send the request. @throws Problem as the agent's answer says */
  certificate(request: LocalCertificateRequest): Promise<LocalBundle>;
  report(report: UserAgentReport): Promise<void>;
  close(): void;
}

/** What is known of the slice, where the answer may wait for news, and what gives it up. */
export interface SliceQuestion {
  etag?: string;
  waitSeconds?: number;
  signal?: AbortSignal;
}

/** A client of the agent that this way leads to. */
export function openLocalClient(exchange: Exchange): LocalClient {
  async function call(
    request: ChannelRequest,
    milliseconds: number,
    ...signals: AbortSignal[]
  ): Promise<Response> {
    let response: Response;
    try {
      const signal = AbortSignal.any([AbortSignal.timeout(milliseconds), ...signals]);
      response = await exchange.ask(request, signal);
    } catch (cause) {
      throw new Problem(
        "unreachable",
        `Cannot reach the agent at ${exchange.place}. Check that it runs: device-trust status.`,
        { cause },
      );
    }
    if (response.ok || response.status === 304) return response;
    const problem = LocalProblem.safeParse(await response.json().catch(() => undefined));
    if (!problem.success) {
      throw new Problem("internal", `The agent answered ${response.status} to ${request.path}.`);
    }
    const { code, message, keyRefused } = problem.data;
    throw keyRefused ? new KeyRefused(message) : new Problem(code, message);
  }

  const post = (path: string, body: unknown): ChannelRequest => ({
    method: "POST",
    path,
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

  return {
    async slice({ etag, waitSeconds, signal } = {}) {
      const request: ChannelRequest = {
        method: "GET",
        path: "/desired-state",
        ...(etag === undefined ? {} : { headers: { "if-none-match": etag } }),
        ...(waitSeconds === undefined ? {} : { wait: waitSeconds }),
      };
      const longest = (request.wait ?? 0) * 1000 + 15_000;
      const response = await call(request, longest, ...signal ? [signal] : []);
      if (response.status === 304) return undefined;
      const slice = UserSlice.parse(await response.json());
      return { etag: response.headers.get("etag") ?? "", slice };
    },
    async certificate(request) {
      const response = await call(post("/certificates", request), 60_000);
      return LocalBundle.parse(await response.json());
    },
    async report(report) {
      await (await call(post("/reports", report), 15_000)).body?.cancel();
    },
    close: () => exchange.close(),
  };
}
