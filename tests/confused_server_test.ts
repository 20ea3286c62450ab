/** A resident agent and a server that no longer does what was agreed. */
import assert from "node:assert/strict";
import { desiredState } from "../mock_server/desired_state.ts";
import { type DistortedServer, withDistortedServer } from "./distorted_server.ts";
import { HostileDevice } from "./hostile_device.ts";
import { NSS_WITNESSES } from "./nss_witness.ts";
import { driveDevice } from "./product.ts";
import { until } from "./until.ts";
import { testWith } from "./skip.ts";

testWith(
  NSS_WITNESSES,
  "a resident agent asks a confused server again after pauses, and takes its next good answer",
  async (t) => {
    await withDistortedServer(async (server, folder) => {
      const device = await HostileDevice.enroll(server, `${folder}/device`);
      const had = await device.goodRound();
      const now = () => desiredState(server.context, device.deviceId);
      const state = (body: string, etag: string) =>
        new Response(body, { headers: { "content-type": "application/json", etag } });
      const refused = () => {
        const spoilt = { distribution: { enabled: false }, selection: { patterns: ["*"] } };
        return state(JSON.stringify({ ...JSON.parse(now().json), ...spoilt }), '"refused"');
      };
      const confusions: [string, () => Response][] = [
        [
          "not modified, at once, whatever was asked for",
          () => new Response(null, { status: 304 }),
        ],
        ["the state that the device has, at once", () => state(now().json, now().etag)],
        ["a sign-in page", () => new Response("<p>", { headers: { "content-type": "text/html" } })],
        ["a state that is refused", refused],
      ];
      for (const [what, answer] of confusions) {
        await t.step(what, async () => {
          await using driven = driveDevice(device.program);
          const atStart = server.asked("desired-state").length;
          driven.startAgent();
          await until(
            "the agent waits for news",
            () => server.asked("desired-state").length >= atStart + 2,
          );
          const before = server.asked("desired-state").length;
          const asked = () => server.asked("desired-state").slice(before);
          {
            using _confused = server.distort("desired-state", answer);
            await tellNews(server);
            await until("it was asked again and again", () => asked().length > PAUSES);
          }
          const took = (asked()[PAUSES] ?? 0) - (asked()[0] ?? 0);
          assert.ok(took >= PAUSES * SHORTEST_PAUSE_MS, `${PAUSES} pauses in ${took} ms`);
          const { database, policies } = await device.holdings();
          assert.deepEqual([database, policies], [had.database, had.policies]);
          assert.equal((await driven.status()).agent.running, true);
          await until("it waits for news again", () => device.lastError() === undefined);
        });
      }
      await t.step("news without end", async () => {
        await using driven = driveDevice(device.program);
        driven.startAgent();
        const before = server.asked("desired-state").length;
        const asked = () => server.asked("desired-state").slice(before);
        {
          using _news = server.distort(
            "desired-state",
            () => state(now().json, `"${crypto.randomUUID()}"`),
          );
          await until("it was told a lot", () => asked().length >= 18);
        }
        const [tenth = 0, last = 0] = [asked()[10], asked()[17]];
        assert.ok(last - tenth >= 6 * SHORTEST_PAUSE_MS, `6 pauses in ${last - tenth} ms`);
      });
      await t.step("its events tell of each trouble once", () => {
        const told = device.events().filter(({ type }) => type === "server.failed");
        for (const words of [/refused.*'\*' must be https/, /'text\/html' instead of JSON/]) {
          assert.equal(told.filter(({ detail }) => words.test(detail)).length, 1, String(words));
        }
      });
      await t.step("OFF, when it speaks clearly again", async () => {
        await using driven = driveDevice(device.program);
        driven.startAgent();
        await server.administrator.distribute(false);
        await driven.untilUsers("everything is gone", (user) => user.state === "removed");
        assert.deepEqual((await device.holdings()).database?.certificates, []);
      });
    });
  },
);

/** Pauses that are looked at: they grow, and each more would take as long as all before. */
const PAUSES = 3;

/** The least that the agent waits after a failure (agent/back_off.ts). */
const SHORTEST_PAUSE_MS = 100;

/** Answers the question that is held; the news is of no consequence. */
async function tellNews({ administrator, context }: DistortedServer): Promise<void> {
  const { overlapSeconds } = context.store.settings.current;
  await administrator.admin("PUT", "/settings", { overlapSeconds: overlapSeconds + 1 });
}
