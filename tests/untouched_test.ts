import { fileURLToPath } from "node:url";
import { testInPrivateRoot } from "./private_root.ts";
import { NSS_WITNESSES } from "./nss_witness.ts";

testInPrivateRoot(
  NSS_WITNESSES,
  "ON, OFF and unenrolment leave every user's and every other product's things as they were",
  fileURLToPath(new URL("untouched_story.ts", import.meta.url)),
);
