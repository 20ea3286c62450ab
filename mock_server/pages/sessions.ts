/**
 * Sessions of administrators who signed in to the pages. In memory: a restart ends them. A session
 * is known by the hash of its secret, so what is in memory opens none.
 */
import { createHash, createHmac } from "node:crypto";
import { newSecret, type RandomBytes } from "../context.ts";

/** How long a session lasts, milliseconds: a working day. */
export const SESSION_MS = 8 * 3_600_000;

/** Sessions at once; beyond that the oldest ends. */
export const MOST_SESSIONS = 100;

/** What the next page says of what was just done, once. */
export interface Notice {
  text: string;
  tone?: "good" | "warn";
  /** Something that is shown this once. */
  secret?: string;
}

/** One signed-in browser. */
export interface AdminSession {
  /** What its forms prove themselves with. */
  readonly formToken: string;
  notice?: Notice;
}

/** The sessions of one server. */
export class AdminSessions {
  /** By hash, oldest first. */
  readonly #sessions = new Map<string, { session: AdminSession; until: number }>();

  constructor(private readonly random: RandomBytes, private readonly now: () => Date) {}

  /** Begins a session; answers its secret, 32 random bytes in base64url, for the cookie. */
  begin(): string {
    const secret = newSecret(this.random);
    const now = this.now().getTime();
    for (const [oldest, { until }] of this.#sessions) {
      if (until > now && this.#sessions.size < MOST_SESSIONS) break;
      this.#sessions.delete(oldest);
    }
    const formToken = createHmac("sha256", secret).update("form").digest("base64url");
    this.#sessions.set(hashOf(secret), { session: { formToken }, until: now + SESSION_MS });
    return secret;
  }

  /** The session of a secret; undefined when it is unknown or over. */
  find(secret: string): AdminSession | undefined {
    const found = this.#sessions.get(hashOf(secret));
    return found && found.until > this.now().getTime() ? found.session : undefined;
  }

  /** Ends a session. */
  end(secret: string): void {
    this.#sessions.delete(hashOf(secret));
  }
}

function hashOf(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}
