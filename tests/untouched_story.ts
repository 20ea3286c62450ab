/**
 * What untouched_test.ts has told: a device whose users have keys, certificates and databases of
 * their own at every place where browsers look, and whose policy folders have other owners too,
 * through ON, OFF and unenrolment.
 */
import assert from "node:assert/strict";
import { DEFAULT_BRAND, INTERMEDIATE_NAME, policyFileName, rootName } from "../ca/names.ts";
import { fingerprints, ownersAndModes } from "./fingerprints.ts";
import { installProgram } from "./installed_program.ts";
import {
  type Contents,
  contentsOf,
  homeLayouts,
  type Layout,
  makeTemplates,
} from "./nss_layouts.ts";
import { asUser, execute, type LocalUser, makeUser, SCRATCH, tellStory } from "./private_root.ts";
import { driveDevice, startMockServer } from "./product.ts";

const OURS = policyFileName(DEFAULT_BRAND);
/** Folders of browsers in `/etc`, whatever else is in them. */
const POLICIES = ["/etc/opt", "/etc/chromium", "/etc/brave"];

/** Other products' policies, which win over ours, would lose to it, or have nothing to do with it. */
const FOREIGN_POLICIES = `
rm -rf /etc/opt /etc/chromium /etc/chromium-browser /etc/brave
mkdir -p /etc/opt/chrome/policies/managed /etc/chromium/policies/managed /etc/brave
mkdir -p /etc/opt/edge/policies/managed /etc/opt/other
filter='{"AutoSelectCertificateForUrls": ["{\\"pattern\\":\\"https://intranet\\",\\"filter\\":{}}"]}'
echo "$filter" > /etc/opt/chrome/policies/managed/zz-intranet.json
echo "$filter" > /etc/chromium/policies/managed/00-intranet.json
echo '{"HomepageLocation": "https://intranet"}' > /etc/opt/edge/policies/managed/homepage.json
chmod 640 /etc/opt/edge/policies/managed/homepage.json
chmod 750 /etc/opt/edge
touch -d 2020-02-02 /etc/opt/*/policies/managed/*.json /etc/chromium/policies/managed/*.json
`;

/** A user, and how the home was before anything of ours. */
interface Someone {
  layout: Layout;
  user: LocalUser;
  /** Everything about what must not be written at all. */
  untouched: Record<string, string>;
  /** What is there, and whose; the bytes of databases beside which we put something left out. */
  shape: Record<string, string>;
  /** Those databases' contents, by place. */
  contents: Record<string, Contents>;
}

await tellStory(async (step) => {
  const { device, server, people, policies } = await step(
    "a device, and a user for every kind of home",
    async () => {
      const program = await installProgram();
      const server = await startMockServer(program, `${SCRATCH}/server`);
      const device = driveDevice(program);
      const deviceId = await device.enroll(server);
      await execute("sh", "-ec", FOREIGN_POLICIES);
      const people: Someone[] = [];
      for (const layout of homeLayouts(await makeTemplates())) {
        const user = await makeUser(`dt-${layout.name}`);
        await layout.make(user);
        await server.bind(deviceId, user.name);
        people.push({
          layout,
          user,
          untouched: untouchedOf(layout, user),
          shape: shapeOf(layout, user),
          contents: await contentsBeside(layout, user),
        });
      }
      const policies = { all: ownersAndModes(...POLICIES), files: policyFiles() };
      device.startAgent();
      return { device, server, people, policies };
    },
  );

  await step(
    "ON: whoever can be served is, where their browsers look; the others know why not",
    async () => {
      await server.distribute(true);
      await device.untilUsers(
        "everybody was served or told",
        ({ state, lastError }) => state === "installed" || lastError !== null,
      );
      const { users } = await device.status();
      for (const { layout: { name, location, error }, user } of people) {
        const status = users.find(({ username }) => username === user.name);
        // Who failed may be trying again by now.
        assert.equal(status?.state === "installed", location !== undefined, name);
        assert.equal(status?.store?.location, location && `${user.home}/${location}`, name);
        assert.equal(status?.lastError?.code, error?.code, name);
        assert.match(status?.lastError?.message ?? "", error?.message ?? /^$/, name);
      }
    },
  );

  await step("beside a leaf everything of the user's is as it was", async () => {
    for (const { layout, user, contents } of people) {
      const now = await contentsBeside(layout, user);
      for (const [place, before] of Object.entries(contents)) {
        const { trust = [], certificates = [], keys = [] } = now[place] ?? {};
        const message = `${layout.name}: ${place}`;
        assert.deepEqual(without(before.trust, trust), [], message);
        assert.deepEqual(without(before.certificates, certificates), [], message);
        assert.deepEqual(without(before.keys, keys), [], message);
        const [leaf, ...others] = without(trust, before.trust);
        assert.match(
          leaf ?? "",
          /^JumpCloud Device Trust Certificate - [0-9a-f]{8} u,u,u$/,
          message,
        );
        assert.deepEqual(
          others,
          [`${rootName(DEFAULT_BRAND)} ,,`, `${INTERMEDIATE_NAME} ,,`],
          message,
        );
        assert.equal(keys.length, before.keys.length + 1, message);
      }
    }
  });

  await step("what is not ours to write was not written", () => {
    for (const { layout, user, untouched } of people) {
      assert.deepEqual(untouchedOf(layout, user), untouched, layout.name);
    }
  });

  await step("other products' policies are as they were, and ours gives way", async () => {
    assert.deepEqual(policyFiles(), policies.files);
    const [someone] = (await device.status()).users;
    const states = Object.fromEntries(
      someone?.filters.map(({ location, state }) => [location.split("/policies")[0], state]) ?? [],
    );
    assert.deepEqual(states, {
      "/etc/opt/chrome": "shadowed",
      "/etc/chromium": "managed-elsewhere",
      "/etc/opt/edge": "ok",
      "/etc/brave": "ok",
    });
    assert.deepEqual(await ourFilters(), [
      `/etc/brave/policies/managed/${OURS}`,
      `/etc/opt/chrome/policies/managed/${OURS}`,
      `/etc/opt/edge/policies/managed/${OURS}`,
    ]);
  });

  await step("a user-agent of one's own session changes nothing of that", async () => {
    const { user, layout, untouched } = people.find(({ layout }) => layout.name === "xdgdata") ??
      {};
    assert.ok(user && layout);
    const mine = asUser(user, "/usr/local/bin/device-trust", ["user-agent", "--once"]);
    const env = { ...mine.env, XDG_DATA_HOME: `${user.home}/data` };
    const { success } = await new Deno.Command("setpriv", { ...mine, env }).output();
    assert.ok(success);
    assert.deepEqual(untouchedOf(layout, user), untouched);
  });

  await step("OFF: no database holds more or less than before, and no filter is left", async () => {
    await server.distribute(false);
    await device.untilUsers("nobody holds anything", ({ state }) => state === "removed");
    for (const { layout, user, untouched, contents } of people) {
      assert.deepEqual(await contentsBeside(layout, user), contents, layout.name);
      assert.deepEqual(untouchedOf(layout, user), untouched, layout.name);
    }
    assert.deepEqual(await ourFilters(), []);
    assert.deepEqual(policyFiles(), policies.files);
  });

  await step("ON and OFF once more", async () => {
    await server.distribute(true);
    await device.untilUsers(
      "everybody was served or told",
      ({ state, lastError }) => state === "installed" || lastError !== null,
    );
    await server.distribute(false);
    await device.untilUsers("nobody holds anything", ({ state }) => state === "removed");
  });

  await step("unenrolled: homes and policy folders are as they were", async () => {
    await device.unenroll();
    await device[Symbol.asyncDispose]();
    for (const { layout, user, untouched, shape, contents } of people) {
      assert.deepEqual(shapeOf(layout, user), shape, layout.name);
      assert.deepEqual(await contentsBeside(layout, user), contents, layout.name);
      assert.deepEqual(untouchedOf(layout, user), untouched, layout.name);
    }
    assert.deepEqual(ownersAndModes(...POLICIES), policies.all);
    assert.deepEqual(policyFiles(), policies.files);
  });
});

function untouchedOf({ untouched = [] }: Layout, { home }: LocalUser): Record<string, string> {
  return fingerprints(...untouched.map((place) => `${home}/${place}`));
}

function shapeOf({ beside = [], left = [] }: Layout, { home }: LocalUser): Record<string, string> {
  const isBeside = (path: string) =>
    beside.some((place) =>
      [`${home}/${place}/cert9.db`, `${home}/${place}/key4.db`].includes(path)
    );
  const isLeft = (path: string) => left.some((place) => path === `${home}/${place}`);
  return Object.fromEntries(
    Object.entries(ownersAndModes(home)).filter(([path]) => !isLeft(path)).map(([path, facts]) => [
      path,
      isBeside(path) ? facts.replace(/^[0-9a-f]{64} /, "") : facts,
    ]),
  );
}

async function contentsBeside(
  { beside = [] }: Layout,
  { home }: LocalUser,
): Promise<Record<string, Contents>> {
  const contents: Record<string, Contents> = {};
  for (const place of beside) contents[place] = await contentsOf(`${home}/${place}`);
  return contents;
}

function policyFiles(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fingerprints(...POLICIES)).filter(([path]) =>
      path.endsWith(".json") && !path.endsWith(OURS)
    ),
  );
}

async function ourFilters(): Promise<string[]> {
  return (await execute("find", "/etc", "-name", OURS)).split("\n").filter(Boolean).toSorted();
}

/** What of a list is not in another one. */
function without(list: readonly string[], other: readonly string[]): string[] {
  return list.filter((item) => !other.includes(item));
}
