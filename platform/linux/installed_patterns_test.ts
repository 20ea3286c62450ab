import assert from "node:assert/strict";
import { filterFile } from "./filter_decision.ts";
import { installedPatterns } from "./installed_patterns.ts";

const MANAGED = "/etc/opt/chrome/policies/managed";

Deno.test("the patterns in place are those of our own file, and of no other", () => {
  const root = Deno.makeTempDirSync();
  try {
    const file = `${root}${MANAGED}/AcmeCertificateAutoselect.json`;
    assert.deepEqual(installedPatterns("Acme", root), []);
    Deno.mkdirSync(`${root}${MANAGED}`, { recursive: true });
    const patterns = ["https://portal.test", "https://[*.]challenge.portal.test:8443"];
    Deno.writeFileSync(file, filterFile({ brand: "Acme", patterns }));
    assert.deepEqual(installedPatterns("Acme", root), patterns);
    assert.deepEqual(installedPatterns("Other", root), []);
    Deno.writeTextFileSync(file, '{"AutoSelectCertificateForUrls": ["https://portal.test"]}');
    assert.deepEqual(installedPatterns("Acme", root), []);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});
