/** The user-agent's end of the channel to the agent. */
import { Problem } from "../platform/errors.ts";
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
   * This user's slice; with `etag` it is held open until the slice is another, for at most
   * `waitSeconds`, and is undefined when it is not. The signal gives it up, as if nobody answered.
   */
  slice(
    known?: { etag: string; waitSeconds: number; signal?: AbortSignal },
  ): Promise<{ etag: string; slice: UserSlice } | undefined>;
  /** Has the agent sign and send the request. @throws Problem as the agent's answer says */
  certificate(request: LocalCertificateRequest): Promise<LocalBundle>;
  report(report: UserAgentReport): Promise<void>;
  close(): void;
}

/** A client of the agent that listens at `socketPath`. */
export function openLocalClient(socketPath: string): LocalClient {
  const client = Deno.createHttpClient({ proxy: { transport: "unix", path: socketPath } });

  async function call(
    path: string,
    init: RequestInit,
    milliseconds: number,
    ...signals: AbortSignal[]
  ): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(`http://agent${path}`, {
        ...init,
        client,
        signal: AbortSignal.any([AbortSignal.timeout(milliseconds), ...signals]),
      });
    } catch (cause) {
      throw new Problem(
        "unreachable",
        `Cannot reach the agent at ${socketPath}. Check that it runs: device-trust status.`,
        { cause },
      );
    }
    if (response.ok || response.status === 304) return response;
    const problem = LocalProblem.safeParse(await response.json().catch(() => undefined));
    if (!problem.success) {
      throw new Problem("internal", `The agent answered ${response.status} to ${path}.`);
    }
    const { code, message, keyRefused } = problem.data;
    throw keyRefused ? new KeyRefused(message) : new Problem(code, message);
  }

  const post = (body: unknown): RequestInit => ({
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

  return {
    async slice(known) {
      const headers: Record<string, string> = known
        ? { "if-none-match": known.etag, prefer: `wait=${known.waitSeconds}` }
        : {};
      const wait = (known?.waitSeconds ?? 0) * 1000 + 15_000;
      const signals = known?.signal ? [known.signal] : [];
      const response = await call("/desired-state", { headers }, wait, ...signals);
      if (response.status === 304) return undefined;
      const slice = UserSlice.parse(await response.json());
      return { etag: response.headers.get("etag") ?? "", slice };
    },
    async certificate(request) {
      const response = await call("/certificates", post(request), 60_000);
      return LocalBundle.parse(await response.json());
    },
    async report(report) {
      await (await call("/reports", post(report), 15_000)).body?.cancel();
    },
    close: () => client.close(),
  };
}
