/**
 * A leaf that is to be renewed, and a server that answers badly: the leaf stays and counts, one
 * more key waits, an operator reads why, and the next good answer ends it.
 */
import assert from "node:assert/strict";
import { z } from "zod";
import { type DistortedServer, startElsewhere, withDistortedServer } from "./distorted_server.ts";
import { badAnswers, type HostileAnswer, NO_JSON } from "./hostile_answers.ts";
import { hostileBundles, withLeaf } from "./hostile_bundles.ts";
import { HostileDevice, leavesIn } from "./hostile_device.ts";
import { NSS_WITNESSES } from "./nss_witness.ts";
import { runProgram } from "./product.ts";
import { testWith } from "./skip.ts";

/** Of what a first request is tried with as well, that which a renewal could take another way. */
const TRIED = new Set([
  "a redirect (307) to another host",
  "a bare 410",
  "a bare 500",
  "the problem 404 not-found",
  "an answer that is cut before its announced end",
  "HTML and 200",
  "half of the right answer, whole to HTTP",
  "a leaf for another key",
  "a leaf of another authority",
  "a leaf that has expired",
  "a leaf of the future",
  "another authority's whole chain",
  "a bundle whose leaf is rubbish",
  "a bundle that is to be renewed after its end",
]);

const KEY_REFUSED = "422 csr-refused, again";

const Checks = z.object({ checks: z.array(z.object({ id: z.string(), ok: z.boolean() })) });
const Answer = z.object({ leaf: z.string() });

testWith(
  NSS_WITNESSES,
  "a renewal that is answered badly leaves the leaf in use and one key waiting, and is healed by " +
    "the next good answer",
  async (t) => {
    await withDistortedServer(async (server, folder) => {
      await using elsewhere = await startElsewhere(server.tls);
      const device = await HostileDevice.enroll(server, `${folder}/device`);
      const first = await recorded(server, () => device.goodRound());
      const had = await device.holdings();
      const serial = had.row?.details.serial ?? "";
      // Every window is now, and a second long at least.
      await server.administrator.admin("POST", "/certificates/renew", { spreadSeconds: 0 });
      await new Promise((resolve) => setTimeout(resolve, 1001));
      const { authority } = server.server.context;
      const hostile = [
        // First, for afterwards the server has issued a leaf for the key that it refuses.
        ...["422 csr-refused", KEY_REFUSED].map(refusesKey),
        ...badAnswers(elsewhere.url).answers,
        ...NO_JSON,
        ...await hostileBundles(authority, folder),
      ].filter(({ what }) => TRIED.has(what) || what.startsWith("422"));
      assert.equal(hostile.length, TRIED.size + 2);
      hostile.push(...answersOfRenewals(server, serial, first));

      let waiting: string[] = [];
      for (const { what, answer, words } of hostile) {
        await t.step(`${what}: the leaf stays, and the operator is told`, async () => {
          const bad = server.distort("certificates", answer);
          const { code, err } = await device.round();
          bad[Symbol.dispose]();
          const { row, database, policies } = await device.holdings();
          assert.equal(row?.state, "renewing", err);
          assert.match(row?.error?.message ?? "", words);
          assert.match(await device.told(), /renewing/);
          assert.equal(device.events()[0]?.type, "user.renewing");
          assert.match(device.events()[0]?.detail ?? "", words);
          // A leaf that counts needs nobody's attention yet.
          assert.equal(code, 0, err);
          assert.equal(row?.details.serial, serial);
          assert.deepEqual(row?.details.held, [serial]);
          assert.deepEqual(database?.certificates, had.database?.certificates);
          assert.deepEqual(database?.trust, had.database?.trust);
          assert.deepEqual(policies, had.policies);
          const keys = newKeys(had.database?.keys, database?.keys);
          if (what === KEY_REFUSED) {
            assert.deepEqual(keys, [], "the next request is to be with another key");
            waiting = [];
            return;
          }
          assert.equal(keys.length, 1, "the key of the request waits for its answer");
          if (waiting.length > 0) assert.deepEqual(keys, waiting, "the same key, not another");
          waiting = keys;
        });
      }

      await t.step("all the while the leaf is presented and counts as managed", async () => {
        const { out } = await runProgram(device.program, ["doctor", "--json"]);
        const { checks } = Checks.parse(JSON.parse(out));
        const challenges = checks.filter(({ id }) => id.startsWith("challenge:"));
        assert.ok(challenges.length > 0 && challenges.every(({ ok }) => ok), out);
      });

      await t.step("the next good answer renews it, with the key that waited", async () => {
        const { code, err } = await device.round();
        assert.equal(code, 0, err);
        const after = await device.holdings();
        assert.equal(after.row?.state, "installed");
        assert.equal(after.row?.error, undefined);
        assert.notEqual(after.row?.details.serial, serial);
        assert.equal(after.row?.details.held?.length, 2);
        assert.equal(leavesIn(after).length, 2, "the old one stays for the overlap");
        assert.deepEqual(newKeys(had.database?.keys, after.database?.keys), waiting);
        assert.equal(elsewhere.visits(), 0, "somebody followed a redirect");
      });
    });
  },
);

function problem(status: number, type: string, headers: Record<string, string> = {}) {
  return () =>
    new Response(JSON.stringify({ type: `urn:device-trust:${type}`, title: "No", status }), {
      status,
      headers: { "content-type": "application/problem+json", ...headers },
    });
}

/** A key that was just made may have met a passing fault; one that is refused again goes. */
function refusesKey(what: string): HostileAnswer {
  const words = /the agent server answered 422 csr-refused\./;
  return { what, answer: problem(422, "csr-refused"), words };
}

/** What only a renewal can be answered with. */
function answersOfRenewals(
  { server }: DistortedServer,
  serial: string,
  first: string,
): HostileAnswer[] {
  return [
    {
      what: "403 distribution-off",
      answer: problem(403, "distribution-off"),
      words: /the agent server answered 403 distribution-off\./,
    },
    {
      what: "403 leaf-not-current",
      answer: problem(403, "leaf-not-current"),
      words: /the agent server answered 403 leaf-not-current\./,
    },
    {
      what: "429 with Retry-After",
      answer: problem(429, "too-many-requests", { "retry-after": "3600" }),
      words: /the agent server answered 429 too-many-requests\./,
    },
    {
      what: "the answer to the first request, again",
      answer: () => new Response(first, { status: 201, headers: JSON_TYPE }),
      words: /its leaf is for another key/,
    },
    {
      what: "a new leaf that has the old one's serial",
      answer: withLeaf(server.context.authority, { serial }),
      words: /has the serial of the leaf/,
    },
    {
      what: "nothing for as long as it is waited for",
      answer: (_, request) =>
        new Promise((resolve) => {
          request.signal.addEventListener("abort", () => resolve(new Response()));
        }),
      words: /no answer in time/,
    },
  ];
}

const JSON_TYPE = { "content-type": "application/json" };

/** The certificate answer that is given meanwhile. */
async function recorded(server: DistortedServer, act: () => Promise<unknown>): Promise<string> {
  let text = "";
  using _recorder = server.distort("certificates", async (usual) => {
    const answer = await usual();
    text = await answer.clone().text();
    return answer;
  });
  await act();
  Answer.parse(JSON.parse(text));
  return text;
}

/** Ids of keys (lines of `certutil -K`) that were not there before; those that were still are. */
function newKeys(before: readonly string[] = [], after: readonly string[] = []): string[] {
  const ids = (lines: readonly string[]) =>
    lines.flatMap((line) => /\b[0-9a-f]{40}\b/.exec(line)?.[0] ?? []);
  const old = new Set(ids(before));
  assert.ok([...old].every((id) => ids(after).includes(id)), "a key is gone");
  return ids(after).filter((id) => !old.has(id));
}
