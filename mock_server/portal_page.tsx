/** The portal's pages: what people see of a verdict. */
import type { PropsWithChildren } from "hono/jsx";
import type { Asked, ChallengeAnswer } from "./challenge.ts";
import { Document, Sign } from "./pages/document.tsx";
import type { Decision } from "./policy.ts";

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
  const { managed, reason, message, decision, serial, eventId } = answer;
  const state = managed ? "This device is managed" : "This device is not managed";
  return (
    <Portal title={state}>
      <h1>{state}</h1>
      <section
        id="verdict"
        class="card verdict"
        role="status"
        data-managed={String(managed)}
        data-reason={reason}
      >
        {managed ? <Passed /> : <NotPassed />}
        <div>
          <p>{message}</p>
          <p id="decision" data-decision={decision}>
            <strong>{DECISIONS[decision]}</strong>
          </p>
        </div>
      </section>
      <section class="card" aria-labelledby="details">
        <h2 id="details">What was checked</h2>
        <dl class="facts">
          <dt>User</dt>
          <dd>{asked.user || "nobody"}</dd>
          <dt>Resource</dt>
          <dd>{asked.resource || "none named"}</dd>
          <dt>Certificate</dt>
          <dd>{leafName ?? (serial ? "not one of ours" : "none was presented")}</dd>
          {serial && (
            <>
              <dt>Serial number</dt>
              <dd class="id">{serial}</dd>
            </>
          )}
          <dt>Event</dt>
          <dd class="id" id="event">{eventId}</dd>
        </dl>
        <p class="hint">
          {managed
            ? "The check was made for this visit alone; every visit is checked anew."
            : "If you ask your administrator for help, tell them the number of the event."}
        </p>
        <div class="actions">
          <a class={managed ? "button" : "button primary"} href={again}>Check again</a>
        </div>
      </section>
    </Portal>
  );
}

/** Says why a visit came to no verdict. */
export function RefusalPage({ eventId, again }: { eventId: string; again: string }) {
  return (
    <Portal title="This check cannot be finished here">
      <h1>This check cannot be finished here</h1>
      <section id="refusal" class="card verdict" role="alert">
        <NotPassed />
        <div>
          <p>
            The check was begun in another browser or session, or this browser does not keep this
            site's cookie, so its answer says nothing about whoever asked. Nothing was disclosed.
            Allow cookies for this site and begin again in this browser.
          </p>
          <dl class="facts">
            <dt>Event</dt>
            <dd class="id" id="event">{eventId}</dd>
          </dl>
          <div class="actions">
            <a class="button primary" href={again}>Begin again</a>
          </div>
        </div>
      </section>
    </Portal>
  );
}

function Portal({ title, children }: PropsWithChildren<{ title: string }>) {
  return (
    <Document title={title}>
      <main class="alone wide">
        <div class="product">
          <Sign />
          <span>Device Trust</span>
        </div>
        {children}
      </main>
    </Document>
  );
}

function Passed() {
  return (
    <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" aria-hidden="true">
      <circle cx="12" cy="12" r="10" />
      <path d="m7.5 12.5 3 3 6-7" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}

function NotPassed() {
  return (
    <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" aria-hidden="true">
      <circle cx="12" cy="12" r="10" />
      <path d="M8 8l8 8M16 8l-8 8" stroke-linecap="round" />
    </svg>
  );
}
