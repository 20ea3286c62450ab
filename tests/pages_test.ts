/** The administrator's pages and the portal's in a real Chromium, with and without JavaScript. */
import assert from "node:assert/strict";
import type { BrowserContextOptions, Page } from "playwright-core";
import { startMockServer } from "../mock_server/server.ts";
import { type ExampleFleet, fillExampleFleet } from "./example_fleet.ts";
import { startPageBrowser } from "./page_browser.ts";
import { testWith } from "./skip.ts";

const LOOKS: { name: string; options: BrowserContextOptions }[] = [
  { name: "with JavaScript, light", options: { colorScheme: "light" } },
  { name: "without JavaScript, dark", options: { colorScheme: "dark", javaScriptEnabled: false } },
];

testWith(["chromium"], "an administrator does everything by the pages alone", async (t) => {
  await using browser = await startPageBrowser();
  for (const { name, options } of LOOKS) {
    await t.step(name, async () => {
      await withServer(async (server) => {
        const { page, complaints } = await browser.tab(options);
        await page.goto(`${server.agentUrl}/admin`);
        await page.getByLabel("Admin token").fill("wrong");
        await press(page, "Sign in");
        assert.match(await main(page), /This is not the admin token/);
        assert.match(complaints.splice(0).join(), /^[^,]* status of 401 [^,]*$/);
        await administer(page, server);
        assert.deepEqual(complaints, []);
        await page.context().close();
      });
    });
  }
});

testWith(["chromium"], "every page fits 320 pixels, in light and in dark", async () => {
  await using browser = await startPageBrowser();
  await withServer(async (server) => {
    for (const colorScheme of ["light", "dark"] as const) {
      const viewport = { width: 320, height: 640 };
      const { page, complaints } = await browser.tab({ viewport, colorScheme });
      await signIn(page, server);
      const { deviceId } = server.fleet.alice;
      for (
        const path of [
          ...["", "/events", "/policies", "/policies/new", "/policies/settings", "/users"],
          ...["/devices", `/devices/${deviceId}`, `/devices/${deviceId}/delete`],
          ...["/certificates", "/connect-keys", "/policies/dry-run"],
        ]
      ) {
        await page.goto(`${server.agentUrl}/admin${path}`);
        const width = await page.evaluate<number>("document.documentElement.scrollWidth");
        assert.ok(width <= 320, `${path} is ${width} pixels wide`);
      }
      await page.goto(`${server.portalUrl}/?user=${server.fleet.alice.email}&resource=payroll`);
      const width = await page.evaluate<number>("document.documentElement.scrollWidth");
      assert.ok(width <= 320, `the portal is ${width} pixels wide`);
      assert.deepEqual(complaints, []);
      await page.context().close();
    }
  });
});

testWith(
  ["chromium"],
  "the portal tells each browser its verdict, with and without JavaScript",
  async (t) => {
    await using browser = await startPageBrowser();
    await withServer(async ({ portalUrl, fleet: { alice } }) => {
      for (const { name, options } of LOOKS) {
        await t.step(name, async () => {
          const url = `${portalUrl}/?user=${alice.email}&resource=payroll`;
          for (const managed of [true, false]) {
            const extraHTTPHeaders: Record<string, string> = managed
              ? { "client-cert": `:${alice.leaf.toBase64()}:` }
              : {};
            const { page, complaints } = await browser.tab({ ...options, extraHTTPHeaders });
            await page.goto(url);
            const verdict = page.locator("#verdict");
            assert.equal(await verdict.getAttribute("data-managed"), String(managed));
            const reason = managed ? "ok" : "no-certificate";
            assert.equal(await verdict.getAttribute("data-reason"), reason);
            assert.match(await page.locator("#event").innerText(), /^[0-9a-f-]{36}$/);
            await page.getByRole("link", { name: "Check again" }).click();
            assert.equal(await verdict.getAttribute("data-reason"), reason);
            assert.deepEqual(complaints, []);
            await page.context().close();
          }
        });
      }
    });
  },
);

interface ServerUnderTest {
  agentUrl: string;
  portalUrl: string;
  adminToken: string;
  fleet: ExampleFleet;
}

async function withServer(test: (server: ServerUnderTest) => Promise<void>): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "device-trust-test-" });
  const address = { host: "localhost", port: 0 };
  // A proxy's `Client-Cert` stands in for a certificate in a browser's store.
  const trustedProxies = ["127.0.0.0/8", "::1/128"];
  const server = await startMockServer({
    listen: address,
    portal: address,
    dataDir,
    trustedProxies,
  });
  try {
    const fleet = await fillExampleFleet(server.context);
    const { agentUrl, portalUrl, adminToken } = server;
    await test({ agentUrl, portalUrl, adminToken, fleet });
  } finally {
    await server.close();
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function signIn(page: Page, { agentUrl, adminToken }: ServerUnderTest): Promise<void> {
  await page.goto(`${agentUrl}/admin`);
  await page.getByLabel("Admin token").fill(adminToken);
  await press(page, "Sign in");
  assert.equal(await title(page), "Overview");
}

/** Signs in, OFF with its question, a policy, dry run, replay, ON again, and out. */
async function administer(page: Page, server: ServerUnderTest): Promise<void> {
  await signIn(page, server);
  await open(page, "Conditional Policies");
  await open(page, "Settings");
  await page.getByRole("radio", { name: "OFF" }).check();
  await press(page, "Save changes");
  assert.equal(await title(page), "Turn off Global Certificate Distribution?");
  assert.match(await main(page), /10 users on 10 devices would lose 11 certificates/);
  assert.match(await main(page), /Payroll only from managed devices/);
  await press(page, "Turn it OFF");
  assert.match(await page.locator("#notice").innerText(), /Distribution is OFF/);
  await open(page, "Overview");
  assert.match(await page.locator("#summary").innerText(), /^0 of 10 devices clean/);

  await open(page, "Conditional Policies");
  await open(page, "Add a policy");
  await page.getByLabel("Name", { exact: true }).fill("Wiki closed");
  await page.getByLabel("Resources").fill("payroll");
  await page.getByLabel("Then").selectOption("restrict");
  await page.getByLabel("User's e-mail address").fill("bob.okafor@example.com");
  await page.getByLabel("Resource", { exact: true }).fill("payroll");
  await page.getByLabel("IP address").fill("203.0.113.7");
  await press(page, "Dry run of the draft");
  assert.equal(await page.locator("#decided").getAttribute("data-decision"), "mfa");
  await press(page, "Replay over the last 30 days");
  assert.match(await page.locator("#replay-result").innerText(), /1 of 10 decisions would/);
  await press(page, "Save policy");
  assert.match(await page.locator("#notice").innerText(), /'Wiki closed' was saved/);
  assert.match(await page.locator("#blind").innerText(), /Distribution is OFF/);
  await open(page, "Turn it ON");
  await press(page, "Turn it ON");
  assert.match(await page.locator("#notice").innerText(), /Distribution is ON/);

  await press(page, "Sign out");
  await page.goto(`${server.agentUrl}/admin/devices`);
  assert.equal(await title(page), "Sign in");
}

async function press(page: Page, name: string): Promise<void> {
  await page.getByRole("button", { name }).first().click();
}

async function open(page: Page, name: string): Promise<void> {
  await page.getByRole("link", { name, exact: true }).first().click();
}

async function title(page: Page): Promise<string> {
  return await page.locator("h1").innerText();
}

async function main(page: Page): Promise<string> {
  return await page.locator("main").innerText();
}
