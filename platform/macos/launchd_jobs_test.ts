import assert from "node:assert/strict";
import { agentJob, userAgentJob } from "./launchd_jobs.ts";
import { memberOf, readPropertyList } from "./property_list.ts";

const BINARY = "/Library/Application Support/Device Trust/bin/device-trust";

Deno.test("the agent runs from boot on, comes back when it ends, and says where it logs", () => {
  const job = readPropertyList(agentJob(BINARY, "/Library/Logs/Device Trust"));
  assert.deepEqual(job, {
    Label: "device-trust.agent",
    ProgramArguments: [BINARY, "agent"],
    RunAtLoad: true,
    KeepAlive: true,
    ProcessType: "Background",
    Umask: 0o077,
    StandardOutPath: "/Library/Logs/Device Trust/agent.log",
    StandardErrorPath: "/Library/Logs/Device Trust/agent.log",
  });
});

Deno.test("the user-agent runs in sessions at the screen, and ends by itself each time", () => {
  const job = readPropertyList(userAgentJob(BINARY));
  const value = (key: string) => memberOf(job, key);
  assert.deepEqual(value("ProgramArguments"), [BINARY, "user-agent", "--once"]);
  assert.deepEqual([value("RunAtLoad"), value("LimitLoadToSessionType")], [true, "Aqua"]);
  assert.equal(value("KeepAlive"), undefined);
  assert.ok(Number(value("StartInterval")) >= 300);
});
