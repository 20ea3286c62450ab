/** An agent server that is gone, another's, slow or deaf, or that enrols badly. */
import assert from "node:assert/strict";
import { openAuthority } from "../ca/authority.ts";
import { openServerTls } from "../ca/server_tls.ts";
import { certificateNames } from "../mock_server/listen_address.ts";
import { homeOf, makeDeviceRoot } from "./device_root.ts";
import { type DistortedServer, startElsewhere, withDistortedServer } from "./distorted_server.ts";
import { badAnswers, edited, type HostileAnswer, NO_JSON } from "./hostile_answers.ts";
import { HostileDevice } from "./hostile_device.ts";
import { NSS_WITNESSES, treeState } from "./nss_witness.ts";
import { driveDevice, programFromSource, runProgram } from "./product.ts";
import { testWith } from "./skip.ts";

testWith(
  NSS_WITNESSES,
  "a server that is gone, or whose place another took, removes and installs nothing",
  async (t) => {
    await withDistortedServer(async (server, folder) => {
      const installed = await HostileDevice.enroll(server, `${folder}/installed`);
      const fresh = await HostileDevice.enroll(server, `${folder}/fresh`);
      const had = await installed.goodRound();
      const hadNothing = await fresh.holdings();
      const changesNothing = async () => {
        for (const { code, err } of await Promise.all([installed.round(), fresh.round()])) {
          assert.equal(code, 1, err);
          assert.match(err, /Cannot reach the agent server at https:\/\/localhost:\d+: ./);
        }
        assert.match(await installed.told(), /problem +Cannot reach the agent server at https:/);
        assert.deepEqual(await installed.holdings(), had);
        assert.deepEqual(await fresh.holdings(), hadNothing);
      };
      await server.vanish();
      await t.step("nobody listens", changesNothing);
      await t.step("somebody with another authority says that the device was deleted", async () => {
        let asked = 0;
        await using _impostor = await server.impersonate(
          await openServerTls(`${folder}/impostor`, {
            ...certificateNames(["localhost"]),
            now: new Date(),
          }),
          () => {
            asked++;
            return deviceDeleted();
          },
        );
        await changesNothing();
        assert.equal(asked, 0, "a signed request was sent to a stranger");
      });
      await t.step("it comes back, and both have a leaf", async () => {
        await server.comeBack();
        await installed.goodRound();
        await fresh.goodRound();
      });
    });
  },
);

function deviceDeleted(): Response {
  return new Response(
    JSON.stringify({ type: "urn:device-trust:device-deleted", title: "Gone", status: 410 }),
    { status: 410, headers: { "content-type": "application/problem+json" } },
  );
}

testWith(
  NSS_WITNESSES,
  "an answer that does not come to an end is given up within 15 s, and heals like any other",
  async () => {
    await withDistortedServer(async (server, folder) => {
      const installed = await HostileDevice.enroll(server, `${folder}/installed`);
      const fresh = await HostileDevice.enroll(server, `${folder}/fresh`);
      const had = await installed.goodRound();
      const serial = had.row?.details.serial;
      await server.administrator.admin("POST", `/certificates/${serial}/revoke`, {});
      const silent = await HostileDevice.enroll(server, `${folder}/silent`);
      const hadNothing = await silent.holdings();
      {
        // One begins to answer and stops, the other says nothing at all.
        using _state = server.distort("desired-state", async (usual, request) => {
          return request.url.includes(silent.deviceId) ? await never(request) : await usual();
        });
        using _certificates = server.distort("certificates", async (usual) => {
          const { headers, body } = await usual();
          return new Response(body?.pipeThrough(new TransformStream({ flush: () => forever })), {
            status: 201,
            headers,
          });
        });
        const devices = [installed, fresh, silent];
        const rounds = await Promise.all(devices.map((device) => device.round()));
        assert.deepEqual(rounds.map(({ code }) => code), [4, 4, 1]);
        for (const { err } of rounds) {
          assert.match(err, /Cannot reach the agent server at https:.*: no answer in time\./);
        }
      }
      const has = await installed.holdings();
      assert.deepEqual(has.database?.certificates, had.database?.certificates);
      assert.deepEqual((await fresh.holdings()).database?.certificates, []);
      assert.deepEqual(await silent.holdings(), hadNothing);
      for (const device of [installed, fresh, silent]) await device.goodRound();
    });
  },
);

/** An answer that comes when the client has gone. */
async function never(request: Request): Promise<Response> {
  await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
  return new Response();
}

const forever = new Promise<never>(() => {});

testWith(
  NSS_WITNESSES,
  "a server that takes no report changes nothing, and hears later of all that was done",
  async (t) => {
    await withDistortedServer(async (server, folder) => {
      await using elsewhere = await startElsewhere(server.tls);
      const device = await HostileDevice.enroll(server, `${folder}/device`);
      const { answers } = badAnswers(elsewhere.url);
      // Its good answer has no body that could be cut.
      const whole = answers.filter(isTelling).filter(({ what }) => !what.includes("cut"));
      const bad = [...whole, ...NO_JSON.slice(0, 1)];
      for (const { what, answer, words } of bad) {
        await t.step(what, async () => {
          using _bad = server.distort("reports", answer);
          const { code, err } = await device.round();
          assert.equal(code, 0, err);
          // A report's answer has no body that anybody would read.
          assert.match(err, what.startsWith("HTML") ? /answered 200/ : words);
          assert.match(err, /"report\.failed"/);
          const { row, database } = await device.holdings();
          assert.deepEqual([row?.state, row?.unreported], ["installed", true]);
          assert.equal(database?.keys.length, 1);
        });
      }
      await t.step("OFF meanwhile: everything goes, and the receipt waits", async () => {
        await server.administrator.distribute(false);
        using _bad = server.distort("reports", () => new Response(null, { status: 503 }));
        await device.round();
        const { row, database } = await device.holdings();
        assert.deepEqual([row?.state, row?.unreported], ["removed", true]);
        assert.deepEqual(database?.certificates, []);
        assert.deepEqual(await receipt(server), undefined);
      });
      await t.step("the next report tells it", async () => {
        await device.round();
        assert.equal(device.row()?.unreported, false);
        assert.match(JSON.stringify(await receipt(server)), /"leaf".*"key"|"key".*"leaf"/);
      });
      assert.equal(elsewhere.visits(), 0);
    });
  },
);

/** What the server keeps of the device's removal: kinds of things, or undefined before it heard. */
async function receipt(server: DistortedServer): Promise<string[] | undefined> {
  const { items } = Object(await server.administrator.admin("GET", "/devices"));
  const [user] = items[0].users;
  return user.state === "removed"
    ? user.removed.map(({ kind }: { kind: string }) => kind)
    : undefined;
}

testWith(
  NSS_WITNESSES,
  "a bad answer to an enrolment enrols nothing; the next good one does",
  async (t) => {
    await withDistortedServer(async (server, folder) => {
      await using elsewhere = await startElsewhere(server.tls);
      const root = `${folder}/device`;
      await makeDeviceRoot(root, ["alice"]);
      const program = programFromSource(root);
      const now = new Date();
      const stranger = await openAuthority(`${folder}/stranger`, { brand: "JumpCloud", now });
      const bad = [
        ...badAnswers(elsewhere.url).answers.filter(isTelling),
        ...NO_JSON.slice(0, 2),
        spoilt("an id that is a path", (answer) => answer.deviceId = "../..", /'deviceId' must be/),
        spoilt(
          "a URL without TLS",
          (answer) => answer.publicUrl = answer.publicUrl?.replace("https", "http"),
          /'publicUrl'/,
        ),
        spoilt(
          "an intermediate that its root did not sign",
          ({ trustAnchors }) => trustAnchors.intermediate = stranger.intermediate.pem,
          /its intermediate .* the root/,
        ),
        spoilt(
          "a root that may be no authority",
          ({ trustAnchors }) =>
            trustAnchors.root = Deno.readTextFileSync(`${folder}/server/tls/server.pem`),
          /its root/,
        ),
      ];
      const where = ["--server", server.agentUrl, "--server-ca", server.serverCa];
      for (const { what, answer, words } of bad) {
        await t.step(what, async () => {
          using _bad = server.distort("enrollment", answer);
          const args = ["enroll", ...where, "--connect-key-file", "-"];
          const { code, err } = await runProgram(program, args, server.connectKey);
          assert.equal(code, 1, err);
          assert.match(err, words);
          assert.equal((await runProgram(program, ["agent", "--once"])).code, 3);
          assert.deepEqual(treeState(homeOf(root, "alice")), []);
        });
      }
      assert.equal(elsewhere.visits(), 0, "the connect key was sent to another host");
      await t.step("the good one", async () => {
        const deviceId = await driveDevice(program).enroll(server);
        const { items } = Object(await server.administrator.admin("GET", "/devices"));
        assert.deepEqual(items.map((item: { deviceId: string }) => item.deviceId), [deviceId]);
      });
    });
  },
);

/** One of each kind, where what comes after the answer is the same for all. */
function isTelling({ what }: HostileAnswer): boolean {
  return /redirect|bare (401|404|410|500)|without end|cut/.test(what);
}

interface LooseEnrollment {
  deviceId?: string;
  publicUrl?: string;
  trustAnchors: { root?: string; intermediate?: string };
}

function spoilt(
  what: string,
  spoil: (answer: LooseEnrollment) => void,
  words: RegExp,
): HostileAnswer {
  return { what, answer: edited(spoil), words };
}
