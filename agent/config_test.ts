/** The configuration file: what is wrong with it is said with the key and the choices. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { ConfigError, configSchema, readConfig } from "./config.ts";

/** Gives the path of a file with this content to a test. */
async function withFile(content: string, test: (path: string) => void): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "device-trust-test-" });
  try {
    await Deno.writeTextFile(`${folder}/config.json`, content);
    test(`${folder}/config.json`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("every key of the design is taken, and none is needed", async () => {
  const config = {
    server: "https://agents.example.com",
    serverCa: "/etc/device-trust/ca.pem",
    connectKeyFile: "/etc/device-trust/connect-key",
    proxy: "http://proxy.example.com:3128",
    caStore: "system",
    logLevel: "debug",
  };
  await withFile(JSON.stringify(config), (path) => assert.deepEqual(readConfig(path), config));
  await withFile("{}", (path) => assert.deepEqual(readConfig(path), {}));
});

Deno.test("without a file it is empty", () => {
  assert.deepEqual(readConfig("/nowhere/config.json"), {});
});

const KEYS = /Keys: server, serverCa, connectKeyFile, proxy, caStore, logLevel\./;

const WRONG: [content: string, ...words: RegExp[]][] = [
  ['{"servr": "https://a.example"}', /Unrecognized key: "servr"/, KEYS],
  ['{"server": 8443}', /server: .*expected string/, KEYS],
  ['{"caStore": "mozilla"}', /caStore: .*"builtin"\|"system"/],
  ['{"logLevel": "loud"}', /logLevel: .*"debug"\|"info"\|"warning"\|"error"/],
  ['{"logLevel": "loud", "proxy": null}', /logLevel: /, /proxy: /],
  ['{\n  "server": "https://a.example",\n  "caStore" : "mine"\n}', /: line 3: caStore: /],
  ['{\n\n"logLevels": "info"}', /: line 3: Unrecognized key: "logLevels"/],
  ["[]", /the file: .*expected object/, KEYS],
  ['{"server": ', /it is not JSON/],
  ["", /it is not JSON/],
];

Deno.test("what is wrong with the file is said without a part of it", async () => {
  for (
    const content of ['{"proxy": "http://u:hush-hush@p" x}', '{"proxy": hush-hush}', "hush-hush"]
  ) {
    await withFile(content, (path) => {
      assert.throws(() => readConfig(path), (error) => {
        assert.ok(error instanceof ConfigError && error.cause === undefined);
        assert.match(error.message, /it is not JSON \((Unexpected|Expected) [^"]+\)\.$/);
        assert.doesNotMatch(error.message, /hush/);
        return true;
      });
    });
  }
});

for (const [content, ...words] of WRONG) {
  Deno.test(`'${content}' is refused with what to write instead`, () =>
    withFile(content, (path) => {
      assert.throws(() => readConfig(path), (error) => {
        assert.ok(error instanceof ConfigError);
        assert.ok(error.message.startsWith(`Cannot use '${path}': `), error.message);
        for (const word of words) assert.match(error.message, word);
        return true;
      });
    }));
}

Deno.test("the published JSON Schema is the one that the program goes by", () => {
  const path = fileURLToPath(new URL("../docs/config.schema.json", import.meta.url));
  assert.deepEqual(JSON.parse(Deno.readTextFileSync(path)), configSchema());
});
