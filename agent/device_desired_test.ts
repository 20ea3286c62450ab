import assert from "node:assert/strict";
import { DeviceDesired } from "./device_desired.ts";
import { openLog } from "./log.ts";
import { createDeviceKey } from "./new_device_key.ts";
import { State } from "./state.ts";

const pem = (name: string) => `-----BEGIN CERTIFICATE-----\n${name}\n-----END CERTIFICATE-----\n`;
const pinned = { root: pem("root"), intermediate: pem("intermediate") };
const alice = "22222222-2222-4222-8222-222222222222";
const renewal = { start: "2026-06-15T00:00:00Z", end: "2026-06-17T00:00:00Z" };

Deno.test("a leaf that another authority issued is not remembered as one of this device", async () => {
  const folder = await Deno.makeTempDir();
  const state = new State(`${folder}/state.db`, () => 0);
  try {
    const device = {
      deviceId: "11111111-1111-4111-8111-111111111111",
      server: "https://agents.test",
      publicUrl: "https://agents.test",
      ...pinned,
      leaving: false,
    };
    const desired = new DeviceDesired({
      state,
      identity: { device, key: await createDeviceKey(`${folder}/device.key`) },
      client: { clock: { offset: 0, known: true } },
      platform: { os: "linux" },
      log: openLog({ write: () => {}, text: false }),
      now: () => 0,
    });
    await desired.take(
      '"1"',
      JSON.stringify({
        brand: "JumpCloud",
        distribution: { enabled: true },
        certificate: { keyAlgorithm: "P-256", overlapSeconds: 604800 },
        selection: { patterns: [] },
        macosApplications: [],
        trustAnchors: pinned,
        users: [{ userId: alice, username: "alice", email: "", leaves: [] }],
      }),
    );
    const leaves = () => desired.current?.users[0]?.leaves.map(({ serial }) => serial);
    desired.rememberIssued(alice, { serial: "aa", renewal, ...pinned, root: pem("stranger") });
    assert.deepEqual(leaves(), []);
    desired.rememberIssued(alice, { serial: "bb", renewal, ...pinned });
    assert.deepEqual(leaves(), ["bb"]);
  } finally {
    state.close();
    await Deno.remove(folder, { recursive: true });
  }
});
