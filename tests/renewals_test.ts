import { fileURLToPath } from "node:url";
import { testInPrivateRoot } from "./private_root.ts";

testInPrivateRoot(
  ["chromium", "certutil", "openssl", "curl"],
  "browsers stay managed across ten renewals, running or started anew",
  fileURLToPath(new URL("renewals_story.ts", import.meta.url)),
);
