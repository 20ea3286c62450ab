/**
 * Visits of the portal's page that are under way (DESIGN S17): from the browser session that asked,
 * over the challenge on a fresh name, back to that same session by a one-time code. In memory: a
 * restart ends them, and a browser simply begins again.
 */
import type { PresentedCertificate } from "./client_cert.ts";
import type { Asked } from "./challenge.ts";
import { newSecret, type RandomBytes } from "./context.ts";

/** How long a person may take to answer the browser's chooser, milliseconds. */
export const VISIT_MS = 5 * 60_000;

/** How long a redirect back may take, milliseconds. */
export const CODE_MS = 60_000;

/** Visits, and codes, kept at once (a code holds up to 16 KiB); beyond that the oldest go. */
const MOST = 2000;

/** What a redeemed code brings back. */
export interface Visit {
  asked: Asked;
  presented: PresentedCertificate;
}

/** What became of a code: redeemed, never given or used up, or given to another browser. */
export type Redemption = { visit: Visit } | "unknown" | "other-session";

interface Begun {
  session: string;
  asked: Asked;
}

/** The visits of one portal. Every token works once. */
export class PortalVisits {
  readonly #begun: OneTimeTokens<Begun>;
  readonly #codes: OneTimeTokens<Begun & Visit>;

  constructor(random: RandomBytes, now: () => Date) {
    this.#begun = new OneTimeTokens(random, now, VISIT_MS);
    this.#codes = new OneTimeTokens(random, now, CODE_MS);
  }

  /** Begins a visit of a browser session; answers the token for the fresh name. */
  begin(session: string, asked: Asked): string {
    return this.#begun.give({ session, asked });
  }

  /** Notes what was presented on the fresh name; answers the one-time code for the way back. */
  present(token: string, presented: PresentedCertificate): string | undefined {
    const begun = this.#begun.take(token);
    return begun && this.#codes.give({ ...begun, presented });
  }

  /**
   * Ends a visit. A code that comes from another session than the one that asked is used up by
   * that, so whoever had somebody else's browser answer the challenge gains nothing.
   */
  redeem(code: string, session: string | undefined): Redemption {
    const found = this.#codes.take(code);
    if (!found) return "unknown";
    if (found.session !== session) return "other-session";
    return { visit: { asked: found.asked, presented: found.presented } };
  }
}

/** Values behind random tokens: each is taken once, within its time. */
class OneTimeTokens<T> {
  readonly #values = new Map<string, { value: T; until: number }>();

  constructor(
    private readonly random: RandomBytes,
    private readonly now: () => Date,
    private readonly lifeMs: number,
  ) {}

  give(value: T): string {
    const token = newSecret(this.random);
    const now = this.now().getTime();
    for (const [oldest, { until }] of this.#values) {
      if (until > now && this.#values.size < MOST) break;
      this.#values.delete(oldest);
    }
    this.#values.set(token, { value, until: now + this.lifeMs });
    return token;
  }

  take(token: string): T | undefined {
    const found = this.#values.get(token);
    this.#values.delete(token);
    return found && found.until > this.now().getTime() ? found.value : undefined;
  }
}
