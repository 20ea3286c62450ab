/** The answering end of all channels of a device, open while a worker runs. */
import type { Hono } from "hono";
import type { Account } from "../platform/accounts.ts";

/** The channels of accounts. */
export interface Channels {
  has(uid: string): boolean;
  /** Opens an account's channel, or makes room for a user-agent that is about to start. */
  open(account: Account): void;
  /**
   * Has the account's user-agent go to work where it waits at the channel for that; false where it
   * would, and is not there. Where the agent starts user-agents, nobody waits and all is well: true.
   */
  call(account: Account): Promise<boolean>;
  /** Resolves when nobody is being served, and gives whether somebody was. */
  quiet(): Promise<boolean>;
  close(): Promise<void>;
}

/** The administrator's channel. */
export interface Control {
  /** Looks whether something is asked. */
  look(): void;
  /** Resolves when nobody is being served, and gives whether somebody was. */
  quiet(): Promise<boolean>;
  close(): Promise<void>;
}

/** Makes the app that answers an account's channel; `invite` makes room in its limits. */
export type OpenApp = (uid: string) => { app: Hono; invite: () => void };
