/** Windows under Wine: what the files named here promise, on any machine that can run it. */
import { testInWindows } from "./wine.ts";

testInWindows([], "Windows is told, asked and left as the platform promises", {
  files: [
    "windows_filters_story.ts",
    "windows_folders_story.ts",
    "windows_accounts_story.ts",
    "windows_service_story.ts",
    "windows_user_story.ts",
  ],
});
