import { fileURLToPath } from "node:url";
import { testInPrivateRoot } from "./private_root.ts";

testInPrivateRoot(
  ["libnss3", "certutil"],
  "doctor finds each broken link, as root and as a user, and changes nothing",
  fileURLToPath(new URL("doctor_story.ts", import.meta.url)),
);
