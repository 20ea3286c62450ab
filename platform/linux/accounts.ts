/** Accounts on Linux: name service or a `passwd` file under `--root`. */
import type { Account, AccountWorld } from "../accounts.ts";

/** See `LookUpAccount` in platform/accounts.ts. Says nothing of the home: see {@link checkHome}. */
export function lookUpAccount(_name: string, _world: AccountWorld): Promise<Account> {
  throw new Error("signature only");
}

/**
 * See `CheckHome` in platform/accounts.ts. Works in the agent, and in the user-agent, which is
 * the one to ask where the agent's unit hides homes (`ProtectHome=yes`).
 */
export function checkHome(_account: Account, _world: AccountWorld): Promise<void> {
  throw new Error("signature only");
}
