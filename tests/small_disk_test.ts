import { fileURLToPath } from "node:url";
import { NSS_WITNESSES } from "./nss_witness.ts";
import { testInPrivateRoot } from "./private_root.ts";

testInPrivateRoot(
  NSS_WITNESSES,
  "a disk that is full or read-only, wherever we write: it is told, nothing is lost, and heals",
  fileURLToPath(new URL("small_disk_story.ts", import.meta.url)),
);
