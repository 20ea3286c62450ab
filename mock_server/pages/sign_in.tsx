/** Sign-in by the admin token, and sign-out. */
import type { Hono } from "hono";
import { isAdminToken } from "../admin_token.ts";
import { recordEvent, type ServerContext } from "../context.ts";
import { GuessLimit } from "../limits.ts";
import { RequestProblem } from "../problems.ts";
import { Document, Sign } from "./document.tsx";
import { FormState, Hidden, Refusals, TextField } from "./forms.tsx";
import {
  type PageRequest,
  type PagesEnv,
  returnPath,
  sessionSecret,
  setSessionSecret,
} from "./requests.ts";
import type { AdminSessions } from "./sessions.ts";

/** Adds the pages that need no session. Wrong tokens are counted by address. */
export function signInPages(
  app: Hono<PagesEnv>,
  context: ServerContext,
  sessions: AdminSessions,
): void {
  const guesses = new GuessLimit();
  app.get("/admin/sign-in", (c) => {
    if (sessions.find(sessionSecret(c) ?? "")) return c.redirect("/admin", 303);
    return c.html(<SignIn form={new FormState()} next={returnPath(c.req.query("next"))} />);
  });
  app.post("/admin/sign-in", (c) => {
    const next = returnPath(c.var.form.get("next"));
    const refusal = refusalOf(context, guesses, c);
    if (refusal) {
      for (const [name, value] of Object.entries(refusal.headers)) c.header(name, value);
      const form = new FormState(c.var.form, new Map([["token", refusal.message]]));
      return c.html(<SignIn form={form} next={next} />, refusal.status);
    }
    setSessionSecret(c, sessions.begin());
    const { address } = c.env.peer;
    recordEvent(context, "administrator.signed-in", {}, { address });
    return c.redirect(next, 303);
  });
}

/** Adds the way out. */
export function signOutPage(
  app: Hono<PagesEnv>,
  context: ServerContext,
  sessions: AdminSessions,
): void {
  app.post("/admin/sign-out", (c) => {
    sessions.end(sessionSecret(c) ?? "");
    setSessionSecret(c, undefined);
    recordEvent(context, "administrator.signed-out", {}, { address: c.env.peer.address });
    return c.redirect("/admin/sign-in", 303);
  });
}

interface Refusal {
  status: 401 | 429;
  message: string;
  headers: Record<string, string>;
}

function refusalOf(
  context: ServerContext,
  guesses: GuessLimit,
  c: PageRequest,
): Refusal | undefined {
  const now = context.now().getTime();
  const { address } = c.env.peer;
  try {
    guesses.check(address, now);
  } catch (error) {
    if (!(error instanceof RequestProblem)) throw error;
    const headers = error.extra.headers ?? {};
    const message = `There were too many wrong tokens from your address. Try again in ${
      headers["retry-after"]
    } seconds.`;
    return { status: 429, message, headers };
  }
  if (isAdminToken(context, c.var.form.get("token")?.trim() ?? "")) return undefined;
  guesses.wrong(address, now);
  context.log.warn("wrong admin token from {address}", { address });
  return { status: 401, message: "This is not the admin token.", headers: {} };
}

function SignIn({ form, next }: { form: FormState; next: string }) {
  return (
    <Document title="Sign in · Device Trust">
      <main class="alone">
        <div class="product">
          <Sign />
          <span>Device Trust</span>
        </div>
        <form method="post" action="/admin/sign-in" class="card">
          <h1>Sign in</h1>
          <Refusals form={form} />
          <Hidden values={{ next }} />
          <TextField
            form={form}
            name="token"
            label="Admin token"
            hint="It is in server.json in the server's data folder."
            type="password"
            autocomplete="current-password"
            required
          />
          <div class="actions">
            <button type="submit" class="primary">Sign in</button>
          </div>
        </form>
        <p class="hint">
          You are asked again after eight hours, after you sign out, and when the server was
          restarted.
        </p>
      </main>
    </Document>
  );
}
