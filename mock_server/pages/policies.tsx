/** Conditional policies: the list, enabling, deleting, and the dry run of what is in force. */
import type { Hono } from "hono";
import type { z } from "zod";
import { deletePolicy, dryRun, replacePolicy } from "../admin_policies.ts";
import { previewChange } from "../admin_settings.ts";
import type { ServerContext } from "../context.ts";
import { EvaluationRequest, type Policy, type PolicyDecision, storedPolicy } from "../policy.ts";
import { RequestProblem } from "../problems.ts";
import { PeopleAffected, PoliciesAffected, Summary } from "./consequences.tsx";
import { DecisionShown, DryRunFields } from "./dry_run.tsx";
import { pageOfQuery } from "./events.tsx";
import { Form, FormState, Refusals, submit } from "./forms.tsx";
import { AdminPage, Card, Confirmation, Pager, Table } from "./layout.tsx";
import { PolicyTabs } from "./policy_tabs.tsx";
import {
  ACTION_WORDS,
  conditionsInWords,
  type Directory,
  resourcesInWords,
  usersInWords,
} from "./policy_words.ts";
import type { PageRequest, PagesEnv } from "./requests.ts";
import { Badge } from "./words.tsx";

const PATH = "/admin/policies";
const SHOWN = 100;

/** Adds `/admin/policies` and what is below it but for the editor and the settings. */
export function policyPages(app: Hono<PagesEnv>, context: ServerContext): void {
  const { store } = context;
  app.get(PATH, (c) => c.html(<PoliciesPage c={c} context={context} />));
  app.get(`${PATH}/dry-run`, async (c) => {
    const query = new URL(c.req.url).searchParams;
    if (!query.has("user")) {
      const form = new FormState(new URLSearchParams({ os: "linux", device: "managed" }));
      return c.html(<DryRunPage c={c} form={form} />);
    }
    const result = await submit(
      query,
      EvaluationRequest,
      Object.fromEntries(query),
      (request) => dryRun(context, store.policies.all().map(storedPolicy), request),
    );
    if ("refused" in result) return c.html(<DryRunPage c={c} form={result.refused} />, 422);
    const policy = policyOrNone(context, result.done.policy);
    return c.html(
      <DryRunPage c={c} form={new FormState(query)} decided={result.done} policy={policy} />,
    );
  });
  app.get(`${PATH}/distribution`, (c) => c.html(<OfferPage c={c} context={context} />));
  app.post(`${PATH}/:policyId/enabled`, (c) => {
    const { policyId, ...policy } = policyOf(context, c.req.param("policyId"));
    const enabled = c.var.form.get("enabled") === "yes";
    replacePolicy(context, policyId, { ...policy, enabled });
    c.var.session.notice = {
      text: `Policy '${policy.name}' is ${enabled ? "enabled" : "disabled"}.`,
    };
    return c.redirect(PATH, 303);
  });
  app.get(`${PATH}/:policyId/delete`, (c) => {
    const policy = policyOf(context, c.req.param("policyId"));
    return c.html(<DeletionPage c={c} policy={policy} />);
  });
  app.post(`${PATH}/:policyId/delete`, (c) => {
    const { policyId, name } = policyOf(context, c.req.param("policyId"));
    deletePolicy(context, policyId);
    c.var.session.notice = { text: `Policy '${name}' was deleted.` };
    return c.redirect(PATH, 303);
  });
}

/** A policy that is there. Throws `not-found`. */
export function policyOf(context: ServerContext, policyId: string): Policy {
  const policy = policyOrNone(context, policyId);
  if (!policy) throw new RequestProblem("not-found", "There is no such policy.");
  return policy;
}

/** Who users are, by either of their names. */
export function directoryOf({ store }: ServerContext): Directory {
  return {
    emailOf: (userId) => {
      const user = store.users.get(userId);
      return user?.deletedAt === null ? user.email : undefined;
    },
    userIdOf: (email) => store.users.byEmail(email)?.userId,
  };
}

function policyOrNone({ store }: ServerContext, policyId: string | null): Policy | undefined {
  const value = policyId === null ? undefined : store.policies.get(policyId);
  return policyId !== null && value ? storedPolicy({ policyId, value }) : undefined;
}

function PoliciesPage({ c, context }: { c: PageRequest; context: ServerContext }) {
  const { store } = context;
  const query = c.req.query();
  const { items, nextCursor } = store.policies.list(pageOfQuery(query, SHOWN));
  const policies = items.map(storedPolicy);
  const blind = !store.settings.current.globalCertificateDistribution &&
    policies.some(({ enabled, conditions }) => enabled && conditions.device);
  return (
    <AdminPage
      c={c}
      title="Conditional Policies"
      place={PATH}
      above={[[undefined, "Security Management"]]}
      actions={<a class="button primary" href={`${PATH}/new`}>Add a policy</a>}
    >
      <PolicyTabs current={PATH} />
      {blind && (
        <div class="notice warn" id="blind">
          <p>
            Policies with a device condition are enabled, but Global Certificate Distribution is
            OFF: every device counts as unmanaged. <a href={`${PATH}/distribution`}>Turn it ON</a>
          </p>
        </div>
      )}
      <section class="card flush" aria-label="Policies">
        {policies.length === 0
          ? (
            <p class="pad muted">
              There is no policy yet: every request gets the default decision, '{store.settings
                .current.defaultDecision}'.
            </p>
          )
          : <PolicyTable policies={policies} directory={directoryOf(context)} />}
        <Pager path={PATH} query={query} next={nextCursor} />
      </section>
      <p class="hint">
        Every enabled policy whose users, resources and conditions all match counts; the strictest
        wins. Where none matches, the default decision holds:{" "}
        '{store.settings.current.defaultDecision}'.
      </p>
    </AdminPage>
  );
}

function PolicyTable({ policies, directory }: { policies: Policy[]; directory: Directory }) {
  return (
    <Table
      caption="Conditional policies"
      columns={["Policy", "Who and what", "When", "Then", "State", "Actions"]}
    >
      {policies.map((policy) => (
        <tr>
          <th scope="row">
            <a href={`${PATH}/${policy.policyId}`}>{policy.name}</a>
          </th>
          <td>
            {usersInWords(policy.users, directory)}
            <span class="hint">{resourcesInWords(policy.resources)}</span>
          </td>
          <td>
            {conditionsInWords(policy.conditions).map((words) => <div key={words}>{words}</div>)}
            {conditionsInWords(policy.conditions).length === 0 && "always"}
          </td>
          <td>
            <Badge tone={ACTION_WORDS[policy.action].tone}>
              {ACTION_WORDS[policy.action].words}
            </Badge>
          </td>
          <td>
            <Badge tone={policy.enabled ? "good" : "plain"}>
              {policy.enabled ? "Enabled" : "Disabled"}
            </Badge>
          </td>
          <td>
            <PolicyActions policy={policy} />
          </td>
        </tr>
      ))}
    </Table>
  );
}

function PolicyActions({ policy: { policyId, name, enabled } }: { policy: Policy }) {
  const whose = <span class="hidden">{` policy '${name}'`}</span>;
  return (
    <div class="actions">
      <Form action={`${PATH}/${policyId}/enabled`}>
        <input type="hidden" name="enabled" value={enabled ? "no" : "yes"} />
        <button type="submit" class="link">
          {enabled ? "Disable" : "Enable"}
          {whose}
        </button>
      </Form>
      <a href={`${PATH}/${policyId}/delete`}>Delete{whose}</a>
    </div>
  );
}

function DeletionPage({ c, policy }: { c: PageRequest; policy: Policy }) {
  return (
    <AdminPage
      c={c}
      title={`Delete policy '${policy.name}'?`}
      place={PATH}
      above={[[PATH, "Conditional Policies"]]}
    >
      <Confirmation
        action={`${PATH}/${policy.policyId}/delete`}
        button="Delete the policy"
        back={PATH}
      >
        <p>
          Requests that it matches are decided by the other policies, or by the default decision.
          Disabling it does the same and can be undone.
        </p>
      </Confirmation>
    </AdminPage>
  );
}

function OfferPage({ c, context }: { c: PageRequest; context: ServerContext }) {
  const preview = previewChange(context, { globalCertificateDistribution: true });
  return (
    <AdminPage
      c={c}
      title="Turn on Global Certificate Distribution?"
      place={PATH}
      above={[[PATH, "Conditional Policies"]]}
    >
      <Confirmation
        action={`${PATH}/settings`}
        values={{ globalCertificateDistribution: "on" }}
        button="Turn it ON"
        back={PATH}
        danger={false}
      >
        <p>
          A policy with a device condition tells managed devices by their certificate. While
          distribution is OFF no device has one, and every request counts as unmanaged.
        </p>
        <Summary summary={preview.summary} />
        <PeopleAffected title="Who would get a certificate" affected={preview.gains} />
        <PoliciesAffected
          policies={preview.policies}
          none="No enabled policy with a device condition is affected."
        />
      </Confirmation>
    </AdminPage>
  );
}

function DryRunPage({ c, form, decided, policy }: {
  c: PageRequest;
  form: FormState;
  decided?: z.infer<typeof PolicyDecision>;
  policy?: Policy;
}) {
  return (
    <AdminPage
      c={c}
      title="Dry run"
      place={PATH}
      above={[[undefined, "Security Management"], [PATH, "Conditional Policies"]]}
    >
      <PolicyTabs current={`${PATH}/dry-run`} />
      <Card
        title="What would be decided?"
        lead="Which of the policies in force would decide a request, and why. Nothing is changed."
      >
        <Refusals form={form} />
        <form method="get" action={`${PATH}/dry-run`} class="fields">
          <DryRunFields form={form} />
          <div class="actions">
            <button type="submit" class="primary">Dry run</button>
          </div>
        </form>
        {decided && (
          <DecisionShown decided={decided} policyName={policy?.name} policyId={policy?.policyId} />
        )}
      </Card>
    </AdminPage>
  );
}
