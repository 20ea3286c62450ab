import assert from "node:assert/strict";
import { machineIdIn, versionIn } from "./system_info.ts";

Deno.test("the system is named with its version and build, as far as it says", () => {
  const cases = [
    [
      "ProductName:\t\tmacOS\nProductVersion:\t\t15.1\nBuildVersion:\t\t24B83\n",
      "macOS 15.1 (24B83)",
    ],
    [
      "ProductName:\tmacOS\nProductVersion:\t13.3.1\nProductVersionExtra:\t(a)\nBuildVersion:\t22E772610a\n",
      "macOS 13.3.1 (a) (22E772610a)",
    ],
    ["ProductVersion:\t\t10.15.7\n", "macOS 10.15.7"],
    ["", "macOS"],
  ] as const;
  for (const [text, version] of cases) assert.equal(versionIn(text), version);
});

Deno.test("a machine is known by its hardware's UUID", () => {
  const text = `+-o MacBookPro18,3  <class IOPlatformExpertDevice, id 0x10000024d>
    {
      "IOPlatformSerialNumber" = "XXXXXXXXXX"
      "IOPlatformUUID" = "5a7c1d60-1111-5222-8333-0123456789ab"
    }
`;
  assert.equal(machineIdIn(text), "5A7C1D60-1111-5222-8333-0123456789AB");
  assert.equal(machineIdIn("{ }"), undefined);
});
