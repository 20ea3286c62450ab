/** What the resident agent and its worker say to each other, one JSON object a line. */
import type { ServerClock } from "./server_client.ts";

/** What the resident agent tells its worker, with the time. */
export type WorkerMessage = { clock: ServerClock } & WorkerNews;

/** What there is to tell. */
export type WorkerNews =
  /** A desired state as the server sent it; `check`: look at every store. */
  | { do: "desired"; etag: string; body: string; check: boolean }
  | { do: "retry" }
  | { do: "deleted" }
  /** Open an account's channel, for somebody who knocked at the agent's door. */
  | { do: "channel"; uid: string };

/** The administrator's channel, which is always open. */
export const CONTROL = "control";

/** What the worker answers, one JSON object a line. */
export type WorkerAnswer =
  /** Every message up to the `handled`-th is dealt with and nothing runs. */
  | { is: "idle"; handled: number; nextTry?: number; uids: string[]; enrolled: boolean }
  /** The desired state was refused. */
  | { is: "refused"; message: string }
  | { is: "channel"; uid: string };
