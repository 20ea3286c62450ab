/**
 * The administrator's pages (DESIGN S1), below `/admin`: plain HTML that works without JavaScript.
 * They change things by the functions of the admin API alone.
 */
import { Hono } from "hono";
import { LIMITS } from "../../agent/contract.ts";
import type { ServerContext } from "../context.ts";
import { boundedBody } from "../limits.ts";
import { PROBLEMS, RequestProblem } from "../problems.ts";
import { certificatePages } from "./certificates.tsx";
import { connectKeyPages } from "./connect_keys.tsx";
import { devicePages } from "./device.tsx";
import { deviceListPage } from "./devices.tsx";
import { Document } from "./document.tsx";
import { eventPages } from "./events.tsx";
import { overviewPage } from "./overview.tsx";
import { policyPages } from "./policies.tsx";
import { policyEditorPages } from "./policy_editor.tsx";
import { type PagesEnv, readForms, requireSession } from "./requests.ts";
import { pageHeaders } from "./security_headers.ts";
import { AdminSessions } from "./sessions.ts";
import { settingsPages } from "./settings.tsx";
import { signInPages, signOutPage } from "./sign_in.tsx";
import { userPages } from "./users.tsx";

/** Whether a path is one of the pages, not of the admin API beside them. */
export function isPagePath(path: string): boolean {
  return /^\/admin(\/(?!v1(\/|$))|$)/.test(path);
}

/** The app of all pages; who is connected comes in as `env.peer`. */
export function adminPages(context: ServerContext): Hono<PagesEnv> {
  const app = new Hono<PagesEnv>({ strict: false });
  const sessions = new AdminSessions(context.random, context.now);
  app.onError((error, c) => {
    const problem = error instanceof RequestProblem ? error : undefined;
    if (!problem) context.log.error("page request failed", { error });
    const [status, title] = PROBLEMS[problem?.type ?? "internal"];
    const message = problem?.message ?? "The server's log says more. Try again.";
    for (const [name, value] of Object.entries(problem?.extra.headers ?? {})) c.header(name, value);
    return c.html(<Refusal title={title} message={message} />, status);
  });
  app.notFound((c) => c.html(<Refusal title="There is no such page" message="" />, 404));
  app.use(pageHeaders({
    url: context.publicUrl,
    formAction: "'self'",
    referrerPolicy: "same-origin",
  }));
  app.use(boundedBody(LIMITS.bodyBytes));
  app.use(readForms(context.publicUrl));
  signInPages(app, context, sessions);

  app.use(requireSession(sessions));
  signOutPage(app, context, sessions);
  overviewPage(app, context);
  settingsPages(app, context);
  policyPages(app, context);
  policyEditorPages(app, context);
  deviceListPage(app, context);
  devicePages(app, context);
  userPages(app, context);
  certificatePages(app, context);
  connectKeyPages(app, context);
  eventPages(app, context);
  return app;
}

function Refusal({ title, message }: { title: string; message: string }) {
  return (
    <Document title={`${title} · Device Trust`}>
      <main class="alone">
        <section class="card">
          <h1>{title}</h1>
          {message && <p>{message}</p>}
          <div class="actions">
            <a class="button" href="/admin">To the overview</a>
          </div>
        </section>
      </main>
    </Document>
  );
}
