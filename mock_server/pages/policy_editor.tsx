/** A policy that is being written: saved, tried on a request, replayed over the last 30 days. */
import type { Hono } from "hono";
import { z } from "zod";
import { replayDraft } from "../admin_policy_replay.ts";
import { addPolicy, dryRun, replacePolicy } from "../admin_policies.ts";
import type { ServerContext } from "../context.ts";
import {
  EvaluationRequest,
  type Policy,
  PolicyBody,
  type PolicyDecision,
  storedPolicy,
} from "../policy.ts";
import { NEW_DRAFT_ID, type PolicyReplay, withDraft } from "../policy_replay.ts";
import { DecisionShown, DryRunFields, OS_CHOICES } from "./dry_run.tsx";
import {
  ChecksField,
  Form,
  FormState,
  LinesField,
  Refusals,
  SelectField,
  submit,
  TextField,
} from "./forms.tsx";
import { AdminPage, Card } from "./layout.tsx";
import { directoryOf, policyOf } from "./policies.tsx";
import { ACTION_WORDS, policyFields, policyFromFields } from "./policy_words.ts";
import { ReplayShown } from "./replay.tsx";
import type { PageRequest, PagesEnv } from "./requests.ts";

const PATH = "/admin/policies";

const NEW_POLICY = new URLSearchParams({
  enabled: "yes",
  users: "*",
  resources: "*",
  action: "restrict",
});

const DRY_RUN = { "try.os": "linux", "try.device": "managed" };

/** What a draft came to. */
interface Findings {
  decided?: z.infer<typeof PolicyDecision>;
  replay?: PolicyReplay;
}

/** Adds `/admin/policies/new` and `/admin/policies/{policyId}`. */
export function policyEditorPages(app: Hono<PagesEnv>, context: ServerContext): void {
  app.get(`${PATH}/new`, (c) => {
    const form = new FormState(
      new URLSearchParams({ ...Object.fromEntries(NEW_POLICY), ...DRY_RUN }),
    );
    return c.html(<EditorPage c={c} context={context} form={form} />);
  });
  app.post(`${PATH}/new`, (c) => answer(context, c, undefined));
  app.get(`${PATH}/:policyId`, (c) => {
    const policy = policyOf(context, c.req.param("policyId"));
    const fields = policyFields(policy, directoryOf(context));
    for (const [name, value] of Object.entries(DRY_RUN)) fields.set(name, value);
    return c.html(
      <EditorPage c={c} context={context} form={new FormState(fields)} policy={policy} />,
    );
  });
  app.post(
    `${PATH}/:policyId`,
    (c) => answer(context, c, policyOf(context, c.req.param("policyId"))),
  );
}

/** Does what the button that was pressed says; only one of them changes anything. */
async function answer(context: ServerContext, c: PageRequest, policy: Policy | undefined) {
  const { form } = c.var;
  const body = policyFromFields(form, directoryOf(context));
  const show = (state: FormState, findings: Findings, status: 200 | 422) =>
    c.html(
      <EditorPage c={c} context={context} form={state} policy={policy} findings={findings} />,
      status,
    );
  const intent = form.get("intent");
  if (intent === "try") {
    const result = await submit(form, Trial, { policy: body, try: trialOf(form) }, (trial) => {
      const policyId = policy?.policyId ?? NEW_DRAFT_ID;
      const stored = context.store.policies.all().map(storedPolicy);
      return dryRun(context, withDraft(stored, { policyId, policy: trial.policy }), trial.try);
    });
    if ("refused" in result) return show(withoutPrefix(form, result.refused), {}, 422);
    return show(new FormState(form), { decided: result.done }, 200);
  }
  if (intent === "replay") {
    const result = await submit(
      form,
      PolicyBody,
      body,
      (draft) => replayDraft(context, { policy: draft, policyId: policy?.policyId }),
    );
    if ("refused" in result) return show(result.refused, {}, 422);
    return show(new FormState(form), { replay: result.done }, 200);
  }
  const result = await submit(form, PolicyBody, body, (draft) => save(context, draft, policy));
  if ("refused" in result) return show(result.refused, {}, 422);
  c.var.session.notice = { text: `Policy '${result.done.policy.name}' was saved.` };
  return c.redirect(result.done.offer ? `${PATH}/distribution` : PATH, 303);
}

const Trial = z.object({ policy: PolicyBody, try: EvaluationRequest });

function trialOf(form: URLSearchParams) {
  return Object.fromEntries(
    Object.keys(EvaluationRequest.shape).map((name) => [name, form.get(`try.${name}`)]),
  );
}

/** Errors of a policy's own fields are named without the `policy.` that a trial puts before them. */
function withoutPrefix(form: URLSearchParams, refused: FormState): FormState {
  const errors = [...refused.errors].map(([name, error]): [string, string] => [
    name.replace(/^policy\./, ""),
    error,
  ]);
  return new FormState(form, new Map(errors));
}

/** `offer`: it is the first policy with a device condition, and no device has a certificate. */
function save(context: ServerContext, draft: PolicyBody, before: Policy | undefined) {
  const { store } = context;
  const first = !store.policies.all().map(storedPolicy).some(({ conditions }) => conditions.device);
  const policy = before
    ? replacePolicy(context, before.policyId, draft)
    : addPolicy(context, draft);
  const on = store.settings.current.globalCertificateDistribution;
  return { policy, offer: first && draft.conditions.device !== undefined && !on };
}

function EditorPage({ c, context, form, policy, findings = {} }: {
  c: PageRequest;
  context: ServerContext;
  form: FormState;
  policy?: Policy;
  findings?: Findings;
}) {
  const path = `${PATH}/${policy?.policyId ?? "new"}`;
  return (
    <AdminPage
      c={c}
      title={policy ? policy.name : "Add a policy"}
      place={PATH}
      above={[[undefined, "Security Management"], [PATH, "Conditional Policies"]]}
    >
      <Refusals form={form} />
      <Form action={path} class="fields">
        <Card title="Policy">
          <PolicyFields form={form} />
          <div class="actions">
            <button type="submit" name="intent" value="save" class="primary">
              Save policy
            </button>
            <a class="button" href={PATH}>Cancel</a>
          </div>
        </Card>
        <Card
          title="Dry run"
          lead="What would be decided about a request if this draft were saved. Nothing is changed."
        >
          <DryRunFields form={form} prefix="try." />
          <div class="actions">
            <button type="submit" name="intent" value="try">Dry run of the draft</button>
          </div>
          {findings.decided && <Decided context={context} decided={findings.decided} form={form} />}
        </Card>
        <Card
          title="Replay"
          lead="Whose request of the last 30 days would have been decided otherwise by this draft."
        >
          <div class="actions">
            <button type="submit" name="intent" value="replay">Replay over the last 30 days</button>
          </div>
          {findings.replay && <ReplayShown replay={findings.replay} />}
        </Card>
      </Form>
    </AdminPage>
  );
}

function Decided({ context, decided, form }: {
  context: ServerContext;
  decided: z.infer<typeof PolicyDecision>;
  form: FormState;
}) {
  const { policy } = decided;
  if (policy === null) return <DecisionShown decided={decided} />;
  if (policy === NEW_DRAFT_ID) {
    return <DecisionShown decided={decided} policyName={`${form.value("name")} (this draft)`} />;
  }
  return (
    <DecisionShown
      decided={decided}
      policyName={policyOf(context, policy).name}
      policyId={policy}
    />
  );
}

function PolicyFields({ form }: { form: FormState }) {
  return (
    <div class="fields two">
      <TextField form={form} name="name" label="Name" required wide />
      <LinesField
        form={form}
        name="users"
        label="Users"
        hint="One a line: * for everyone, an e-mail address, or group:NAME."
      />
      <LinesField
        form={form}
        name="resources"
        label="Resources"
        hint="One a line: * for every resource, or its name."
      />
      <SelectField
        form={form}
        name="conditions.device"
        label="Device"
        choices={[["", "Any device"], ["managed", "Managed"], ["unmanaged", "Unmanaged"]]}
        hint="Told by the certificate; a phone never counts as managed."
      />
      <SelectField
        form={form}
        name="action"
        label="Then"
        choices={Object.entries(ACTION_WORDS).map(([action, { words }]) => [action, words])}
      />
      <ChecksField
        form={form}
        name="conditions.os"
        label="Operating systems"
        choices={OS_CHOICES}
        hint="None chosen: any."
      />
      <LinesField
        form={form}
        name="conditions.ip"
        label="Networks"
        hint="One a line, for instance 192.0.2.0/24; empty for any."
        rows={2}
      />
      <SelectField
        form={form}
        name="enabled"
        label="State"
        choices={[["yes", "Enabled"], ["no", "Disabled"]]}
      />
    </div>
  );
}
