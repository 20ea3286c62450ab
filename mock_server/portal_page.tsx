/** The portal's pages: plain HTML without JavaScript, for light and dark, small and large. */
import { createHash } from "node:crypto";
import { raw } from "hono/html";
import type { PropsWithChildren } from "hono/jsx";
import type { Asked, ChallengeAnswer } from "./challenge.ts";
import type { Decision } from "./policy.ts";

const STYLE = `
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0 auto; padding: 2rem 1rem; max-width: 40rem; }
h1 { font-size: 1.5rem; }
#verdict, #refusal { border-left: .4rem solid light-dark(#a12a1f, #ff9d92); padding: .1rem 1rem; }
#verdict[data-managed="true"] { border-color: light-dark(#1a6b33, #7fd99a); }
.state { font-weight: bold; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; }
dt { font-weight: bold; }
dd { margin: 0; overflow-wrap: anywhere; }
a { color: light-dark(#0b57d0, #a8c7fa); }
`;

/** The content security policy's source for the one style sheet of these pages. */
export const STYLE_SOURCE = `'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`;

const DECISIONS: Record<Decision, string> = {
  allow: "Access is allowed.",
  mfa: "Access needs a second factor.",
  deny: "Access is denied.",
};

/** What the page of a verdict shows. */
export interface VerdictPageProps {
  asked: Asked;
  answer: ChallengeAnswer;
  /** Common name of the presented certificate where it is one of ours. */
  leafName: string | undefined;
  /** Where the page starts anew. */
  again: string;
}

/** Whether this device is managed, why, and what to do. */
export function VerdictPage({ asked, answer, leafName, again }: VerdictPageProps) {
  const state = answer.managed ? "This device is managed" : "This device is not managed";
  return (
    <Page title={state}>
      <h1>{state}</h1>
      <section
        id="verdict"
        role="status"
        data-managed={String(answer.managed)}
        data-reason={answer.reason}
      >
        <p>{answer.message}</p>
      </section>
      <p class="state" id="decision" data-decision={answer.decision}>
        {DECISIONS[answer.decision]}
      </p>
      <dl>
        <dt>User</dt>
        <dd>{asked.user || "nobody"}</dd>
        <dt>Resource</dt>
        <dd>{asked.resource || "none named"}</dd>
        <dt>Certificate</dt>
        <dd>{leafName ?? (answer.serial ? "not one of ours" : "none")}</dd>
        {answer.serial && (
          <>
            <dt>Serial number</dt>
            <dd>{answer.serial}</dd>
          </>
        )}
        <dt>Event</dt>
        <dd id="event">{answer.eventId}</dd>
      </dl>
      <p>
        <a href={again}>Check again</a>
      </p>
    </Page>
  );
}

/** Says why a visit came to no verdict. */
export function RefusalPage({ eventId, again }: { eventId: string; again: string }) {
  return (
    <Page title="This check cannot be finished here">
      <h1>This check cannot be finished here</h1>
      <section id="refusal" role="alert">
        <p>
          The check was begun in another browser or session, or this browser does not keep this
          site's cookie, so its answer says nothing about whoever asked. Nothing was disclosed.
          Allow cookies for this site and begin again in this browser.
        </p>
      </section>
      <dl>
        <dt>Event</dt>
        <dd id="event">{eventId}</dd>
      </dl>
      <p>
        <a href={again}>Begin again</a>
      </p>
    </Page>
  );
}

function Page({ title, children }: PropsWithChildren<{ title: string }>) {
  return (
    <>
      {raw("<!DOCTYPE html>")}
      <html lang="en">
        <head>
          <meta charset="utf-8" />
          <meta name="viewport" content="width=device-width, initial-scale=1" />
          <title>{title}</title>
          <style>{raw(STYLE)}</style>
        </head>
        <body>
          <main>{children}</main>
        </body>
      </html>
    </>
  );
}
