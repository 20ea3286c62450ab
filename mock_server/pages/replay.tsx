/** What a replay found. */
import type { PolicyReplay } from "../policy_replay.ts";
import { Table } from "./layout.tsx";
import { DECISION_WORDS } from "./policy_words.ts";
import { Badge, count, figure, OS_WORDS, When } from "./words.tsx";

/** Decisions that the page lists. */
const SHOWN = 50;

/** How many decisions would have been another, and which. */
export function ReplayShown({ replay }: { replay: PolicyReplay }) {
  const { challenges, changed, changedAnyway, since, items } = replay;
  return (
    <div id="replay-result" class="fields" role="status">
      <p>
        <strong>
          {changed === 0
            ? "No decision would have been another."
            : `${figure(changed)} of ${count(challenges, "decision")} would have been another.`}
        </strong>{" "}
        {changedAnyway > 0 &&
          `${figure(changedAnyway)} of them by the policies that are in force by now.`}
      </p>
      <p class="hint">
        {count(challenges, "request")} since <When at={since} />{" "}
        were looked at, each with the user, groups, device and address that it had.
      </p>
      {items.length > 0 && (
        <Table
          caption="Decisions that would have been another"
          columns={["When", "Who and what", "From", "Was", "Would be"]}
        >
          {items.slice(0, SHOWN).map((item) => (
            <tr>
              <td>
                <When at={item.at} />
              </td>
              <th scope="row">
                {item.user || "nobody"}
                <span class="hint">{item.resource}</span>
              </th>
              <td>
                {item.device === "managed" ? "Managed" : "Unmanaged"} device
                <span class="hint">{OS_WORDS[item.os]}, {item.ip}</span>
              </td>
              <td>
                <Badge tone={DECISION_WORDS[item.before.decision].tone}>
                  {DECISION_WORDS[item.before.decision].words}
                </Badge>
              </td>
              <td>
                <Badge tone={DECISION_WORDS[item.after.decision].tone}>
                  {DECISION_WORDS[item.after.decision].words}
                </Badge>
              </td>
            </tr>
          ))}
        </Table>
      )}
      {changed > SHOWN && <p class="hint">The newest {SHOWN} are listed; the counts are of all.</p>}
    </div>
  );
}
