/** A request that is only imagined: its fields, and what would be decided about it. */
import type { z } from "zod";
import type { PolicyDecision } from "../policy.ts";
import { type FormState, SelectField, TextField } from "./forms.tsx";
import { DECISION_WORDS } from "./policy_words.ts";
import { Badge, OS_WORDS } from "./words.tsx";

/** Choices of operating systems. */
export const OS_CHOICES = Object.entries(OS_WORDS).map(([os, words]): [string, string] => [
  os,
  words,
]);

/** Fields `user`, `resource`, `device`, `os` and `ip`; with `prefix` before each name. */
export function DryRunFields({ form, prefix = "" }: { form: FormState; prefix?: string }) {
  return (
    <div class="fields two">
      <TextField form={form} name={`${prefix}user`} label="User's e-mail address" />
      <TextField form={form} name={`${prefix}resource`} label="Resource" />
      <SelectField
        form={form}
        name={`${prefix}device`}
        label="Device"
        choices={[["managed", "Managed"], ["unmanaged", "Unmanaged"]]}
      />
      <SelectField
        form={form}
        name={`${prefix}os`}
        label="Operating system"
        choices={OS_CHOICES}
      />
      <TextField
        form={form}
        name={`${prefix}ip`}
        label="IP address"
        hint="For instance 192.0.2.7 or 2001:db8::7."
      />
    </div>
  );
}

/** What would be decided, by which policy, and why. */
export function DecisionShown({ decided, policyName, policyId }: {
  decided: z.infer<typeof PolicyDecision>;
  /** Absent where the default decision holds. */
  policyName?: string;
  /** Where the policy can be looked at. */
  policyId?: string;
}) {
  const { decision, why } = decided;
  return (
    <div class="notice" id="decided" role="status" data-decision={decision}>
      <p>
        <Badge tone={DECISION_WORDS[decision].tone}>{DECISION_WORDS[decision].words}</Badge>
      </p>
      <dl class="facts">
        <dt>Policy</dt>
        <dd>
          {policyName === undefined
            ? "none, the default decision"
            : policyId === undefined
            ? policyName
            : <a href={`/admin/policies/${policyId}`}>{policyName}</a>}
        </dd>
        <dt>Why</dt>
        <dd>{why}</dd>
      </dl>
    </div>
  );
}
