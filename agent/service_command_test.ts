import assert from "node:assert/strict";
import type { ServiceStatus, SystemService } from "../platform/platform.ts";
import { runService, serviceCommand } from "./service_command.ts";

/** A system's services, and what was done with them. */
class Services {
  readonly done: string[] = [];
  readonly texts: string[] = [];
  readonly output = {
    out: (text: string) => this.texts.push(text) > 0,
    err: (text: string) => this.texts.push(text) > 0,
  };
  parts: ServiceStatus[] = [];
  readonly service: SystemService = {
    install: (binary) => Promise.resolve(void this.done.push(`install ${binary}`)),
    uninstall: () => Promise.resolve(void this.done.push("uninstall")),
    status: () => Promise.resolve(this.parts),
  };
  readonly platform = {
    os: "windows",
    service: this.service,
    makeStateFolder: () => void this.done.push("state folder"),
  } as const;
}

Deno.test("the state folder is there before the service is installed", async () => {
  const { platform, output, done } = new Services();
  const program = { path: "/bin/device-trust", isOne: true };
  assert.equal(await runService(platform, "install", output, program), 0);
  assert.deepEqual(done, ["state folder", "install /bin/device-trust"]);
});

Deno.test("a program from source is no service, and nothing is done", async () => {
  const { platform, output, done } = new Services();
  const program = { path: "/bin/deno", isOne: false };
  await assert.rejects(runService(platform, "install", output, program), /runs from source/);
  assert.deepEqual(done, []);
});

Deno.test("each part's state is a line, and one that is missing needs attention", async () => {
  const services = new Services();
  const { platform, output, texts } = services;
  services.parts = [{ name: "a", installed: true, running: true }, { name: "b", installed: true }];
  assert.equal(await runService(platform, "status", output), 0);
  services.parts = [
    { name: "a", installed: true, running: false },
    { name: "b", installed: false },
  ];
  assert.equal(await runService(platform, "status", output), 4);
  assert.deepEqual(texts, ["a: running\n", "b: installed\n", "a: stopped\n", "b: not installed\n"]);
});

Deno.test("a system without a service of ours is told plainly, and a root has none at all", async () => {
  const { output, platform } = new Services();
  const { service: _, ...without } = platform;
  await assert.rejects(runService(without, "status", output), /its package does/);
  await assert.rejects(serviceCommand("/tmp/x", "status", output), { name: "UsageError" });
});
