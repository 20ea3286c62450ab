/**
 * The service as Windows' Task Scheduler has it, or Wine's, which keeps tasks and runs none
 * (tests/windows_platform_test.ts). Needs an administrator's rights; leaves no task.
 */
import assert from "node:assert/strict";
import { runService } from "../agent/service_command.ts";
import { type Command, runCommand } from "../platform/command.ts";
import { readSecurity } from "../platform/windows/folders.ts";
import { AGENT_TASK, USER_AGENT_TASK } from "../platform/windows/scheduled_tasks.ts";
import type { Security } from "../platform/windows/security.ts";
import { taskService } from "../platform/windows/service.ts";
import { isWine } from "./windows_scratch.ts";

const WINDOWS = Deno.env.get("SystemRoot") ?? "C:\\Windows";
/** A program that only administrators can change. */
const PROGRAM = `${WINDOWS}\\System32\\schtasks.exe`;
const PROTECTED: Security = { owner: "S-1-5-18", dacl: "D:PAI(A;;FA;;;SY)(A;;0x1200a9;;;BU)" };

/** Under Wine every file is its one user's. */
const realSecurity = isWine() ? () => PROTECTED : readSecurity;

/** A service, every call that it makes, and the XML that each registers. */
class Scratch {
  readonly folder = Deno.makeTempDirSync({ prefix: "device-trust-service-" });
  readonly calls: string[] = [];
  readonly registered: string[] = [];
  readonly texts: string[] = [];
  readonly output = {
    out: (text: string) => this.texts.push(text) > 0,
    err: (text: string) => this.texts.push(text) > 0,
  };

  service(security: (path: string) => Security | undefined = realSecurity) {
    const run = async (command: Command) => {
      const [program, ...args] = command.argv;
      assert.equal(program, `${WINDOWS}\\System32\\schtasks.exe`);
      this.calls.push(args.join(" ").replaceAll(this.folder, "STATE"));
      const file = args[args.indexOf("/xml") + 1];
      if (args.includes("/create") && file) {
        this.registered.push(new TextDecoder("utf-16le").decode(Deno.readFileSync(file)));
      }
      return await runCommand(command);
    };
    return taskService({ run, windows: WINDOWS, stateDir: this.folder, security });
  }
}

function story(name: string, test: (scratch: Scratch) => Promise<void>): void {
  Deno.test(name, async () => {
    const scratch = new Scratch();
    try {
      await test(scratch);
    } finally {
      await Deno.remove(scratch.folder, { recursive: true });
    }
  });
}

story(
  "both tasks are registered by files that are gone afterwards, and removed",
  async (scratch) => {
    const { calls, registered, folder } = scratch;
    const service = scratch.service();
    await service.install(PROGRAM);
    try {
      assert.deepEqual(calls, [
        `/end /tn ${AGENT_TASK}`,
        `/create /tn ${AGENT_TASK} /xml STATE\\task.xml /f`,
        `/end /tn ${USER_AGENT_TASK}`,
        `/create /tn ${USER_AGENT_TASK} /xml STATE\\task.xml /f`,
        `/run /tn ${AGENT_TASK}`,
        `/run /tn ${USER_AGENT_TASK}`,
      ]);
      assert.ok(registered[0]?.includes(`<Command>${PROGRAM}</Command>`));
      assert.deepEqual([...Deno.readDirSync(folder)], []);
      assert.ok((await service.status()).every(({ installed }) => installed));
      // Installing again is an upgrade.
      await service.install(PROGRAM);
    } finally {
      await service.uninstall();
    }
    // Wine says of every task that it is there.
    if (isWine()) return;
    assert.ok((await service.status()).every(({ installed }) => !installed));
    await service.uninstall();
  },
);

story(
  "a program that somebody else could replace is refused, and nothing is registered",
  async (scratch) => {
    const open = { ...PROTECTED, dacl: `${PROTECTED.dacl}(A;OICI;0x1301bf;;;AU)` };
    for (const place of [PROGRAM, `${WINDOWS}\\System32`, WINDOWS]) {
      const service = scratch.service((path) => path === place ? open : PROTECTED);
      await assert.rejects(service.install(PROGRAM), {
        name: "Problem",
        message: /can be changed by AU/,
      });
    }
    const gone = scratch.service((path) => path === PROGRAM ? undefined : PROTECTED);
    await assert.rejects(gone.install(PROGRAM), /There is no/);
    assert.deepEqual(scratch.calls, []);
  },
);

story(
  "what the Task Scheduler refuses is told, and the file is gone all the same",
  async (scratch) => {
    const run = () => {
      return Promise.resolve({
        code: 1,
        timedOut: false,
        stdoutTail: "",
        stderrTail: "ERROR: no.\r\n",
      });
    };
    const world = { run, windows: WINDOWS, stateDir: scratch.folder, security: () => PROTECTED };
    await assert.rejects(
      taskService(world).install(PROGRAM),
      /Cannot register .*: ERROR: no\. Run/,
    );
    assert.deepEqual([...Deno.readDirSync(scratch.folder)], []);
  },
);

story(
  "the command says what it did, and refuses to make a service of a program from source",
  async (scratch) => {
    const service = scratch.service();
    const platform = { os: "windows", service, makeStateFolder() {} } as const;
    const program = { path: PROGRAM, isOne: true };
    assert.equal(await runService(platform, "install", scratch.output, program), 0);
    assert.equal(await runService(platform, "status", scratch.output), 0);
    assert.equal(await runService(platform, "uninstall", scratch.output), 0);
    const [installed, ...lines] = scratch.texts;
    assert.match(installed ?? "", /schtasks\.exe as a service/);
    assert.deepEqual(lines.slice(0, 2), [
      `${AGENT_TASK}: installed\n`,
      `${USER_AGENT_TASK}: installed\n`,
    ]);
    const source = { path: PROGRAM, isOne: false };
    await assert.rejects(runService(platform, "install", scratch.output, source), /from source/);
  },
);
