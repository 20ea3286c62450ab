import assert from "node:assert/strict";
import fc from "fast-check";
import { parseChromiumJson } from "./chromium_json.ts";

// Each line was also given to Chromium 156 as a policy file; chrome://policy agreed.
Deno.test("what Chromium accepts beyond JSON is read as Chromium reads it", () => {
  const accepted: [string, unknown][] = [
    ['// c\n{"a": 1}', { a: 1 }],
    ['{"a": 1 /* x /* y */ , "b": {"c": [1,],},}//x', { a: 1, b: { c: [1] } }],
    ['{"a": "one\ntwo\rthree"}', { a: "one\ntwo\rthree" }],
    ['{"a": "\\x41b"}', { a: "Ab" }],
    ['{"a": "// no comment, /* none */ ,]"}', { a: "// no comment, /* none */ ,]" }],
    ['{"a": "\\\\x41 \\"//\\""}', { a: '\\x41 "//"' }],
    ['{// c\r"a": 1\n}', {}],
    ['{"a": 1, "a": 2}', { a: 2 }],
  ];
  for (const [text, value] of accepted) assert.deepEqual(parseChromiumJson(text), value, text);
});

Deno.test("what Chromium refuses is refused", () => {
  const refused = [
    '{"a": "b\tc"}',
    '{"a": "b\u0001c"}',
    '{"a": "\\vb"}',
    '{\v"a": 1}',
    '\f{"a": 1}',
    '{"a": 01}',
    '{"a": 1,,}',
    '{"a": 1}\n#x',
    '{"a": 1}\0',
    '{"a": 1',
    '{"a',
    "{/* ",
    "/",
    ",",
    "",
  ];
  for (const text of refused) assert.throws(() => parseChromiumJson(text), SyntaxError, text);
});

Deno.test("comments and commas strewn into any JSON change nothing", () => {
  const noise = fc.constantFrom("", " ", "\n", "/**/", "/* a \" ' , ] */", '// "{,}\n');
  fc.assert(
    fc.property(fc.jsonValue(), fc.infiniteStream(noise), (value, stream) => {
      const next = () => String(stream.next().value);
      const write = (part: unknown): string => {
        if (Array.isArray(part)) return list("[", part.map(write), "]");
        if (part !== null && typeof part === "object") {
          return list(
            "{",
            Object.entries(part).map(([k, v]) => JSON.stringify(k) + next() + ":" + write(v)),
            "}",
          );
        }
        return next() + JSON.stringify(part) + next();
      };
      const list = (open: string, items: string[], close: string) =>
        open + items.join("," + next()) + (items.length > 0 && next() ? "," : "") + next() + close;
      assert.deepEqual(parseChromiumJson(write(value)), JSON.parse(JSON.stringify(value)));
    }),
    { numRuns: 300 },
  );
});

Deno.test("any text is answered at once, with a value or a SyntaxError", () => {
  const text = fc.string({
    unit: fc.constantFrom('"', "\\", "/", "*", ",", "]", "}", "a", "\n"),
    maxLength: 200,
  });
  fc.assert(fc.property(text, (input) => {
    try {
      parseChromiumJson(input);
    } catch (error) {
      assert.ok(error instanceof SyntaxError);
    }
  }));
  for (const part of ["/*", '"\\"', '\\"', ",", "//", ", "]) {
    assert.throws(() => parseChromiumJson('"' + part.repeat(300_000)), SyntaxError);
    assert.throws(() => parseChromiumJson(part.repeat(300_000)), SyntaxError);
  }
});
