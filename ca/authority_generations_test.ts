import "reflect-metadata";
import assert from "node:assert/strict";
import { join } from "node:path";
import { ask, inFolder } from "../tests/ask.ts";
import { testWith } from "../tests/skip.ts";
import {
  type Authority,
  AuthorityError,
  generationOf,
  openAuthority,
  renewAuthority,
} from "./authority.ts";
import { issueLeaf } from "./issue.ts";
import { signCrl } from "./revoke.ts";
import { newAuthorityKey, publicKeyDer } from "./sign.ts";

const NOW = new Date();
const BRAND = "JumpCloud";

const open = (folder: string) => openAuthority(folder, { brand: BRAND, now: NOW });

async function leafOf(authority: Authority): Promise<string> {
  const { keys } = await newAuthorityKey();
  const leaf = await issueLeaf(authority, {
    spki: await publicKeyDer(keys.publicKey),
    deviceId: "11111111-1111-4111-8111-111111111111",
    userId: "22222222-2222-4222-8222-222222222222",
    nameSuffix: "00c0ffee",
    crlUrl: "https://agents.test/v1/crl",
    now: NOW,
    ttlSeconds: 86_400,
  });
  return leaf.pem;
}

/** Whether openssl, trusting `root` alone, takes `certificate` with these between. */
async function verifies(
  folder: string,
  certificate: string,
  { root, between, crl }: { root: string; between: string; crl?: string },
): Promise<string> {
  await Deno.mkdir(folder, { recursive: true });
  const files = { leaf: certificate, root, between, crl: crl ?? "" };
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(join(folder, `${name}.pem`), text);
  }
  const path = (name: string) => join(folder, `${name}.pem`);
  const check = crl === undefined ? [] : ["-crl_check", "-CRLfile", path("crl")];
  const chain = ["-x509_strict", "-CAfile", path("root"), "-untrusted", path("between")];
  return ask("openssl", ["verify", ...chain, ...check, path("leaf")]).text;
}

testWith(
  ["openssl"],
  "a new intermediate issues under the same root, which trusts both",
  () =>
    inFolder(async (folder) => {
      const first = await open(join(folder, "ca"));
      const elderLeaf = await leafOf(first);
      const second = await renewAuthority(first, "intermediate", NOW);
      assert.equal(second.number, 2);
      assert.equal(second.root.pem, first.root.pem);
      assert.equal(second.crossSigned, undefined);
      assert.notEqual(second.intermediate.keyIdentifier, first.intermediate.keyIdentifier);
      const trust = { root: first.root.pem, between: second.intermediate.pem };
      assert.match(await verifies(folder, await leafOf(second), trust), /OK/);
      assert.match(await verifies(folder, elderLeaf, trust), /unable to get local issuer/);
      const chain = { root: first.root.pem, between: first.intermediate.pem };
      assert.match(await verifies(folder, elderLeaf, chain), /OK/);
      const { elders } = second;
      assert.deepEqual(elders.map(({ number }) => number), [1]);
      assert.equal(generationOf(second, first.intermediate.keyIdentifier), elders[0]);
      assert.equal(generationOf(second, "00"), undefined);
    }),
);

testWith(
  ["openssl"],
  "whoever trusts any root before trusts a new one by its cross-signature",
  () =>
    inFolder(async (folder) => {
      const first = await open(join(folder, "ca"));
      const second = await renewAuthority(first, "root", NOW);
      // An intermediate in between: the second root's key is in an earlier folder then.
      const third = await renewAuthority(second, "intermediate", NOW);
      const fourth = await renewAuthority(third, "root", NOW);
      assert.equal(third.crossSigned, second.crossSigned);
      // By the first and the second; openssl does not look for another one when one leads nowhere.
      const block = /-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g;
      const crossSigned = fourth.crossSigned?.match(block) ?? [];
      assert.equal(crossSigned.length, 2);
      const leaf = await leafOf(fourth);
      for (const { root } of [first, second, third]) {
        const alone = { root: root.pem, between: fourth.intermediate.pem };
        assert.match(await verifies(folder, leaf, alone), /error/);
        const results: string[] = await Promise.all(crossSigned.map((pem, at) =>
          verifies(join(folder, String(at)), leaf, {
            root: root.pem,
            between: fourth.intermediate.pem + pem,
          })
        ));
        assert.equal(
          results.filter((result) =>
            /OK/.test(result)
          ).length,
          1,
          results.join(),
        );
      }
      const own = { root: fourth.root.pem, between: fourth.intermediate.pem };
      assert.match(await verifies(folder, leaf, own), /OK/);
    }),
);

testWith(
  ["openssl"],
  "a generation's list counts for its own leaves",
  () =>
    inFolder(async (folder) => {
      const first = await open(join(folder, "ca"));
      const leaf = await leafOf(first);
      const second = await renewAuthority(first, "root", NOW);
      const list = async (by: Authority) => {
        const nextUpdate = new Date(NOW.getTime() + 86_400_000);
        const der = await signCrl(by, { entries: [], number: 1, thisUpdate: NOW, nextUpdate });
        return `-----BEGIN X509 CRL-----\n${der.toBase64()}\n-----END X509 CRL-----\n`;
      };
      const chain = { root: first.root.pem, between: first.intermediate.pem };
      assert.match(await verifies(folder, leaf, { ...chain, crl: await list(first) }), /OK/);
      assert.match(await verifies(folder, leaf, { ...chain, crl: await list(second) }), /error/);
    }),
);

Deno.test("generations survive a restart, keys 0600", () =>
  inFolder(async (folder) => {
    const renewed = await renewAuthority(await open(folder), "root", NOW);
    const opened = await open(folder);
    assert.deepEqual(
      [opened.number, opened.root.pem, opened.crossSigned, opened.elders.length],
      [2, renewed.root.pem, renewed.crossSigned, 1],
    );
    for (const name of ["root.key", "intermediate.key"]) {
      const { mode } = await Deno.stat(join(folder, "2", name));
      assert.equal((mode ?? 0) & 0o777, 0o600);
    }
  }));

Deno.test("two who renew at once get the same generation", () =>
  inFolder(async (folder) => {
    const first = await open(folder);
    const [one, other] = await Promise.all([
      renewAuthority(first, "root", NOW),
      renewAuthority(first, "intermediate", NOW),
    ]);
    assert.deepEqual([one.number, other.number], [2, 2]);
    assert.equal(one.intermediate.pem, other.intermediate.pem);
  }));

Deno.test("without the root's key no intermediate is made, and the error says what to do", () =>
  inFolder(async (folder) => {
    const first = await open(folder);
    await Deno.remove(join(folder, "1", "root.key"));
    await assert.rejects(
      renewAuthority(first, "intermediate", NOW),
      (error) => error instanceof AuthorityError && /restore/.test(error.message),
    );
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["1"]);
  }));

Deno.test("an intermediate ends with its root at the latest", () =>
  inFolder(async (folder) => {
    const first = await open(folder);
    const late = new Date(NOW.getTime() + 15 * 31_557_600_000);
    const { intermediate } = await renewAuthority(first, "intermediate", late);
    const end = NOW.getTime() + 20 * 31_557_600_000;
    assert.ok(Math.abs(intermediate.notAfter.getTime() - end) < 1000);
  }));
