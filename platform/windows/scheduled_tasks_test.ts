import assert from "node:assert/strict";
import { AGENT_TASK, agentTask, USER_AGENT_TASK, userAgentTask } from "./scheduled_tasks.ts";

const BINARY = "C:\\Program Files\\Device Trust\\device-trust.exe";
const CONSOLE_HOST = "C:\\Windows\\System32\\conhost.exe";
const agent = parse(agentTask(BINARY));
const userAgent = parse(userAgentTask(BINARY, CONSOLE_HOST));

/** An element: what it holds is its text, or its children. */
interface Element {
  name: string;
  attributes: Record<string, string>;
  children: Element[];
  text: string;
}

/** Reads XML of elements, attributes and text, and is strict about it. */
function parse(xml: string): Element {
  const body = xml.replace(/^<\?xml version="1\.0" encoding="UTF-16"\?>\n/, "");
  assert.notEqual(body, xml, "the declaration comes first, and names the encoding of the file");
  const top: Element = { name: "", attributes: {}, children: [], text: "" };
  const open = [top];
  let end = 0;
  for (const token of body.matchAll(/<(\/?)(\w+)((?: \w+="[^"<&]*")*)>|([^<>]+)/g)) {
    assert.equal(token.index, end, `at ${body.slice(end, end + 40)}`);
    end += token[0].length;
    const [, close, name = "", attributes = "", text] = token;
    const current = open.at(-1);
    assert.ok(current);
    if (text !== undefined) {
      assert.doesNotMatch(text, /&(?!(amp|lt|gt);)/);
      const plain = text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
      current.text += plain.trim();
    } else if (close) {
      assert.equal(open.pop()?.name, name);
    } else {
      const pairs = [...attributes.matchAll(/ (\w+)="([^"]*)"/g)].map((
        [, a = "", b = ""],
      ) => [a, b]);
      const element = { name, attributes: Object.fromEntries(pairs), children: [], text: "" };
      current.children.push(element);
      open.push(element);
    }
  }
  assert.equal(end, body.length);
  assert.deepEqual(open, [top]);
  const [root, ...more] = top.children;
  assert.ok(root && more.length === 0);
  return root;
}

function at(element: Element, ...names: string[]): Element {
  const [name, ...rest] = names;
  if (name === undefined) return element;
  const found = element.children.filter((child) => child.name === name);
  assert.equal(found.length, 1, `one ${name} in ${element.name}`);
  return at(found[0] ?? element, ...rest);
}

const BOOLEAN = /^(true|false)$/;
const DURATION = /^P(?=.)(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+S)?)?$/;
const TEXT = /./;

/**
 * The published schema (MS-TSCH 2.5), as far as our tasks go: what each element may hold. `ordered`
 * is an `xs:sequence`; every other is an `xs:all`, each child at most once. `!` is required.
 */
const SCHEMA: Record<string, { ordered?: true; holds: Record<string, string | RegExp> }> = {
  Task: {
    holds: {
      RegistrationInfo: "RegistrationInfo",
      Triggers: "Triggers",
      Principals: "Principals",
      Settings: "Settings",
      "Actions!": "Actions",
    },
  },
  RegistrationInfo: { holds: { Description: TEXT } },
  Triggers: { holds: { BootTrigger: "Trigger", LogonTrigger: "Trigger" } },
  Trigger: {
    ordered: true,
    holds: {
      Enabled: BOOLEAN,
      StartBoundary: TEXT,
      EndBoundary: TEXT,
      Repetition: "Repetition",
      ExecutionTimeLimit: DURATION,
      UserId: TEXT,
      Delay: DURATION,
    },
  },
  Repetition: {
    holds: { "Interval!": DURATION, Duration: DURATION, StopAtDurationEnd: BOOLEAN },
  },
  Principals: { holds: { "Principal!": "Principal" } },
  Principal: {
    holds: {
      UserId: /^S-1-5-18$/,
      GroupId: /^S-1-5-32-545$/,
      LogonType: /^(S4U|Password|InteractiveToken)$/,
      RunLevel: /^(LeastPrivilege|HighestAvailable)$/,
    },
  },
  Settings: {
    holds: {
      AllowStartOnDemand: BOOLEAN,
      RestartOnFailure: "Restart",
      MultipleInstancesPolicy: /^(Parallel|Queue|IgnoreNew|StopExisting)$/,
      DisallowStartIfOnBatteries: BOOLEAN,
      StopIfGoingOnBatteries: BOOLEAN,
      AllowHardTerminate: BOOLEAN,
      StartWhenAvailable: BOOLEAN,
      RunOnlyIfNetworkAvailable: BOOLEAN,
      WakeToRun: BOOLEAN,
      Enabled: BOOLEAN,
      Hidden: BOOLEAN,
      ExecutionTimeLimit: DURATION,
      Priority: /^([0-9]|10)$/,
      RunOnlyIfIdle: BOOLEAN,
    },
  },
  // A byte, 1 at least; from a minute to 31 days.
  Restart: {
    holds: {
      "Interval!": /^PT([1-9]|[1-5]\d)M$/,
      "Count!": /^([1-9]\d?|1\d\d|2[0-4]\d|25[0-5])$/,
    },
  },
  Actions: { holds: { "Exec!": "Exec" } },
  Exec: { holds: { "Command!": TEXT, Arguments: TEXT, WorkingDirectory: TEXT } },
};

function validate(element: Element, type: string): void {
  const { ordered, holds } = SCHEMA[type] ?? { holds: {} };
  const names = Object.keys(holds).map((name) => name.replace("!", ""));
  const found = element.children.map(({ name }) => name);
  assert.equal(element.text, "", `${element.name} holds elements alone`);
  assert.deepEqual(found.filter((name) => !names.includes(name)), [], `in ${element.name}`);
  assert.equal(new Set(found).size, found.length, `each once in ${element.name}`);
  if (ordered) assert.deepEqual(found, names.filter((name) => found.includes(name)));
  for (const [key, kind] of Object.entries(holds)) {
    const child = element.children.find(({ name }) => name === key.replace("!", ""));
    if (!child) assert.ok(!key.endsWith("!"), `${key} in ${element.name}`);
    else if (typeof kind === "string") validate(child, kind);
    else {
      assert.match(child.text, kind, child.name);
      assert.deepEqual(child.children, []);
    }
  }
}

Deno.test("both tasks are what the published schema asks for", () => {
  for (const task of [agent, userAgent]) {
    assert.equal(task.name, "Task");
    assert.deepEqual(task.attributes, {
      version: "1.2",
      xmlns: "http://schemas.microsoft.com/windows/2004/02/mit/task",
    });
    validate(task, "Task");
    assert.equal(
      at(task, "Actions").attributes.Context,
      at(task, "Principals", "Principal").attributes.id,
    );
  }
  assert.notEqual(AGENT_TASK, USER_AGENT_TASK);
});

Deno.test("the agent runs as SYSTEM from when the computer starts, and once", () => {
  assert.deepEqual(at(agent, "Triggers").children.map(({ name }) => name), ["BootTrigger"]);
  assert.equal(at(agent, "Principals", "Principal", "UserId").text, "S-1-5-18");
  assert.equal(at(agent, "Principals", "Principal", "RunLevel").text, "HighestAvailable");
  assert.equal(at(agent, "Settings", "MultipleInstancesPolicy").text, "IgnoreNew");
  assert.equal(at(agent, "Actions", "Exec", "Command").text, BINARY);
  assert.equal(at(agent, "Actions", "Exec", "Arguments").text, "agent");
});

Deno.test("the user-agent runs as whoever signs on, without a window, for each user of several", () => {
  assert.deepEqual(at(userAgent, "Triggers").children.map(({ name }) => name), ["LogonTrigger"]);
  const principal = at(userAgent, "Principals", "Principal");
  assert.deepEqual(principal.children.map(({ name, text }) => [name, text]), [
    ["GroupId", "S-1-5-32-545"],
    ["RunLevel", "LeastPrivilege"],
  ]);
  assert.equal(at(userAgent, "Settings", "MultipleInstancesPolicy").text, "Parallel");
  assert.equal(at(userAgent, "Actions", "Exec", "Command").text, CONSOLE_HOST);
  assert.equal(
    at(userAgent, "Actions", "Exec", "Arguments").text,
    `--headless "${BINARY}" user-agent`,
  );
});

Deno.test("neither is ended by the clock or the battery, and both start again", () => {
  const expected = {
    DisallowStartIfOnBatteries: "false",
    StopIfGoingOnBatteries: "false",
    StartWhenAvailable: "true",
    RunOnlyIfNetworkAvailable: "false",
    RunOnlyIfIdle: "false",
    ExecutionTimeLimit: "PT0S",
    Hidden: "true",
    Enabled: "true",
  };
  for (const task of [agent, userAgent]) {
    for (const [name, text] of Object.entries(expected)) {
      assert.equal(at(task, "Settings", name).text, text, name);
    }
    at(task, "Settings", "RestartOnFailure", "Count");
    const [trigger] = at(task, "Triggers").children;
    assert.ok(trigger);
    assert.equal(at(trigger, "Repetition", "StopAtDurationEnd").text, "false");
  }
});

Deno.test("a path keeps its letters, and one that no command line holds is refused", () => {
  const odd = "D:\\Zoë & Söhne <1>'s\\device-trust.exe";
  assert.equal(at(parse(agentTask(odd)), "Actions", "Exec", "Command").text, odd);
  const arguments_ = at(parse(userAgentTask(odd, CONSOLE_HOST)), "Actions", "Exec", "Arguments");
  assert.equal(arguments_.text, `--headless "${odd}" user-agent`);
  const refused = [
    "device-trust.exe",
    "\\\\files\\share\\d.exe",
    'C:\\a".exe',
    "C:\\%TEMP%\\d.exe",
  ];
  for (const path of [...refused, "C:\\a\nb.exe", "C:\\folder\\", ""]) {
    assert.throws(() => agentTask(path), { name: "Problem", message: /path must begin/ }, path);
  }
});
