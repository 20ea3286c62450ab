import assert from "node:assert/strict";
import { jsonLine, jsonText, oneLine } from "./text_lines.ts";

const EVIL = ["\n", "\r", "\0", "\x1b", "\x7f", "\x9b", "\u2028", "\u202e", "\ud800"];

Deno.test("what others wrote stays on its line, steers no terminal, and is no longer in JSON", () => {
  for (const evil of EVIL) assert.equal(oneLine(`a${evil}b`), "a b");
  assert.equal(oneLine("Schlüssel 鍵 'C:\\x' 🔑"), "Schlüssel 鍵 'C:\\x' 🔑");
});

Deno.test("JSON has the same value, and steers no terminal either", () => {
  for (const evil of [...EVIL, "\u{e0001}", "\ufeff"]) {
    const value = { [`key${evil}`]: [`a${evil}b`, 1] };
    for (const text of [jsonText(value), jsonLine(value)]) {
      assert.deepEqual(JSON.parse(text), value);
      assert.match(text, /\n$/);
      assert.doesNotMatch(text.replaceAll("\n", ""), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
    }
  }
  assert.equal(jsonLine({ a: "é🔑" }), '{"a":"é🔑"}\n');
  assert.equal(jsonText({ a: 1 }), '{\n  "a": 1\n}\n');
});
