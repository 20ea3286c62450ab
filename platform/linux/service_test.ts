import assert from "node:assert/strict";
import { join } from "node:path";
import { Problem } from "../errors.ts";
import {
  AGENT_UNIT,
  agentUnit,
  POLICY_FOLDERS,
  USER_AGENT_TEMPLATE,
  userAgentUnit,
  userAgentUnitName,
} from "./service.ts";

const BINARY = "/usr/bin/true"; // systemd-analyze wants one that exists
const analyze = systemdAnalyze("--version") === undefined;
const skipped = analyze ? "" : " (skipped: needs systemd-analyze)";

/** What it complained of; undefined when it was content. */
function systemdAnalyze(...args: string[]): string | undefined {
  try {
    const { success, stdout, stderr } = new Deno.Command("systemd-analyze", { args }).outputSync();
    const said = new TextDecoder().decode(stderr);
    return success && !said ? undefined : new TextDecoder().decode(stdout) + said;
  } catch (error) {
    return String(error);
  }
}

function withUnits(test: (agent: string, userAgent: string) => void): void {
  const dir = Deno.makeTempDirSync({ prefix: "device-trust-units-" });
  try {
    Deno.writeTextFileSync(join(dir, AGENT_UNIT), agentUnit(BINARY));
    Deno.writeTextFileSync(join(dir, USER_AGENT_TEMPLATE), userAgentUnit(BINARY));
    test(join(dir, AGENT_UNIT), join(dir, userAgentUnitName("1000")));
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

Deno.test({
  name: "systemd understands every line of both units" + skipped,
  ignore: !analyze,
  fn: () =>
    withUnits((agent, userAgent) => {
      // The manual page is the packages' to bring.
      const verify = (unit: string) => systemdAnalyze("verify", "--man=no", unit);
      assert.equal(verify(agent), undefined);
      assert.equal(verify(userAgent), undefined);
      Deno.writeTextFileSync(agent, agentUnit(BINARY).replace("ProtectHome=", "ProtectHomes="));
      assert.match(verify(agent) ?? "", /ProtectHomes/);
    }),
});

Deno.test({
  name: "systemd rates the exposure of both units at 2.5 at most" + skipped,
  ignore: !analyze,
  fn: () =>
    withUnits((agent, userAgent) => {
      const rating = ["security", "--offline=true", "--no-pager", "--threshold=25"];
      assert.equal(systemdAnalyze(...rating, agent), undefined);
      assert.equal(systemdAnalyze(...rating, userAgent.replace("@1000", "@")), undefined);
    }),
});

Deno.test("the agent sees no home, the user-agent no network, and V8 may compile", () => {
  const agent = agentUnit("/usr/local/bin/device-trust").split("\n");
  assert.ok(agent.includes("ExecStart=/usr/local/bin/device-trust agent"));
  assert.ok(agent.includes("ProtectHome=yes"));
  const writable = agent.find((line) => line.startsWith("ReadWritePaths="));
  assert.ok(writable && POLICY_FOLDERS.length > 0);
  for (const folder of POLICY_FOLDERS) {
    const covered = writable.split(/[= ]/).some((path) =>
      folder.startsWith(`${path.replace("-", "")}/`) && path.startsWith("-/etc/")
    );
    assert.ok(covered, `${folder} can be written`);
  }
  const userAgent = userAgentUnit("/usr/local/bin/device-trust").split("\n");
  assert.ok(userAgent.includes("ExecStart=/usr/local/bin/device-trust user-agent --once"));
  assert.ok(userAgent.includes("User=%i"));
  assert.ok(userAgent.includes("PrivateNetwork=yes"));
  assert.ok(userAgent.includes("Type=oneshot"), "starting it waits for its end");
  assert.ok(!userAgent.some((line) => line.startsWith("ProtectHome=")));
  for (const unit of [agent, userAgent]) {
    assert.ok(!unit.some((line) => line.startsWith("MemoryDenyWriteExecute=")));
    assert.ok(unit.includes("NoNewPrivileges=yes"));
    assert.ok(unit.includes("UMask=0077"));
  }
  assert.equal(userAgentUnitName("1001"), "device-trust-user-agent@1001.service");
});

Deno.test("a path that systemd would read its own way is refused", () => {
  for (
    const path of [
      "device-trust",
      "/opt/a b",
      "/opt/%i",
      "/opt/$HOME",
      "/opt/a\nUser=root",
      "/opt/'x'",
      "",
    ]
  ) {
    assert.throws(() => agentUnit(path), Problem, path);
    assert.throws(() => userAgentUnit(path), Problem, path);
  }
});
