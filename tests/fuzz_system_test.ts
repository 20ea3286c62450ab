/** What other programs, other products and the system leave in files that an agent reads. */
import assert from "node:assert/strict";
import fs from "node:fs";
import fc from "fast-check";
import { parseLeafUri } from "../ca/names.ts";
import { describeCertificate } from "../ca/certificate.ts";
import { DerError } from "../ca/der.ts";
import { TextLineStream } from "../agent/text_lines.ts";
import { lookUpAccount } from "../platform/linux/accounts.ts";
import { parseChromiumJson } from "../platform/linux/chromium_json.ts";
import {
  decideFilter,
  filterFile,
  type FolderFile,
  isFilterFile,
  judgeFilter,
} from "../platform/linux/filter_decision.ts";
import { readAnswer } from "../platform/linux/http_answer.ts";
import { installedPatterns } from "../platform/linux/installed_patterns.ts";
import { fileSystemType } from "../platform/linux/mounts.ts";
import { findPasswdEntry, lowestPersonalUid, parsePasswdLine } from "../platform/passwd.ts";
import { findRunningBrowsers } from "../platform/linux/running_browsers.ts";
import {
  inspectFilters,
  removeFilters,
  writeFilters,
} from "../platform/linux/selection_filters.ts";
import { parseMachineId, prettyName, readSystemInfo } from "../platform/linux/system_info.ts";
import { Problem } from "../platform/errors.ts";
import { inFolder } from "./ask.ts";
import { fuzz, type Json, mutatedBytes, mutatedJson, mutatedText } from "./fuzz.ts";

const DESIRED = {
  brand: "JumpCloud",
  patterns: ["https://portal.test", "https://[*.]a.test:8443"],
};
const OURS = "JumpCloudCertificateAutoselect.json";
const FILTER = { ISSUER: { CN: "device-trust.intermediate" } };

/** Policies as another product writes them, of which some set the same key. */
const POLICIES: Json[] = [
  {
    AutoSelectCertificateForUrls: DESIRED.patterns.map((pattern) =>
      JSON.stringify({ pattern, filter: FILTER })
    ),
  },
  {
    HomepageLocation: "https://example.com",
    AutoSelectCertificateForUrls: [JSON.stringify({ pattern: "https://b.test", filter: {} })],
  },
  { ExtensionInstallForcelist: ["abcdef;https://example.com"], URLBlocklist: ["*"] },
];

/** One entry for the list, itself JSON, mutated before it is quoted. */
const policyWithOddEntry = mutatedJson({ pattern: "https://portal.test", filter: FILTER })
  .map((entry) => JSON.stringify({ AutoSelectCertificateForUrls: [entry] }));

const policyText = fc.oneof(
  mutatedJson(...POLICIES),
  policyWithOddEntry,
  mutatedText(
    [
      ...POLICIES.map((policy) => JSON.stringify(policy, null, 2)),
      `{"A": "\\x41", /* b */ "c": 1,}`,
    ],
    ["//", "/*", "*/", ",", "\\x4", "\\u00", "{", "}", "[", "]", '"'],
  ),
);

const encoded = fc.oneof(
  { weight: 4, arbitrary: policyText.map((text) => new TextEncoder().encode(text)) },
  mutatedBytes(...POLICIES.map((policy) => new TextEncoder().encode(JSON.stringify(policy)))),
);

Deno.test("JSON of any content is read as Chromium reads it, or is a SyntaxError", async () => {
  await fuzz("policy JSON", policyText, 3000, (text) => {
    try {
      parseChromiumJson(text);
    } catch (error) {
      assert.ok(error instanceof SyntaxError, String(error));
    }
  });
});

Deno.test("whatever other files say, ours is decided on and only ours is ever taken for ours", async () => {
  const name = fc.oneof(
    fc.constantFrom(OURS, "A.json", "Z.json", "JumpCloud.json", "noext"),
    mutatedText([OURS], ["/", "."]).filter((text) => text !== ""),
  );
  const file = fc.record({
    name,
    content: fc.oneof(encoded, fc.constantFrom("not-a-file" as const, "unknown" as const)),
    readable: fc.boolean(),
    link: fc.boolean(),
  });
  const folders = fc.uniqueArray(file, { maxLength: 4, selector: (file) => file.name });
  await fuzz("policy folders", folders, 2000, (files: FolderFile[]) => {
    const decision = decideFilter("/etc/opt/chrome/policies/managed", files, DESIRED);
    const own = files.find((file) => file.name === OURS);
    const foreign = own !== undefined &&
      (own.link || !(own.content instanceof Uint8Array) || !isFilterFile(own.content));
    if (foreign) assert.equal(decision.action, "leave");
    if (decision.action === "remove") assert.ok(own);
    judgeFilter("/etc/opt/chrome/policies/managed", files, DESIRED);
    for (const { content } of files) {
      if (!(content instanceof Uint8Array) || !isFilterFile(content)) continue;
      const policy: Record<string, string[]> = JSON.parse(new TextDecoder().decode(content));
      assert.deepEqual(Object.keys(policy), ["AutoSelectCertificateForUrls"]);
      for (const entry of Object.values(policy).flat()) {
        assert.deepEqual(JSON.parse(entry).filter, FILTER);
      }
    }
  });
  assert.ok(isFilterFile(filterFile(DESIRED)));
});

Deno.test("filters are written, inspected and removed beside any file, which stays as it is", async () => {
  await inFolder(async (root) => {
    const managed = `${root}/etc/opt/chrome/policies/managed`;
    fs.mkdirSync(managed, { recursive: true });
    const inputs = fc.record({ name: fc.constantFrom("A.json", "Z.json", OURS), bytes: encoded });
    await fuzz("policy files", inputs, 100, ({ name, bytes }) => {
      fs.writeFileSync(`${managed}/${name}`, bytes);
      const foreign = !isFilterFile(bytes);
      const world = { root, recordCreated: () => {}, createdDirectories: [] };
      writeFilters(DESIRED, world);
      inspectFilters(DESIRED, world);
      installedPatterns(DESIRED.brand, root);
      removeFilters(DESIRED.brand, world);
      if (name !== OURS || foreign) {
        assert.deepEqual(
          new Uint8Array(fs.readFileSync(`${managed}/${name}`)),
          new Uint8Array(bytes),
        );
      }
      fs.rmSync(`${managed}/${name}`, { force: true });
    });
  });
});

const PASSWD = "root:x:0:0:root:/root:/bin/bash\nalice:x:1001:1001:Alice,,,:/home/alice:/bin/sh\n" +
  "+nis::::::\n# comment\nbob:x:1002:1002::/home/bob:\n";

Deno.test("of any passwd file an account is a person's with a home, or a Problem", async () => {
  await inFolder(async (root) => {
    fs.mkdirSync(`${root}/etc`);
    const inputs = fc.record({
      passwd: mutatedText([PASSWD], [
        ":",
        "\n",
        ":0:",
        "4294967295",
        "4294967296",
        "-1",
        "+",
        "/..",
      ]),
      defs: mutatedText(["UID_MIN 1000\n", "# x\nUID_MIN\t500 # y\n"], ["UID_MIN", " ", "\n"]),
      name: fc.constantFrom("alice", "bob", "root", "", "alice:x", "+nis", "\0"),
    });
    await fuzz("passwd and login.defs", inputs, 400, async ({ passwd, defs, name }) => {
      for (const line of passwd.split("\n")) parsePasswdLine(line);
      findPasswdEntry(passwd, name);
      assert.ok(lowestPersonalUid(defs) >= 0);
      fs.writeFileSync(`${root}/etc/passwd`, passwd);
      fs.writeFileSync(`${root}/etc/login.defs`, defs);
      const run = () => Promise.reject(new Error("Nobody is asked."));
      try {
        const account = await lookUpAccount(name, { root, run, uid: 0 });
        assert.equal(account.name, name);
        const uid = Number(account.uid);
        assert.ok(uid > 0 && uid < 0xffffffff && Number.isInteger(uid));
        assert.ok(account.home.startsWith(`${root}/`) && !account.home.includes("/../"));
      } catch (error) {
        assert.ok(error instanceof Problem, String(error));
      }
    });
  });
});

Deno.test("any mount table, os-release and machine-id is read or skipped", async () => {
  const inputs = fc.record({
    mounts: mutatedText(
      ["22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n23 22 0:2 / /home rw - nfs4 s:/ rw\n"],
      [" - ", "\\040", "\\777", "/home", "\n", " "],
    ),
    release: mutatedText(['NAME="x"\nPRETTY_NAME="Debian \\"12\\""\n'], [
      "PRETTY_NAME=",
      '"',
      "\\",
    ]),
    machine: mutatedText(["0123456789abcdef0123456789abcdef\n"]),
  });
  await inFolder(async (root) => {
    fs.mkdirSync(`${root}/etc`);
    await fuzz("mounts, os-release, machine-id", inputs, 400, ({ mounts, release, machine }) => {
      const type = fileSystemType(mounts, "/home/alice");
      assert.ok(type === undefined || (type !== "" && !type.includes(" ")));
      assert.ok((prettyName(release) ?? "").length <= 255);
      fs.writeFileSync(`${root}/etc/os-release`, release);
      fs.writeFileSync(`${root}/etc/machine-id`, machine);
      const info = readSystemInfo(root);
      assert.ok(info.osVersion.length <= 255 && info.osVersion.isWellFormed());
      assert.equal(info.machineId, parseMachineId(machine.toWellFormed()));
      assert.match(info.machineId ?? "0123456789abcdef0123456789abcdef", /^[0-9a-f]{32}$/);
    });
  });
});

Deno.test("any /proc gives browsers that started at some time, or none", async () => {
  await inFolder(async (proc) => {
    fs.mkdirSync(`${proc}/100`);
    fs.symlinkSync("/opt/google/chrome/chrome", `${proc}/100/exe`);
    const inputs = fc.record({
      boot: mutatedText(["cpu 1 2\nbtime 1700000000\nprocesses 3\n"], ["btime", " "]),
      stat: mutatedText([`100 (chrome) S ${"1 ".repeat(18)}5000 0 0\n`], [")", "(", ") S"]),
      command: mutatedText(["/opt/google/chrome/chrome\0--a\0"], ["--type=renderer", "\0"]),
    });
    await fuzz("/proc", inputs, 300, ({ boot, stat, command }) => {
      fs.writeFileSync(`${proc}/stat`, boot);
      fs.writeFileSync(`${proc}/100/stat`, stat);
      fs.writeFileSync(`${proc}/100/cmdline`, command);
      const uid = Deno.uid() ?? 0;
      for (const browser of findRunningBrowsers(uid, proc)) {
        assert.ok(Number.isFinite(browser.startedAt), `${browser.startedAt} of ${stat}`);
      }
    });
  });
});

Deno.test("any answer of a portal is read, waited for, or a TypeError", async () => {
  const answers = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n30d40\r\n${
      "x".repeat(200_000)
    }\r\n0\r\n\r\n`,
  ].map((text) => new TextEncoder().encode(text));
  const pieces = ["\r\n", "\r\n\r\n", "chunked", "Content-Length: 9", "ffffffff\r\n", "0\r\n", ";"];
  const inputs = fc.oneof(
    fc.constantFrom(...answers),
    mutatedBytes(...answers.slice(0, 2)),
    mutatedText(answers.slice(0, 2).map((bytes) => new TextDecoder().decode(bytes)), pieces)
      .map((text) => new TextEncoder().encode(text)),
  );
  await fuzz("HTTP answers", fc.tuple(inputs, fc.boolean()), 2000, ([bytes, ended]) => {
    try {
      const answer = readAnswer(bytes, ended);
      assert.ok(answer !== undefined || !ended);
      assert.ok((answer?.body.length ?? 0) <= bytes.length);
    } catch (error) {
      assert.ok(error instanceof TypeError, String(error));
    }
  });
});

Deno.test("any name of a device and user is two ids, or none", async () => {
  const device = crypto.randomUUID();
  const inputs = mutatedText([`urn:device-trust:${device}:${device}`], [":", "urn:"]);
  await fuzz("URIs", inputs, 2000, (uri) => {
    const parsed = parseLeafUri(uri);
    if (parsed) assert.equal(`urn:device-trust:${parsed.deviceId}:${parsed.userId}`, uri);
  });
});

Deno.test("any bytes of other people's certificates in a store are described or refused", async () => {
  await fuzz("bytes of stores", fc.uint8Array({ maxLength: 4000 }), 1000, async (bytes) => {
    await assert.rejects(describeCertificate(bytes), DerError);
  });
});

Deno.test("lines come out as they went in, however they are cut", async () => {
  const inputs = fc.array(fc.string({ unit: "binary", maxLength: 30 }), { maxLength: 12 });
  await fuzz("lines", inputs, 1000, async (chunks) => {
    const lines = ReadableStream.from(chunks).pipeThrough(new TextLineStream());
    const expected = chunks.join("").split("\n").slice(0, -1);
    assert.deepEqual(await Array.fromAsync(lines), expected);
  });
});
