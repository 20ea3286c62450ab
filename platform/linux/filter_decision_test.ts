import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import type { DesiredFilters } from "../filters.ts";
import {
  decideFilter,
  filterFile,
  type FolderFile,
  isFilterFile,
  judgeFilter,
} from "./filter_decision.ts";

const FOLDER = "/etc/opt/chrome/policies/managed";
const OURS = "JumpCloudCertificateAutoselect.json";
const wanted: DesiredFilters = {
  brand: "JumpCloud",
  patterns: ["https://portal.example.com", "https://[*.]challenge.example.com:8443"],
};
const none: DesiredFilters = { brand: "JumpCloud", patterns: [] };
const text = (content: string) => new TextEncoder().encode(content);
const policy = (value: unknown) => text(JSON.stringify(value));
const entry = (pattern: string, filter: unknown) => JSON.stringify({ pattern, filter });
const issuer = { ISSUER: { CN: "device-trust.intermediate" } };
const theirs = entry("https://other.example", {});

function file(name: string, content: FolderFile["content"], rest: Partial<FolderFile> = {}) {
  return { name, content, readable: true, link: false, ...rest };
}

Deno.test("our file is, byte for byte, what DESIGN section 8 shows", () => {
  const line = (pattern: string) =>
    `"{\\"pattern\\":\\"${pattern}\\",\\"filter\\":{\\"ISSUER\\":{\\"CN\\":\\"device-trust.intermediate\\"}}}"`;
  assert.equal(
    new TextDecoder().decode(filterFile(wanted)),
    `{"AutoSelectCertificateForUrls": [${line("https://portal.example.com")}, ${
      line("https://[*.]challenge.example.com:8443")
    }]}\n`,
  );
});

Deno.test("a file is ours only when it holds nothing but filters for our issuer", () => {
  const list = (...entries: unknown[]) => ({ AutoSelectCertificateForUrls: entries });
  const ours = entry("https://a.example", issuer);
  assert.ok(isFilterFile(filterFile(wanted)));
  assert.ok(isFilterFile(policy(list(ours))));
  const foreign = [
    policy(list()),
    policy(list(ours, theirs)),
    policy({ ...list(ours), HomepageLocation: "https://a.example" }),
    policy(list(entry("https://a.example", { ...issuer, SUBJECT: { CN: "x" } }))),
    policy(
      list(entry("https://a.example", { ISSUER: { CN: "device-trust.intermediate", O: "x" } })),
    ),
    policy(list(entry("https://a.example", { ISSUER: { CN: "Device-Trust.Intermediate" } }))),
    policy(list(JSON.stringify({ pattern: "https://a.example", filter: issuer, note: 1 }))),
    policy(list(JSON.stringify({ filter: issuer }))),
    policy(list({ pattern: "https://a.example", filter: issuer })),
    policy(list("{")),
    policy([list(ours)]),
    policy(null),
    text(`// kept by ada\n${JSON.stringify(list(ours))}`),
    text("{"),
    text(""),
    new Uint8Array([0xff, 0xfe]),
  ];
  for (const content of foreign) {
    assert.equal(isFilterFile(content), false, new TextDecoder().decode(content));
  }
});

Deno.test("an empty folder gets the filter, and a right one is left as it is", () => {
  assert.deepEqual(decideFilter(FOLDER, [], wanted), { action: "write", state: "ok", by: OURS });
  const right = file(OURS, filterFile(wanted));
  assert.deepEqual(decideFilter(FOLDER, [right], wanted), {
    action: "leave",
    state: "ok",
    by: OURS,
  });
  assert.equal(judgeFilter(FOLDER, [], wanted).state, "missing");
});

Deno.test("a file that sorts later hides ours: written all the same, and shadowed", () => {
  const later = file("chrome.json", policy({ AutoSelectCertificateForUrls: [theirs] }));
  const decision = decideFilter(FOLDER, [later], wanted);
  assert.equal(decision.action, "write");
  assert.equal(decision.state, "shadowed");
  const line = JSON.stringify(entry("https://portal.example.com", issuer));
  assert.match(decision.hint ?? "", /managed\/chrome\.json sets AutoSelectCertificateForUrls/);
  assert.ok(decision.hint?.includes(line), decision.hint);
});

Deno.test("ours would hide a file that sorts earlier: not written, managed elsewhere", () => {
  const earlier = file("00-proxy", policy({ AutoSelectCertificateForUrls: [theirs] }));
  for (const own of [[], [file(OURS, filterFile(wanted))]]) {
    const decision = decideFilter(FOLDER, [earlier, ...own], wanted);
    assert.equal(decision.action, own.length ? "remove" : "leave");
    assert.equal(decision.state, "managed-elsewhere");
    assert.ok(decision.hint?.includes(JSON.stringify(entry("https://portal.example.com", issuer))));
    assert.equal(judgeFilter(FOLDER, [earlier, ...own], wanted).state, "managed-elsewhere");
  }
});

Deno.test("the line once added to their file, the filter is ok through it", () => {
  const entries = [theirs, ...wanted.patterns.map((pattern) => entry(pattern, issuer))];
  for (const name of ["00-proxy", "zz.json"]) {
    const added = file(name, policy({ AutoSelectCertificateForUrls: entries }));
    const { state, by } = decideFilter(FOLDER, [added], wanted);
    assert.deepEqual({ state, by }, { state: "ok", by: name });
    const partly = file(name, policy({ AutoSelectCertificateForUrls: entries.slice(0, 2) }));
    assert.notEqual(decideFilter(FOLDER, [partly], wanted).state, "ok");
    assert.notEqual(decideFilter(FOLDER, [{ ...added, readable: false }], wanted).state, "ok");
  }
});

Deno.test("what bears our name and is not ours is left alone and reported", () => {
  const foreign: [FolderFile, string][] = [
    [file(OURS, policy({ HomepageLocation: "x" })), "missing"],
    [file(OURS, policy({ AutoSelectCertificateForUrls: [theirs] })), "managed-elsewhere"],
    [file(OURS, "not-a-file"), "missing"],
    [file(OURS, "unknown"), "managed-elsewhere"],
    [
      file(OURS, filterFile({ ...wanted, patterns: ["https://a"] }), { link: true }),
      "managed-elsewhere",
    ],
  ];
  for (const [own, state] of foreign) {
    const decision = decideFilter(FOLDER, [own], wanted);
    assert.equal(decision.action, "leave");
    assert.equal(decision.state, state);
    assert.match(decision.hint ?? "", /not ours/);
    assert.equal(decideFilter(FOLDER, [own], none).action, "leave");
  }
});

Deno.test("names are compared by their bytes, as Chromium does", () => {
  const sets = policy({ AutoSelectCertificateForUrls: [theirs] });
  // By UTF-16 units U+FF5E would come after U+1F600; by bytes it comes before.
  const verdict = judgeFilter(FOLDER, [
    file("\u{ff5e}", sets),
    file(
      "\u{1f600}",
      policy({ AutoSelectCertificateForUrls: wanted.patterns.map((p) => entry(p, issuer)) }),
    ),
  ], wanted);
  assert.deepEqual(verdict, { state: "ok", by: "\u{1f600}" });
  const shorter = OURS.slice(0, -1);
  assert.equal(decideFilter(FOLDER, [file(shorter, sets)], wanted).state, "managed-elsewhere");
  assert.equal(decideFilter(FOLDER, [file(`${OURS}~`, sets)], wanted).state, "shadowed");
});

/** What Chromium makes of a folder: the list of the last file that sets the key. */
function chromium(files: readonly FolderFile[]): { name: string; list: unknown } | undefined {
  const sorted = [...files].sort((a, b) => Buffer.compare(text(a.name), text(b.name)));
  let winner: { name: string; list: unknown } | undefined;
  for (const { name, content } of sorted) {
    if (!(content instanceof Uint8Array)) {
      if (content === "unknown") winner = { name, list: undefined };
      continue;
    }
    try {
      const value = JSON.parse(new TextDecoder().decode(content));
      if (value && typeof value === "object" && "AutoSelectCertificateForUrls" in value) {
        winner = { name, list: value.AutoSelectCertificateForUrls };
      }
    } catch {
      continue; // no policy file
    }
  }
  return winner;
}

const contents = fc.oneof(
  fc.constantFrom<FolderFile["content"]>(
    "not-a-file",
    "unknown",
    text("{"),
    text("null"),
    text(""),
    policy({ HomepageLocation: "x" }),
    policy({ AutoSelectCertificateForUrls: [theirs] }),
    policy({
      AutoSelectCertificateForUrls: [theirs, ...wanted.patterns.map((p) => entry(p, issuer))],
    }),
    policy({ AutoSelectCertificateForUrls: "no list" }),
    filterFile(wanted),
    filterFile({ ...wanted, patterns: ["https://old.example.com"] }),
  ),
  fc.json().map(text),
  fc.uint8Array({ maxLength: 20 }),
);
const folders = fc.uniqueArray(
  fc.record({
    name: fc.oneof(
      fc.constantFrom(OURS, "00.json", "zz.json", "AAA", "JumpCloud", ".hidden", `${OURS}.bak`),
      fc.string({ minLength: 1, maxLength: 8, unit: "grapheme" }),
    ),
    content: contents,
    readable: fc.boolean(),
    link: fc.boolean(),
  }),
  { selector: ({ name }) => name, maxLength: 6 },
);

Deno.test("in every folder: theirs stays and stays in force, OFF leaves none, and it settles", () => {
  fc.assert(
    fc.property(folders, fc.constantFrom(wanted, none), (files, desired) => {
      const decision = decideFilter(FOLDER, files, desired);
      const own = files.find(({ name }) => name === OURS);
      const isOurs = own?.content instanceof Uint8Array && !own.link && isFilterFile(own.content);
      const rest = files.filter((other) => other !== own);
      const after = decision.action === "leave"
        ? files
        : decision.action === "remove"
        ? rest
        : [...rest, file(OURS, filterFile(desired))];

      if (own && !isOurs) assert.equal(decision.action, "leave");
      if (desired === none && isOurs) assert.equal(decision.action, "remove");
      if (desired === none) assert.notEqual(decision.action, "write");

      const before = chromium(isOurs ? rest : files);
      const now = chromium(after);
      if (before !== undefined) assert.deepEqual(now, before, "a foreign filter lost its force");
      const reads = after.find(({ name }) => name === now?.name);
      const works = desired === wanted && reads?.readable === true && Array.isArray(now?.list) &&
        wanted.patterns.every((pattern) =>
          JSON.stringify(now.list).includes(
            JSON.stringify(entry(pattern, issuer)),
          )
        );
      assert.equal(decision.state === "ok", works, JSON.stringify(decision));
      assert.equal(decision.hint === undefined, decision.state === "ok");
      if (decision.state === "ok") assert.equal(decision.by, now?.name);

      const again = decideFilter(FOLDER, after, desired);
      assert.equal(again.action, "leave");
      assert.equal(again.state, decision.state);
      if (desired === wanted) {
        assert.equal(judgeFilter(FOLDER, after, desired).state, decision.state);
      }
    }),
    { numRuns: 3000 },
  );
});
