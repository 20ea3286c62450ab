import assert from "node:assert/strict";
import fc from "fast-check";
import {
  findPasswdEntry,
  lowestPersonalUid,
  parsePasswdLine,
  systemAccountReason,
} from "./passwd.ts";

Deno.test("an entry is found by exactly its name, the first of two", () => {
  const passwd = [
    "# comment",
    "+nis::::::",
    "root:x:0:0:root:/root:/bin/bash",
    "ada:x:1001:1002:Ada L.,,,:/home/ada:/bin/bash",
    "ada:x:1009:1009::/home/other:/bin/sh",
    "Ada:x:1003:1003::/home/Ada:",
    "short:x:1004:1004::/home/short",
  ].join("\n");
  assert.deepEqual(findPasswdEntry(passwd, "ada"), {
    name: "ada",
    uid: 1001,
    gid: 1002,
    home: "/home/ada",
  });
  assert.equal(findPasswdEntry(passwd, "Ada")?.uid, 1003);
  for (const name of ["ad", "ada ", "1001", "short", "+nis", "# comment", "", "ADA"]) {
    assert.equal(findPasswdEntry(passwd, name), undefined, name);
  }
});

Deno.test("ids are whole numbers that the kernel knows", () => {
  const uid = (text: string) => parsePasswdLine(`a:x:${text}:5:::`)?.uid;
  assert.equal(uid("0"), 0);
  assert.equal(uid("4294967294"), 4294967294);
  for (const text of ["", "-1", "+1", "1e3", "0x10", " 1", "1.5", "4294967295", "99999999999"]) {
    assert.equal(uid(text), undefined, text);
    assert.equal(parsePasswdLine(`a:x:5:${text}:::`), undefined, text);
  }
});

Deno.test("any account survives the way through a line, and any line is answered", () => {
  const field = fc.string({ unit: "grapheme" }).map((text) => text.replace(/[:\n]/g, ""));
  const id = fc.integer({ min: 0, max: 0xfffffffe });
  const name = field.filter((text) => /^[^#+-]/.test(text));
  fc.assert(fc.property(name, id, id, field, field, field, (name, uid, gid, gecos, home, shell) => {
    const line = `${name}:x:${uid}:${gid}:${gecos}:${home}:${shell}`;
    assert.deepEqual(parsePasswdLine(line), { name, uid, gid, home });
    assert.deepEqual(findPasswdEntry(`x\n${line}\n`, name), { name, uid, gid, home });
  }));
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(":", "0", "9", "a", "/", "\n", "-") }),
      (text) => {
        const entry = findPasswdEntry(text, "a");
        if (entry) assert.ok(entry.uid >= 0 && entry.uid < 0xffffffff);
      },
    ),
  );
});

Deno.test("people's accounts begin at UID_MIN", () => {
  assert.equal(lowestPersonalUid(undefined), 1000);
  assert.equal(lowestPersonalUid("#UID_MIN 5\nSYS_UID_MIN 100\nUID_MINX 7\nUID_MIN x"), 1000);
  assert.equal(lowestPersonalUid("UID_MAX 60000\nUID_MIN\t\t  500\n"), 500);
  assert.equal(lowestPersonalUid(" UID_MIN 2000 # people"), 2000);
});

Deno.test("root, system accounts and nobody are no person's", () => {
  for (const uid of [0, 1, 999, 65534, 65535]) {
    assert.ok(systemAccountReason(uid, 1000), String(uid));
  }
  for (const uid of [1000, 1001, 60000, 65533, 65536, 1_500_000_001]) {
    assert.equal(systemAccountReason(uid, 1000), undefined);
  }
  assert.ok(systemAccountReason(0, 0));
});
