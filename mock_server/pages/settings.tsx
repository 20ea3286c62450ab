/** Conditional Policies > Settings: device certificates, and the default decision. */
import type { Hono } from "hono";
import type { z } from "zod";
import { previewChange, saveSettings, SettingsBody } from "../admin_settings.ts";
import type { ServerContext } from "../context.ts";
import type { SettingsPreview } from "../settings_preview.ts";
import type { Settings } from "../store.ts";
import {
  Form,
  FormState,
  lines,
  LinesField,
  Refusals,
  SelectField,
  submit,
  TextField,
} from "./forms.tsx";
import { AdminPage, Card } from "./layout.tsx";
import { removalSummary } from "./overview.tsx";
import { PolicyTabs } from "./policy_tabs.tsx";
import type { PageRequest, PagesEnv } from "./requests.ts";
import { ConfirmationPage } from "./settings_confirmation.tsx";

const PATH = "/admin/policies/settings";

const UNITS: [string, string][] = [
  ["86400", "days"],
  ["3600", "hours"],
  ["60", "minutes"],
  ["1", "seconds"],
];

const KEY_ALGORITHMS: [string, string][] = [["P-256", "P-256"], ["RSA-2048", "RSA-2048"]];

const DECISIONS: [string, string][] = [
  ["allow", "Allow"],
  ["mfa", "Ask for a second factor"],
  ["deny", "Deny"],
];

/** Adds `/admin/policies/settings`. */
export function settingsPages(app: Hono<PagesEnv>, context: ServerContext): void {
  app.get(PATH, (c) => c.html(<SettingsPage c={c} context={context} />));
  app.post(PATH, async (c) => {
    const { form, session } = c.var;
    const before = context.store.settings.current;
    const result = await submit(form, SettingsBody, changeOf(form), (change) => {
      const preview = previewChange(context, change);
      if (form.get("confirmed") !== "yes" && takesAway(before, change, preview)) return preview;
      saveSettings(context, change);
    });
    if ("refused" in result) {
      return c.html(<SettingsPage c={c} context={context} refused={result.refused} />, 422);
    }
    if (result.done) {
      return c.html(<ConfirmationPage c={c} preview={result.done} />);
    }
    session.notice = { text: saidOf(before, context.store.settings.current) };
    return c.redirect(PATH, 303);
  });
}

/** The settings that a form holds, and no others. */
function changeOf(form: URLSearchParams): unknown {
  const unit = UNITS.find(([seconds]) => seconds === form.get("overlapUnit"))?.[0];
  const readers: Record<string, (text: string) => unknown> = {
    globalCertificateDistribution: (text) => SWITCH.get(text) ?? text,
    selectionPatterns: lines,
    keyAlgorithm: (text) => text,
    overlapSeconds: (text) => text.trim() === "" ? null : Number(text) * Number(unit),
    macosApplications: lines,
    defaultDecision: (text) => text,
  };
  return Object.fromEntries(
    Object.entries(readers).flatMap(([name, read]) => {
      const text = form.get(name);
      return text === null ? [] : [[name, read(text)]];
    }),
  );
}

const SWITCH = new Map<string, unknown>([["on", true], ["off", false]]);

/** Whether somebody is to see the consequences first. */
function takesAway(
  before: Settings,
  change: z.infer<typeof SettingsBody>,
  { patterns }: SettingsPreview,
): boolean {
  const off = before.globalCertificateDistribution &&
    change.globalCertificateDistribution === false;
  const shorter = (change.overlapSeconds ?? Infinity) < before.overlapSeconds;
  const kept = change.macosApplications ?? before.macosApplications;
  return off || shorter || patterns.removed.length > 0 || patterns.added.length > 0 ||
    before.macosApplications.some((application) => !kept.includes(application));
}

function saidOf(before: Settings, after: Settings): string {
  if (before === after) return "Nothing was changed: these settings were in force already.";
  const on = after.globalCertificateDistribution;
  if (on === before.globalCertificateDistribution) {
    return "Your changes were saved. Every device was told.";
  }
  return on
    ? "Global Certificate Distribution is ON. Every device was told and requests its certificates."
    : "Global Certificate Distribution is OFF. Every device was told and removes its certificates.";
}

function SettingsPage(
  { c, context, refused }: { c: PageRequest; context: ServerContext; refused?: FormState },
) {
  const { current } = context.store.settings;
  const form = refused ?? new FormState(fieldsOf(current));
  return (
    <AdminPage
      c={c}
      title="Settings"
      place="/admin/policies"
      above={[[undefined, "Security Management"], ["/admin/policies", "Conditional Policies"]]}
    >
      <PolicyTabs current={PATH} />
      {refused && <Refusals form={refused} />}
      <DistributionCard context={context} on={current.globalCertificateDistribution} />
      <Card
        title="Certificates and browsers"
        lead="How device certificates are made, and where browsers present them unasked."
      >
        <Form action={PATH} class="fields">
          <LinesField
            form={refusedOr(form, current, "selectionPatterns")}
            name="selectionPatterns"
            label="Selection patterns"
            hint="One a line: https://HOST[:PORT] or https://[*.]DOMAIN[:PORT]. Browsers present the certificate there without asking."
            rows={4}
          />
          <div class="fields two">
            <SelectField
              form={refusedOr(form, current, "keyAlgorithm")}
              name="keyAlgorithm"
              label="Key algorithm"
              hint="For new keys, each from its next renewal on."
              choices={KEY_ALGORITHMS}
            />
            <div class="fields two">
              <TextField
                form={refusedOr(form, current, "overlapSeconds")}
                name="overlapSeconds"
                label="Overlap"
                hint="How long a renewed certificate stays valid beside its successor."
                type="number"
                required
              />
              <SelectField
                form={refusedOr(form, current, "overlapSeconds")}
                name="overlapUnit"
                label="Unit of the overlap"
                choices={UNITS}
              />
            </div>
          </div>
          <LinesField
            form={refusedOr(form, current, "macosApplications")}
            name="macosApplications"
            label="macOS applications"
            hint="One path a line: applications besides browsers that may use the key without asking."
            rows={2}
          />
          <div class="actions">
            <button type="submit" class="primary">Save changes</button>
          </div>
        </Form>
      </Card>
      <Card title="Default decision" lead="What becomes of a request that no policy matches.">
        <Form action={PATH} class="fields">
          <div class="fields two">
            <SelectField
              form={refusedOr(form, current, "defaultDecision")}
              name="defaultDecision"
              label="Default decision"
              choices={DECISIONS}
            />
          </div>
          <div class="actions">
            <button type="submit" class="primary">Save changes</button>
          </div>
        </Form>
      </Card>
    </AdminPage>
  );
}

/** A refused form holds what was typed into it; the forms beside it hold what is in force. */
function refusedOr(form: FormState, current: Settings, name: string): FormState {
  return form.holds(name) ? form : new FormState(fieldsOf(current));
}

function DistributionCard({ context, on }: { context: ServerContext; on: boolean }) {
  return (
    <Card
      title="Device Certificates"
      lead="A device certificate on every computer proves to Conditional Policies that it is managed."
    >
      <Form action={PATH} class="fields">
        <fieldset>
          <legend>Global Certificate Distribution</legend>
          <div class="switch">
            <label>
              <input
                type="radio"
                name="globalCertificateDistribution"
                value="on"
                checked={on}
              />
              <span>
                ON
                <span>Every managed user gets a certificate, renewed by itself.</span>
              </span>
            </label>
            <label>
              <input
                type="radio"
                name="globalCertificateDistribution"
                value="off"
                checked={!on}
              />
              <span>
                OFF
                <span>Every certificate is removed; every device counts as unmanaged.</span>
              </span>
            </label>
          </div>
        </fieldset>
        {!on && <p class="hint" id="removal">{removalSummary(context)}.</p>}
        <div class="actions">
          <button type="submit" class="primary">Save changes</button>
          {on && <span class="hint">Before OFF takes effect you see what it means.</span>}
        </div>
      </Form>
    </Card>
  );
}

function fieldsOf(settings: Settings): URLSearchParams {
  const { overlapSeconds, keyAlgorithm, defaultDecision } = settings;
  const unit = UNITS.find(([seconds]) => overlapSeconds % Number(seconds) === 0)?.[0] ?? "1";
  return new URLSearchParams({
    selectionPatterns: settings.selectionPatterns.join("\n"),
    macosApplications: settings.macosApplications.join("\n"),
    overlapSeconds: String(overlapSeconds / Number(unit)),
    overlapUnit: unit,
    keyAlgorithm,
    defaultDecision,
  });
}
