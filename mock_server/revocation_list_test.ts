import assert from "node:assert/strict";
import { join } from "node:path";
import { ask, inFolder } from "../tests/ask.ts";
import { testWith } from "../tests/skip.ts";
import {
  changeSettings,
  deleteDevice,
  deleteUser,
  revokeCertificate,
  unbindUser,
} from "./fleet_changes.ts";
import { SCRATCH_START } from "./scratch_context.ts";
import { type ScratchServer, withServer } from "./scratch_device.ts";

const DAY_MS = 86_400_000;

/** What openssl reads of the list that the server gives now, its signature verified. */
interface ReadList {
  number: number;
  /** Reason by serial. */
  reasons: Record<string, string>;
  text: string;
}

async function readList(server: ScratchServer): Promise<ReadList> {
  const response = await server.fetch(new Request(`${server.context.publicUrl}/v1/crl`));
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "application/pkix-crl");
  const der = new Uint8Array(await response.arrayBuffer());
  let text = "";
  await inFolder(async (folder) => {
    const { intermediate, root } = server.context.authority;
    const [file, issuers] = [join(folder, "crl.der"), join(folder, "ca.pem")];
    await Deno.writeFile(file, der);
    await Deno.writeTextFile(issuers, intermediate.pem + root.pem);
    const options = ["-inform", "DER", "-in", file, "-noout", "-text", "-CAfile", issuers];
    const read = ask("openssl", ["crl", ...options]);
    assert.ok(read.ok, read.text);
    assert.match(read.text, /verify OK/);
    text = read.text;
  });
  const entries = text.split(/Serial Number: /).slice(1);
  return {
    number: Number(/X509v3 CRL Number:\s+(\d+)/.exec(text)?.[1]),
    reasons: Object.fromEntries(
      entries.map((entry) => [
        /^[0-9A-F]+/.exec(entry)?.[0].toLowerCase() ?? "",
        /CRL Reason Code:\s+(.*)/.exec(entry)?.[1]?.trim() ?? "none",
      ]),
    ),
    text,
  };
}

testWith(["openssl"], "the list names every revocation at once, with its reason", async () => {
  await withServer(async (server) => {
    const { context } = server;
    assert.deepEqual((await readList(server)).reasons, {});
    const expected: Record<string, string> = {};
    const one = async (name: string) => {
      const { device, userId } = await server.managed(`${name}@example.com`);
      const { answer, signer } = await device.newLeaf(userId);
      return { device, userId, signer, serial: answer.serial ?? "" };
    };
    const lists = async (serial: string, reason: string) => {
      expected[serial] = reason;
      assert.deepEqual((await readList(server)).reasons, expected);
    };
    const untouched = await one("untouched");
    const compromised = await one("compromised");
    revokeCertificate(context, compromised.serial, "keyCompromise");
    await lists(compromised.serial, "Key Compromise");
    const withdrawn = await one("withdrawn");
    revokeCertificate(context, withdrawn.serial, "privilegeWithdrawn");
    await lists(withdrawn.serial, "Privilege Withdrawn");
    const unbound = await one("unbound");
    unbindUser(context, unbound.device.deviceId, unbound.userId);
    await lists(unbound.serial, "Affiliation Changed");
    const deleted = await one("deleted");
    deleteUser(context, deleted.userId);
    await lists(deleted.serial, "Affiliation Changed");
    const lost = await one("lost");
    deleteDevice(context, lost.device.deviceId, "administrator");
    await lists(lost.serial, "Cessation Of Operation");
    const reissued = await one("reissued");
    const again = await reissued.device.newLeaf(reissued.userId);
    await lists(reissued.serial, "Superseded");
    changeSettings(context, { globalCertificateDistribution: false });
    expected[again.answer.serial ?? ""] = "Cessation Of Operation";
    await lists(untouched.serial, "Cessation Of Operation");
  });
});

testWith(["openssl"], "a superseded leaf is on the list when its overlap is over", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const elder = await device.newLeaf(userId);
    const newest = await device.newLeaf(userId, elder.signer);
    await device.report({ userId, state: "installed", serial: newest.answer.serial });
    server.clock.now += 7 * DAY_MS - 1;
    assert.deepEqual((await readList(server)).reasons, {});
    server.clock.now += 1;
    assert.deepEqual((await readList(server)).reasons, {
      [elder.answer.serial ?? ""]: "Superseded",
    });
  });
});

testWith(
  ["openssl"],
  "a list is current whenever it is asked for, and its number grows",
  async () => {
    await withServer(async (server) => {
      const { device, userId } = await server.managed();
      const numbers: number[] = [];
      const dates = async () => {
        const { number, text } = await readList(server);
        numbers.push(number);
        const at = (name: string) => Date.parse(new RegExp(`${name}: (.*)`).exec(text)?.[1] ?? "");
        assert.ok(at("Last Update") <= server.clock.now && server.clock.now < at("Next Update"));
      };
      await dates();
      await dates();
      assert.equal(numbers[0], numbers[1], "nothing happened: the same list");
      server.clock.now += 13 * 3_600_000;
      await dates();
      const { answer } = await device.newLeaf(userId);
      revokeCertificate(server.context, answer.serial ?? "", "superseded");
      await dates();
      server.clock.now = SCRATCH_START + 100 * DAY_MS;
      await dates();
      const [first, , ...later] = numbers;
      assert.deepEqual(later, [...later].sort((a, b) => a - b));
      assert.equal(new Set([first, ...later]).size, 4);
    });
  },
);

Deno.test("whoever has the newest list is told so, without getting it again", async () => {
  await withServer(async (server) => {
    const url = `${server.context.publicUrl}/v1/crl`;
    const get = (etag?: string | null) =>
      server.fetch(new Request(url, etag ? { headers: { "if-none-match": etag } } : {}));
    const first = await get();
    const etag = first.headers.get("etag");
    const list = await first.bytes();
    assert.deepEqual(await (await get()).bytes(), list, "signed once for all");
    const same = await get(`W/"0", ${etag}`);
    assert.deepEqual([same.status, same.headers.get("etag"), await same.text()], [304, etag, ""]);
    const { device, userId } = await server.managed();
    const { answer } = await device.newLeaf(userId);
    revokeCertificate(server.context, answer.serial ?? "", "keyCompromise");
    const revoked = await get(etag);
    assert.equal(revoked.status, 200);
    assert.notEqual(revoked.headers.get("etag"), etag);
    assert.ok((await revoked.bytes()).length > list.length);
    server.clock.now += 12 * 3_600_000;
    assert.equal((await get(revoked.headers.get("etag"))).status, 200, "half of its life is over");
  });
});

testWith(["openssl"], "an entry outlives its leaf by a list, and then goes", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { answer } = await device.newLeaf(userId);
    revokeCertificate(server.context, answer.serial ?? "", "keyCompromise");
    server.clock.now = Date.parse(answer["notAfter"] ?? "") + DAY_MS;
    assert.deepEqual(Object.keys((await readList(server)).reasons), [answer.serial]);
    server.clock.now += DAY_MS;
    assert.deepEqual((await readList(server)).reasons, {});
  });
});

testWith(["openssl"], "the URL of the list is in the leaf", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { answer } = await device.newLeaf(userId);
    const { text } = ask("openssl", ["x509", "-noout", "-text"], answer["leaf"] ?? "");
    assert.ok(text.includes(`URI:${server.context.publicUrl}/v1/crl`), text);
  });
});
