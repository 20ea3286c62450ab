/** What an exchange folder promises, for Windows (tests/windows_channel_test.ts). */
import "../agent/folder_channel_test.ts";
