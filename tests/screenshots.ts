/**
 * Takes the screenshots of the documentation: `deno run -A tests/screenshots.ts docs/screenshots`.
 * A server of its own with an example fleet, real Chromium.
 */
import type { BrowserContextOptions, Page } from "playwright-core";
import { startMockServer } from "../mock_server/server.ts";
import { type ExampleFleet, fillExampleFleet } from "./example_fleet.ts";
import { type PageBrowser, startPageBrowser } from "./page_browser.ts";

async function takeScreenshots(folder: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const dataDir = await Deno.makeTempDir({ prefix: "device-trust-screenshots-" });
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
    await using browser = await startPageBrowser();
    const shots = { folder, browser, server, fleet };
    for (const colorScheme of ["light", "dark"] as const) {
      await portalShots(shots, colorScheme);
      await adminShots(shots, colorScheme);
    }
    await narrowShot(shots);
  } finally {
    await server.close();
    await Deno.remove(dataDir, { recursive: true });
  }
}

interface Shots {
  folder: string;
  browser: PageBrowser;
  server: { agentUrl: string; portalUrl: string; adminToken: string };
  fleet: ExampleFleet;
}

const WIDE = { viewport: { width: 1180, height: 740 } };

async function adminShots(shots: Shots, colorScheme: "light" | "dark"): Promise<void> {
  const { server: { agentUrl }, fleet } = shots;
  const page = await signIn(shots, { ...WIDE, colorScheme });
  const shot = (name: string) => take(page, shots.folder, name, colorScheme);
  await shot("overview");
  await page.goto(`${agentUrl}/admin/policies/settings`);
  await shot("settings");
  await page.getByRole("radio", { name: "OFF" }).check();
  await page.getByRole("button", { name: "Save changes" }).first().click();
  await shot("off-confirmation");
  // One of each is enough for what follows.
  if (colorScheme === "dark") return await page.context().close();
  await page.goto(`${agentUrl}/admin/policies`);
  await shot("policies");
  await page.goto(`${agentUrl}/admin/policies/${fleet.policyId}`);
  await page.getByLabel("Then").selectOption("deny");
  await page.getByLabel("User's e-mail address").fill("bob.okafor@example.com");
  await page.getByLabel("Resource", { exact: true }).fill("wiki");
  await page.getByLabel("Device").last().selectOption("unmanaged");
  await page.getByLabel("IP address").fill("203.0.113.7");
  await page.getByRole("button", { name: "Dry run of the draft" }).click();
  await page.locator("#decided").scrollIntoViewIfNeeded();
  await shot("policy-dry-run");
  await page.goto(`${agentUrl}/admin/devices`);
  await shot("devices");
  await page.goto(`${agentUrl}/admin/devices/${fleet.alice.deviceId}`);
  await shot("device");
  await page.goto(`${agentUrl}/admin/events`);
  await shot("events");
  await page.goto(`${agentUrl}/admin/users`);
  await shot("users");
  await page.goto(`${agentUrl}/admin/certificates`);
  await shot("certificates");
  await page.goto(`${agentUrl}/admin/connect-keys`);
  await shot("connect-keys");
  await page.context().close();
}

async function narrowShot(shots: Shots): Promise<void> {
  const page = await signIn(shots, { viewport: { width: 320, height: 640 } });
  await page.goto(`${shots.server.agentUrl}/admin/policies/settings`);
  await take(page, shots.folder, "settings-narrow", "light");
  await page.context().close();
}

async function portalShots(shots: Shots, colorScheme: "light" | "dark"): Promise<void> {
  const { server: { portalUrl }, fleet: { alice }, folder } = shots;
  const url = `${portalUrl}/?user=${alice.email}&resource=payroll`;
  const viewport = { width: 800, height: 620 };
  const managed = await shots.browser.tab({
    viewport,
    colorScheme,
    extraHTTPHeaders: { "client-cert": `:${alice.leaf.toBase64()}:` },
  });
  await managed.page.goto(url);
  await take(managed.page, folder, "portal-managed", colorScheme);
  await managed.page.context().close();
  const unmanaged = await shots.browser.tab({ viewport, colorScheme });
  await unmanaged.page.goto(url);
  await take(unmanaged.page, folder, "portal-unmanaged", colorScheme);
  await unmanaged.page.context().close();
}

async function signIn(shots: Shots, options: BrowserContextOptions): Promise<Page> {
  const { agentUrl, adminToken } = shots.server;
  const { page } = await shots.browser.tab(options);
  await page.goto(`${agentUrl}/admin`);
  if (options.colorScheme) await take(page, shots.folder, "sign-in", options.colorScheme);
  await page.getByLabel("Admin token").fill(adminToken);
  await page.getByRole("button", { name: "Sign in" }).click();
  return page;
}

async function take(page: Page, folder: string, name: string, colorScheme: string): Promise<void> {
  await page.screenshot({ path: `${folder}/${name}-${colorScheme}.png` });
}

if (import.meta.main) {
  const [folder] = Deno.args;
  if (folder === undefined) {
    throw new Error("Name the folder: tests/screenshots.ts docs/screenshots");
  }
  await takeScreenshots(folder);
}
