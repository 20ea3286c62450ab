import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { parseMachineId, prettyName, readSystemInfo } from "./system_info.ts";

const linux = Deno.build.os === "linux";
const ID = "0123456789abcdef0123456789abcdef";

Deno.test({
  name: "this system's name, host name and machine id are those that its own tools show",
  ignore: !linux,
  fn() {
    const { hostname, osVersion, machineId } = readSystemInfo();
    const shell = (script: string) =>
      new TextDecoder().decode(new Deno.Command("sh", { args: ["-c", script] }).outputSync().stdout)
        .trim();
    assert.equal(hostname, shell("uname -n"));
    assert.equal(osVersion, shell('. /etc/os-release; echo "$PRETTY_NAME"'));
    assert.equal(machineId ?? "", shell("cat /etc/machine-id 2>/dev/null"));
  },
});

Deno.test({
  name: "a root has its own machine id or none, and the system's name where it has none itself",
  ignore: !linux,
  fn() {
    const dir = Deno.makeTempDirSync({ prefix: "device-trust-info-" });
    try {
      const { hostname, osVersion } = readSystemInfo();
      assert.deepEqual(readSystemInfo(dir), { hostname, osVersion });
      Deno.mkdirSync(join(dir, "etc"));
      Deno.writeTextFileSync(join(dir, "etc/machine-id"), `${ID}\n`);
      Deno.writeTextFileSync(join(dir, "etc/os-release"), 'PRETTY_NAME="Scratch 1"\n');
      assert.equal(readSystemInfo(dir).machineId, ID);
      assert.equal(readSystemInfo(dir).osVersion, "Scratch 1");
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  },
});

Deno.test("a machine id is 32 lower-case hexadecimal digits, as systemd writes it", () => {
  assert.equal(parseMachineId(`${ID}\n`), ID);
  const none = [
    undefined,
    "",
    "\n",
    "uninitialized\n",
    ID.slice(1),
    `${ID}0`,
    ID.toUpperCase(),
    "0".repeat(32),
  ];
  for (const text of none) assert.equal(parseMachineId(text), undefined, text);
});

Deno.test("a system's name is read with or without quotes", () => {
  assert.equal(
    prettyName('NAME="x"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'),
    "Debian GNU/Linux 12 (bookworm)",
  );
  assert.equal(prettyName("PRETTY_NAME=Arch\n"), "Arch");
  assert.equal(prettyName("PRETTY_NAME='A \"B\"'"), 'A "B"');
  assert.equal(prettyName('PRETTY_NAME="A \\"B\\" \\$5"'), 'A "B" $5');
  for (const text of [undefined, "", "NAME=x", "PRETTY_NAME=", 'PRETTY_NAME=""']) {
    assert.equal(prettyName(text), undefined, text);
  }
});

Deno.test("a name is one line of at most 255 characters, whatever the file holds", () => {
  fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 600 }), (text) => {
    const name = prettyName(`PRETTY_NAME=${text}`);
    if (name === undefined) return;
    assert.ok(name.length > 0 && name.length <= 255 && name.isWellFormed());
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(name, /[\u0000-\u001f]/);
  }));
});
