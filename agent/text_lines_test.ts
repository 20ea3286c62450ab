import assert from "node:assert/strict";
import { oneLine } from "./text_lines.ts";

Deno.test("what others wrote stays on its line, steers no terminal, and is no longer in JSON", () => {
  for (const evil of ["\n", "\r", "\0", "\x1b", "\x7f", "\x9b", "\u2028", "\u202e", "\ud800"]) {
    assert.equal(oneLine(`a${evil}b`), "a b");
  }
  assert.equal(oneLine("Schlüssel 鍵 'C:\\x' 🔑"), "Schlüssel 鍵 'C:\\x' 🔑");
});
