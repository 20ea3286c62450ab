/** What a change would do, shown before it is done. */
import type { z } from "zod";
import { ACTION_WORDS } from "./policy_words.ts";
import type { Affected, AffectedPolicy } from "../settings_preview.ts";
import { Table } from "./layout.tsx";
import { Badge, figure } from "./words.tsx";

/** People whom a confirmation names; the rest is counted. */
const NAMED = 20;

/** In sentences. */
export function Summary({ summary }: { summary: readonly string[] }) {
  return <ul id="consequences">{summary.map((sentence) => <li key={sentence}>{sentence}</li>)}</ul>;
}

/** Policies that see devices differently afterwards. */
export function PoliciesAffected(
  { policies, none }: {
    policies: readonly (Pick<AffectedPolicy, "policyId" | "name" | "action" | "effect">)[];
    none: string;
  },
) {
  if (policies.length === 0) return <p class="muted">{none}</p>;
  return (
    <Table caption="Policies affected" columns={["Policy", "Action", "Effect"]}>
      {policies.map(({ name, action, effect }) => (
        <tr>
          <th scope="row">{name}</th>
          <td>
            <Badge tone={ACTION_WORDS[action].tone}>{ACTION_WORDS[action].words}</Badge>
          </td>
          <td>{effect}</td>
        </tr>
      ))}
    </Table>
  );
}

/** Who loses or gains something. */
export function PeopleAffected({ title, affected }: {
  title: string;
  affected: z.infer<typeof Affected>;
}) {
  const { items, devices, users, certificates } = affected;
  return (
    <>
      <dl class="figures" aria-label={title}>
        <div>
          <dt>Devices</dt>
          <dd>{figure(devices)}</dd>
        </div>
        <div>
          <dt>Users</dt>
          <dd>{figure(users)}</dd>
        </div>
        <div>
          <dt>Certificates</dt>
          <dd>{figure(certificates)}</dd>
        </div>
      </dl>
      {items.length > 0 && (
        <details>
          <summary>
            {items.length > NAMED ? `The first ${NAMED} of them` : "Who they are"}
          </summary>
          <Table caption={title} columns={["User", "Device", "Account"]}>
            {items.slice(0, NAMED).map(({ email, hostname, username }) => (
              <tr>
                <th scope="row">{email}</th>
                <td>{hostname}</td>
                <td>{username}</td>
              </tr>
            ))}
          </Table>
        </details>
      )}
    </>
  );
}
