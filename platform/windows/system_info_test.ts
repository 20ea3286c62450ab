import assert from "node:assert/strict";
import { versionText } from "./system_info.ts";

Deno.test("a Windows is told by the name that people know it by", () => {
  const cases: [Parameters<typeof versionText>[0], string][] = [
    [
      { product: "Windows 10 Pro", release: "22H2", build: "19045", revision: 4046 },
      "Windows 10 Pro 22H2 (19045.4046)",
    ],
    [
      { product: "Windows 10 Enterprise", release: "24H2", build: "26100", revision: 1 },
      "Windows 11 Enterprise 24H2 (26100.1)",
    ],
    [
      { product: "Windows Server 2022 Datacenter", release: "21H2", build: "20348" },
      "Windows Server 2022 Datacenter 21H2 (20348)",
    ],
    [{}, "Windows"],
    [{ product: "Windows\u0000 10\n", build: "1" }, "Windows 10 (1)"],
  ];
  for (const [facts, expected] of cases) assert.equal(versionText(facts), expected);
  assert.equal(versionText({ product: "x".repeat(300) }).length, 255);
});
