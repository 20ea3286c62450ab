import assert from "node:assert/strict";
import type { Account } from "../platform/accounts.ts";
import { Problem } from "../platform/errors.ts";
import { findAccounts } from "./device_accounts.ts";
import type { UserRow } from "./state.ts";

const row = (userId: string, username = userId): UserRow => ({
  userId,
  username,
  state: "absent",
  details: {},
  attempts: 0,
  unreported: false,
  removed: [],
});

const uids: Record<string, number> = { alice: 1001, ALICE2: 1001, bob: 1002 };

function lookUp(name: string): Promise<Account> {
  const uid = uids[name];
  if (uid === undefined) {
    return Promise.reject(new Problem("no-local-account", `There is no account '${name}'.`));
  }
  return Promise.resolve({ name, uid: String(uid), home: `/home/${name}`, runAs: "self" });
}

async function findings(rows: UserRow[], wanted: string[]) {
  const found = await findAccounts(rows, (userId) => wanted.includes(userId), lookUp);
  return Object.fromEntries(found.map((finding) => [finding.row.userId, finding.is]));
}

Deno.test("each user is served by the account of its own name", async () => {
  assert.deepEqual(await findings([row("alice"), row("bob")], ["alice", "bob"]), {
    alice: "served",
    bob: "served",
  });
});

Deno.test("a wanted user without an account is reported, and delays nobody", async () => {
  assert.deepEqual(await findings([row("carol"), row("bob")], ["carol", "bob"]), {
    carol: "unserved",
    bob: "served",
  });
});

Deno.test("a user to be removed whose account is gone holds nothing any more", async () => {
  assert.deepEqual(await findings([row("carol")], []), { carol: "gone" });
});

Deno.test("two wanted users on one account: the second is told so", async () => {
  const rows = [row("alice"), row("second", "ALICE2")];
  assert.deepEqual(await findings(rows, ["alice", "second"]), {
    alice: "served",
    second: "unserved",
  });
});

Deno.test("while nobody is wanted, a reused account serves who still has something there", async () => {
  const held: UserRow = { ...row("old", "alice"), state: "installed", checkedAt: 1 };
  assert.deepEqual(await findings([row("new", "ALICE2"), held], []), {
    old: "served",
    new: "gone",
  });
});

Deno.test("a reused account serves its new user, whose user-agent removes the old one's", async () => {
  const rows = [row("old", "alice"), row("new", "ALICE2")];
  assert.deepEqual(await findings(rows, ["new"]), { new: "served", old: "gone" });
});

Deno.test("an account that cannot be looked up now is nobody's removal", async () => {
  const found = await findAccounts(
    [row("alice")],
    () => false,
    () => Promise.reject(new Problem("internal", "The name service does not answer.")),
  );
  assert.equal(found[0]?.is, "unserved");
});

Deno.test("of very many users a few are looked up at once", async () => {
  const rows = Array.from({ length: 100 }, (_, at) => row(`user${at}`));
  let now = 0;
  let most = 0;
  const found = await findAccounts(rows, () => true, async (name) => {
    most = Math.max(most, ++now);
    await Promise.resolve();
    now--;
    const uid = 2000 + Number(name.slice(4));
    return { name, uid: String(uid), home: `/home/${name}`, runAs: "self" };
  });
  assert.equal(found.filter(({ is }) => is === "served").length, 100);
  assert.ok(most > 1 && most <= 32, `${most} at once`);
});
