import { fileURLToPath } from "node:url";
import { testInPrivateRoot } from "./private_root.ts";

testInPrivateRoot(
  ["libnss3"],
  "a hostile user reaches nothing of root's or of another user's, and holds nobody up",
  fileURLToPath(new URL("hostile_user_story.ts", import.meta.url)),
);

testInPrivateRoot(
  ["libnss3"],
  "a hostile user's processes have that user's rights and environment alone, and hold nobody up",
  fileURLToPath(new URL("hostile_process_story.ts", import.meta.url)),
);

testInPrivateRoot(
  ["libnss3", "certutil"],
  "what hostile users plant in their homes leads nobody to root's or another user's things",
  fileURLToPath(new URL("hostile_homes_story.ts", import.meta.url)),
);
