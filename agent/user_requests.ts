/**
 * What user-agents ask of the agent over their channels: the slice, a certificate, and to take a
 * report. Every call is about the one user that the calling account serves.
 */
import { Problem } from "../platform/errors.ts";
import { CertificateAnswer, judge } from "./contract.ts";
import type { DeviceAccounts } from "./device_accounts.ts";
import type { DeviceDesired } from "./device_desired.ts";
import type { Enrolled } from "./identity.ts";
import { KeyRefused } from "./key_refused.ts";
import {
  certificateRequestBody,
  certificatesPath,
  type LocalBundle,
  type LocalCertificateRequest,
  type UserAgentReport,
  type UserSlice,
} from "./local_contract.ts";
import type { Log } from "./log.ts";
import { answerJson, refusal, type ServerAnswer, type ServerClient } from "./server_client.ts";
import type { State } from "./state.ts";
import type { UserRows } from "./user_rows.ts";

/** What answering depends on. */
export interface RequestsWorld {
  state: State;
  identity: Enrolled;
  client: ServerClient;
  log: Log;
}

/** The parts of the worker that answers are made of. */
export interface RequestsParts {
  desired: DeviceDesired;
  accounts: DeviceAccounts;
  rows: UserRows;
  /** The slice of a user that an account serves; undefined before the first desired state. */
  sliceOf: (userId: string) => UserSlice | undefined;
  /** Called when a user has a leaf that the server has issued now. */
  issued: (userId: string) => void;
}

/** The agent's answers to its user-agents. */
export class UserRequests {
  readonly #world: RequestsWorld;
  readonly #parts: RequestsParts;
  readonly #watchers = new Set<() => void>();
  /** Aborted when a user's running, or last, user-agent has reported. */
  readonly #heard = new Map<string, AbortController>();

  constructor(world: RequestsWorld, parts: RequestsParts) {
    this.#world = world;
    this.#parts = parts;
  }

  /** The slice of the user that an account serves now. @throws Problem `server-refused` */
  slice(uid: string): UserSlice {
    const userId = this.#parts.accounts.userOf(uid);
    const slice = userId === undefined ? undefined : this.#parts.sliceOf(userId);
    if (!slice) {
      throw new Problem("server-refused", "No managed user is bound to this account.");
    }
    return slice;
  }

  /** Calls back when slices may have changed; returns how to stop that. */
  onChange(callback: () => void): () => void {
    this.#watchers.add(callback);
    return () => this.#watchers.delete(callback);
  }

  /** Tells who watches that slices may have changed. */
  changed(): void {
    for (const changed of this.#watchers) changed();
  }

  /** Signs and sends an account's certificate request. @throws Problem */
  async certificate(uid: string, request: LocalCertificateRequest): Promise<LocalBundle> {
    const { state, client, identity, log } = this.#world;
    const { userId, wanted } = this.slice(uid);
    const row = state.user(userId);
    if (!wanted || !row) {
      throw new Problem("server-refused", "This user is to hold no certificate now.");
    }
    state.saveUser({ ...row, state: request.leafSignature ? "renewing" : "requesting" });
    const answer = await client.request({
      method: "POST",
      path: certificatesPath({ deviceId: identity.device.deviceId, userId }),
      body: certificateRequestBody(request.csr),
      ...(request.leafSignature ? { leafSignature: request.leafSignature } : {}),
    });
    if (answer.status !== 200 && answer.status !== 201) {
      const problem = refusal("obtain a certificate", answer);
      const isKeys = answer.problemType === "urn:device-trust:csr-refused";
      throw isKeys ? new KeyRefused(problem.message) : problem;
    }
    const { overlapSeconds: _, ...bundle } = parseBundle(answer);
    log.info("certificate.issued", { userId, serial: bundle.serial });
    this.#parts.issued(userId);
    this.#parts.desired.rememberIssued(userId, bundle);
    return bundle;
  }

  /** Takes a user-agent's report. @throws Problem `server-refused` when it is for another user */
  report(uid: string, report: UserAgentReport): void {
    if (this.#parts.accounts.userOf(uid) !== report.userId) {
      throw new Problem("server-refused", "A report must be about this account's own user.");
    }
    // Where filters are the device's, no user's word is taken for them.
    const { filters: _, selection: __, ...rest } = report;
    this.#parts.rows.take(this.#parts.sliceOf(report.userId)?.selection ? report : rest);
    this.#heard.get(report.userId)?.abort();
  }

  /**
   * A user-agent is about to start: what an earlier one reported does not count for it. Gives what is
   * aborted when it has reported.
   */
  expectReport(userId: string): AbortSignal {
    const heard = new AbortController();
    this.#heard.set(userId, heard);
    return heard.signal;
  }
}

function parseBundle(answer: ServerAnswer): CertificateAnswer {
  const parsed = judge(CertificateAnswer, answerJson(answer));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new Problem(
    "bundle-rejected",
    `The agent server's answer was refused and nothing changed: '${issue?.path.join(".")}' ` +
      `${issue?.message ?? "is malformed"}.`,
  );
}
