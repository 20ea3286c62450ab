import assert from "node:assert/strict";
import fc from "fast-check";
import { Problem } from "../errors.ts";
import {
  memberOf,
  OtherValue,
  type PropertyList,
  readPropertyList,
  writePropertyList,
} from "./property_list.ts";

/** What XML can hold. */
const text = fc.string({ unit: "grapheme" }).filter((text) =>
  !/[\p{Cc}\p{Cs}\ufffe\uffff]/u.test(text)
);

const list = fc.letrec<{ list: PropertyList }>((tie) => ({
  list: fc.oneof(
    { maxDepth: 4 },
    text,
    fc.maxSafeInteger(),
    fc.boolean(),
    fc.array(tie("list"), { maxLength: 4 }),
    fc.dictionary(text.filter((key) => key !== "__proto__"), tie("list"), { maxKeys: 4 }),
  ),
})).list;

Deno.test("a property list that was written reads back as it was", () => {
  fc.assert(fc.property(list, (list) => {
    const plain: unknown = JSON.parse(JSON.stringify(list));
    assert.deepEqual(JSON.parse(JSON.stringify(readPropertyList(writePropertyList(list)))), plain);
  }));
});

Deno.test("what macOS's own programs print is read", () => {
  const xml = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
\t<!-- a comment -->
\t<key>At</key>
\t<date>2026-11-25T10:00:00Z</date>
\t<key>Bytes</key>
\t<data>
\tAAEC
\t</data>
\t<key>List</key>
\t<array>
\t\t<string>{"pattern":"https://a&amp;b"} &#233;&#x1F600;</string>
\t\t<string></string>
\t\t<string/>
\t\t<real>0.5</real>
\t\t<integer>-3</integer>
\t\t<true/>
\t</array>
\t<key>None</key>
\t<dict/>
</dict>
</plist>
`;
  const read = readPropertyList(xml);
  assert.deepEqual(memberOf(read, "List"), [
    '{"pattern":"https://a&b"} é😀',
    "",
    "",
    0.5,
    -3,
    true,
  ]);
  assert.deepEqual(memberOf(read, "Bytes"), new OtherValue("data", "AAEC"));
  assert.deepEqual(memberOf(read, "At"), new OtherValue("date", "2026-11-25T10:00:00Z"));
  assert.deepEqual(memberOf(read, "None"), {});
  assert.equal(memberOf(read, "toString"), undefined);
});

Deno.test("what is no property list is refused, whatever it is", () => {
  const whole = writePropertyList({ a: ["b", 1, true, { c: "d" }] });
  for (let end = 0; end < whole.trimEnd().length; end++) {
    assert.throws(() => readPropertyList(whole.slice(0, end)), Problem, whole.slice(0, end));
  }
  const deep = `<plist>${"<array>".repeat(5000)}`;
  for (const text of ["", "bplist00", "<plist><key>a</key></plist>", "<plist><b/></plist>", deep]) {
    assert.throws(() => readPropertyList(text), Problem);
  }
  fc.assert(fc.property(fc.string(), (text) => {
    try {
      readPropertyList(text);
    } catch (error) {
      assert.ok(error instanceof Problem);
    }
  }));
});
