/** What a removal would do. */
import type { RemovalPreview } from "../removal_preview.ts";
import { PeopleAffected, PoliciesAffected, Summary } from "./consequences.tsx";

/** In sentences, then who and which policies. */
export function RemovalConsequences({ preview }: { preview: RemovalPreview }) {
  return (
    <>
      <Summary summary={preview.summary} />
      <h2>Who loses their certificate</h2>
      <PeopleAffected title="Who loses their certificate" affected={preview.loses} />
      <h2>Policies that would see them differently</h2>
      <PoliciesAffected policies={preview.policies} none="No enabled policy is affected." />
    </>
  );
}
