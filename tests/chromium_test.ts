import { fileURLToPath } from "node:url";
import { testInPrivateRoot } from "./private_root.ts";

testInPrivateRoot(
  ["chromium", "certutil", "pk12util", "openssl"],
  "from the administrator's switch to the answers of real browsers, and back to nothing",
  fileURLToPath(new URL("chromium_story.ts", import.meta.url)),
);
