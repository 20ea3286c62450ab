import assert from "node:assert/strict";
import { requestOs } from "./request_os.ts";

Deno.test("the system is read from what real browsers send", () => {
  const agents: [string, string][] = [
    ["Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/146.0.0.0 Safari/537.36", "linux"],
    ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Edg/146.0.0.0", "windows"],
    ["Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/19.0 Safari/605.1.15", "macos"],
    ["Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Mobile/15E148", "ios"],
    ["Mozilla/5.0 (iPad; CPU OS 12_2 like Mac OS X) AppleWebKit/605.1.15", "ios"],
    ["Mozilla/5.0 (Linux; Android 16; K) AppleWebKit/537.36 Mobile Safari/537.36", "android"],
    ["Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36", "chromeos"],
    ["curl/8.14.1", "other"],
    ["", "other"],
  ];
  for (const [userAgent, os] of agents) assert.equal(requestOs({ userAgent }), os, userAgent);
});

Deno.test("Chromium's hint counts before the user agent", () => {
  const linux = "Mozilla/5.0 (X11; Linux x86_64)";
  assert.equal(requestOs({ platform: '"Chrome OS"', userAgent: linux }), "chromeos");
  assert.equal(requestOs({ platform: '"Android"', userAgent: linux }), "android");
  assert.equal(requestOs({ platform: '"Unknown"', userAgent: linux }), "linux");
  assert.equal(requestOs({ platform: '"toString"', userAgent: linux }), "linux");
});

Deno.test("a phone stays a phone when the hint says otherwise", () => {
  const userAgent = "Mozilla/5.0 (Linux; Android 16; K)";
  assert.equal(requestOs({ platform: '"Linux"', userAgent }), "android");
});
