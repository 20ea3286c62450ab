import assert from "node:assert/strict";
import { systemPaths, underRoot, userPaths } from "./paths.ts";

Deno.test("Linux paths are those of DESIGN section 8", () => {
  assert.deepEqual(systemPaths({ os: "linux" }), {
    binary: "/usr/local/bin/device-trust",
    configFile: "/etc/device-trust/config.json",
    stateDir: "/var/lib/device-trust",
    runDir: "/run/device-trust",
    usersRunDir: "/run/device-trust/users",
    control: "/run/device-trust/control.sock",
    logDir: "/var/log/device-trust",
  });
  assert.equal(
    userPaths({ os: "linux", home: "/home/ada" }).stateDir,
    "/home/ada/.local/state/device-trust",
  );
});

Deno.test("macOS paths are those of DESIGN section 8", () => {
  assert.deepEqual(systemPaths({ os: "macos" }), {
    binary: "/Library/Application Support/Device Trust/bin/device-trust",
    configFile: "/Library/Application Support/Device Trust/config.json",
    stateDir: "/Library/Application Support/Device Trust/state",
    runDir: "/var/run/device-trust",
    usersRunDir: "/var/run/device-trust/users",
    control: "/var/run/device-trust/control.sock",
    logDir: "/Library/Logs/Device Trust",
  });
  assert.equal(
    userPaths({ os: "macos", home: "/Users/ada" }).stateDir,
    "/Users/ada/Library/Application Support/Device Trust",
  );
});

Deno.test("Windows paths follow ProgramData, ProgramFiles and LOCALAPPDATA", () => {
  const usual = systemPaths({ os: "windows" });
  assert.deepEqual(usual, {
    binary: "C:\\Program Files\\Device Trust\\device-trust.exe",
    configFile: "C:\\ProgramData\\Device Trust\\config.json",
    stateDir: "C:\\ProgramData\\Device Trust\\state",
    runDir: "C:\\ProgramData\\Device Trust\\users",
    usersRunDir: "C:\\ProgramData\\Device Trust\\users",
    control: "C:\\ProgramData\\Device Trust\\control",
    logDir: "C:\\ProgramData\\Device Trust\\logs",
  });
  const moved = systemPaths({
    os: "windows",
    env: { ProgramData: "D:\\Data", ProgramFiles: "D:\\Programs" },
  });
  assert.equal(moved.binary, "D:\\Programs\\Device Trust\\device-trust.exe");
  assert.equal(moved.stateDir, "D:\\Data\\Device Trust\\state");
  const user = { os: "windows", home: "C:\\Users\\ada" } as const;
  assert.equal(userPaths(user).stateDir, "C:\\Users\\ada\\AppData\\Local\\Device Trust");
  assert.equal(
    userPaths({ ...user, env: { LOCALAPPDATA: "E:\\Local" } }).stateDir,
    "E:\\Local\\Device Trust",
  );
});

Deno.test("a root stands in front of every system path", () => {
  assert.equal(
    systemPaths({ os: "linux", root: "/tmp/x/" }).stateDir,
    "/tmp/x/var/lib/device-trust",
  );
  assert.equal(underRoot("/etc/passwd", "/tmp/x"), "/tmp/x/etc/passwd");
  assert.equal(underRoot("/etc/passwd", undefined), "/etc/passwd");
  for (const os of ["linux", "macos"] as const) {
    for (const path of Object.values(systemPaths({ os, root: "/tmp/x" }))) {
      assert.ok(path.startsWith("/tmp/x/"), path);
    }
  }
  for (const path of Object.values(systemPaths({ os: "windows", root: "C:\\x" }))) {
    assert.ok(path.startsWith("C:\\x\\"), path);
  }
});
