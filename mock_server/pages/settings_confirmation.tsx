/** The question before settings are saved that take something away (DESIGN S1). */
import type { SettingsPreview } from "../settings_preview.ts";
import { PeopleAffected, PoliciesAffected, Summary } from "./consequences.tsx";
import { AdminPage, Confirmation } from "./layout.tsx";
import type { PageRequest } from "./requests.ts";

const PATH = "/admin/policies/settings";

/** Shows what the form of this request would do; sending it again saves it. */
export function ConfirmationPage({ c, preview }: { c: PageRequest; preview: SettingsPreview }) {
  const off = preview.changes.some(({ setting, to }) =>
    setting === "globalCertificateDistribution" && to === false
  );
  const affected = off ? preview.loses : preview.patterns.affected;
  return (
    <AdminPage
      c={c}
      title={off ? "Turn off Global Certificate Distribution?" : "Save these changes?"}
      place="/admin/policies"
      above={[["/admin/policies", "Conditional Policies"], [PATH, "Settings"]]}
    >
      <Confirmation
        action={PATH}
        values={withConfirmation(c.var.form)}
        button={off ? "Turn it OFF" : "Save changes"}
        back={PATH}
        danger={off}
      >
        <Summary summary={preview.summary} />
        <h2>{off ? "Who loses their certificate" : "Whose browsers are affected"}</h2>
        <PeopleAffected
          title={off ? "Who loses their certificate" : "Whose browsers are affected"}
          affected={affected}
        />
        <h2>Enabled policies with a device condition</h2>
        <PoliciesAffected
          policies={preview.policies}
          none="No enabled policy with a device condition is affected."
        />
        {off && (
          <p>
            The policies themselves stay as they are. When distribution is turned ON again, devices
            request new certificates by themselves.
          </p>
        )}
      </Confirmation>
    </AdminPage>
  );
}

function withConfirmation(form: URLSearchParams): URLSearchParams {
  const values = new URLSearchParams(form);
  values.set("confirmed", "yes");
  return values;
}
