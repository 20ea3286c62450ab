/** Leaving, as its own request and the server's answer to it bring it about at the same time. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { devicePlatform } from "../platform/platform.ts";
import { inPassableFolder, makeDeviceRoot } from "../tests/device_root.ts";
import { driveDevice, programFromSource } from "../tests/product.ts";
import { DistortedServer } from "../tests/distorted_server.ts";
import { openLog } from "./log.ts";
import { pause } from "./pause.ts";
import { selfProgram } from "./self_program.ts";
import { State } from "./state.ts";
import { openWork } from "./work.ts";

Deno.test("whoever of two that leave at once comes second is told that all is gone, too", () =>
  inPassableFolder(async (folder) => {
    const root = `${folder}/device`;
    await makeDeviceRoot(root, []);
    await using server = await DistortedServer.start(`${folder}/server`);
    await driveDevice(programFromSource(root)).enroll(server);
    const platform = await devicePlatform(root);
    const { stateDir } = platform.paths;
    const state = new State(`${stateDir}/state.db`, Date.now);
    const work = await openWork({
      platform,
      state,
      program: selfProgram(root, fileURLToPath(new URL("../main.ts", import.meta.url))),
      deviceKey: `${stateDir}/device.key`,
      log: openLog({ write: () => {}, text: false }),
      now: Date.now,
      random: Math.random,
      pause,
      signal: new AbortController().signal,
    });
    assert.ok(work);
    try {
      const both = await Promise.all([work.leave(), work.leave()]);
      assert.deepEqual(both.map(({ clean, left }) => ({ clean, left })), [
        { clean: true, left: [] },
        { clean: true, left: [] },
      ]);
      assert.equal(state.device(), undefined);
      assert.equal(server.context.store.devices.count(), 0);
    } finally {
      await work.close();
      state.close();
    }
  }));
