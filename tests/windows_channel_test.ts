/** Agent and user-agent meet in folders on Windows; the same tests run here on plain files. */
import { testInWindows } from "./wine.ts";

testInWindows([], "exchange folders keep their promises on Windows", {
  files: ["folder_channel_story.ts"],
});
