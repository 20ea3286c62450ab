/**
 * Our two tasks as Windows' Task Scheduler has them, by the schema that Microsoft publishes (MS-TSCH
 * 2.5, version 1.2). Pure; registers nothing.
 */
import { Problem } from "../errors.ts";

/** Names of the tasks, in a folder of their own. */
export const AGENT_TASK = "\\Device Trust\\Agent";
export const USER_AGENT_TASK = "\\Device Trust\\User agent";

/**
 * The agent's task: as SYSTEM, from when the computer starts. `binary` is absolute.
 *
 * @throws Problem `internal` for a path that no command line can hold
 */
export function agentTask(binary: string): string {
  return task({
    description: "Keeps this computer a managed device (Device Trust).",
    trigger: `<BootTrigger>${REPETITION}</BootTrigger>`,
    // LocalSystem.
    principal: "<UserId>S-1-5-18</UserId><RunLevel>HighestAvailable</RunLevel>",
    instances: "IgnoreNew",
    command: quotable(binary),
    args: "agent",
  });
}

/**
 * The user-agent's task: as whoever signs on, with that user's own rights. The console host's own
 * `--headless` gives it the console that it needs and no window that a user would see flash.
 *
 * Another user's sign-on must not find the task taken: so instances stand side by side, and a
 * user-agent sees to it by itself that its user has one.
 *
 * @param consoleHost absolute path of `conhost.exe`
 * @throws Problem as {@link agentTask}
 */
export function userAgentTask(binary: string, consoleHost: string): string {
  return task({
    description: "Keeps the signed-on user's device certificate (Device Trust).",
    trigger: `<LogonTrigger>${REPETITION}</LogonTrigger>`,
    // BUILTIN\Users.
    principal: "<GroupId>S-1-5-32-545</GroupId><RunLevel>LeastPrivilege</RunLevel>",
    instances: "Parallel",
    command: quotable(consoleHost),
    args: `--headless "${quotable(binary)}" user-agent`,
  });
}

/** What the schema calls `Count` is a byte. */
const MOST_RESTARTS = 255;

/** One that ended all the same is started again; one that runs stays the only one. */
const REPETITION = "<Enabled>true</Enabled><Repetition><Interval>PT1H</Interval>" +
  "<StopAtDurationEnd>false</StopAtDurationEnd></Repetition>";

interface TaskText {
  description: string;
  trigger: string;
  principal: string;
  instances: "IgnoreNew" | "Parallel";
  command: string;
  args: string;
}

function task({ description, trigger, principal, instances, command, args }: TaskText): string {
  return `<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>${text(description)}</Description>
  </RegistrationInfo>
  <Triggers>
    ${trigger}
  </Triggers>
  <Principals>
    <Principal id="Author">
      ${principal}
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>${instances}</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <AllowHardTerminate>true</AllowHardTerminate>
    <StartWhenAvailable>true</StartWhenAvailable>
    <RunOnlyIfNetworkAvailable>false</RunOnlyIfNetworkAvailable>
    <AllowStartOnDemand>true</AllowStartOnDemand>
    <Enabled>true</Enabled>
    <Hidden>true</Hidden>
    <RunOnlyIfIdle>false</RunOnlyIfIdle>
    <WakeToRun>false</WakeToRun>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Priority>7</Priority>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>${MOST_RESTARTS}</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>${text(command)}</Command>
      <Arguments>${text(args)}</Arguments>
    </Exec>
  </Actions>
</Task>
`;
}

/** A path that stands between quotes in a command line as itself. */
function quotable(path: string): string {
  // deno-lint-ignore no-control-regex
  if (/^[A-Za-z]:\\[^"%\0-\x1f]+[^"%\\\0-\x1f]$/.test(path)) return path;
  throw new Problem(
    "internal",
    `Cannot make a task of ${path}: its path must begin with a drive and hold no quotes and no %; ` +
      "move the binary, for instance to C:\\Program Files\\Device Trust\\device-trust.exe",
  );
}

/** As XML's character data. */
function text(value: string): string {
  return value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
