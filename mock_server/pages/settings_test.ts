import assert from "node:assert/strict";
import { byId, elements, type HtmlElement, textOf } from "../scratch_html.ts";
import { withPages } from "../scratch_pages.ts";
import { Settings } from "../store.ts";

const PATH = "/admin/policies/settings";
const SWITCH = "globalCertificateDistribution";

function hasForm(page: HtmlElement, field: string, value: string): boolean {
  return elements(page, "input").some(({ attributes }) =>
    attributes.get("name") === field && attributes.get("value") === value
  );
}

Deno.test("OFF first shows the policies that see every device as unmanaged, and who loses what", async () => {
  await withPages(async (admin, { context, addManaged, issue, woken }) => {
    for (const name of ["alice", "bob"]) await issue(addManaged(`${name}@example.com`));
    addManaged("without@example.com");
    const policies = await admin.open("/admin/policies/new");
    const typed = { name: "payroll", "conditions.device": "managed", action: "relax" };
    await admin.submitAndFollow(policies, "/admin/policies/new", typed);
    woken();

    const settings = await admin.open(PATH);
    const { status, root } = await admin.submit(settings, PATH, { [SWITCH]: "off" });
    assert.equal(status, 200);
    assert.equal(textOf(elements(root, "h1")[0]), "Turn off Global Certificate Distribution?");
    const words = textOf(elements(root, "main")[0]);
    assert.match(words, /OFF: 2 users on 2 devices would lose 2 certificates/);
    assert.match(words, /Devices 2 Users 2 Certificates 2/);
    assert.match(words, /payroll Allow Matches nobody any more/);
    assert.match(words, /alice@example.com laptop account/);
    assert.equal(context.store.settings.current.globalCertificateDistribution, true);
    assert.deepEqual(woken(), []);

    const after = await admin.submitAndFollow(root, PATH, { confirmed: "yes" });
    assert.match(textOf(byId(after, "notice")), /Distribution is OFF/);
    assert.equal(context.store.settings.current.globalCertificateDistribution, false);
    assert.deepEqual(woken(), ["*"]);
    assert.equal(context.store.certificates.countLive(context.now().getTime()), 0);
    const again = await admin.open(PATH);
    assert.equal(byId(again, "notice"), undefined, "it is said once");
  });
});

Deno.test("ON is saved without a question, and saving what is in force changes nothing", async () => {
  await withPages(async (admin, { context, woken }) => {
    context.store.settings.update({ globalCertificateDistribution: false }, 0);
    const page = await admin.submitAndFollow(await admin.open(PATH), PATH, { [SWITCH]: "on" });
    assert.match(textOf(byId(page, "notice")), /Distribution is ON/);
    assert.equal(context.store.settings.current.globalCertificateDistribution, true);
    assert.deepEqual(woken(), ["*"]);
    const same = await admin.submitAndFollow(page, PATH, { [SWITCH]: "on" });
    assert.match(textOf(byId(same, "notice")), /Nothing was changed/);
    assert.deepEqual(woken(), []);
  });
});

Deno.test("each form saves its own settings and leaves the others as they are", async () => {
  await withPages(async (admin, { context }) => {
    const { settings } = context.store;
    const before = settings.current;
    const page = await admin.open(PATH);
    await admin.submitAndFollow(page, PATH, { defaultDecision: "deny" });
    assert.deepEqual(settings.current, { ...before, defaultDecision: "deny" });
    await admin.submitAndFollow(page, PATH, {
      keyAlgorithm: "RSA-2048",
      overlapSeconds: "10",
      overlapUnit: "86400",
      macosApplications: "/Applications/VPN.app\n\n  /Applications/Mail.app ",
    });
    assert.deepEqual(settings.current, {
      ...before,
      defaultDecision: "deny",
      keyAlgorithm: "RSA-2048",
      overlapSeconds: 864_000,
      macosApplications: ["/Applications/VPN.app", "/Applications/Mail.app"],
    });
    const shown = await admin.open(PATH);
    assert.equal(byId(shown, "overlapSeconds")?.attributes.get("value"), "10");
    assert.match(textOf(byId(shown, "macosApplications")), /VPN.app/);
  });
});

Deno.test("what takes something away is asked first: patterns, a shorter overlap, an application", async () => {
  await withPages(async (admin, { context, addManaged, issue }) => {
    await issue(addManaged("alice@example.com"));
    const { settings } = context.store;
    settings.update({ macosApplications: ["/Applications/Mail.app"] }, 0);
    const before = settings.current;
    for (
      const [typed, words, change] of [
        [
          { selectionPatterns: "https://portal.example.com" },
          /would stop presenting a certificate/,
          { selectionPatterns: ["https://portal.example.com"] },
        ],
        [{ overlapSeconds: "1" }, /Save these changes/, { overlapSeconds: 86_400 }],
        [{ macosApplications: "" }, /would lose access to the key/, { macosApplications: [] }],
      ] as const
    ) {
      const { root, status } = await admin.submit(await admin.open(PATH), PATH, typed);
      assert.equal(status, 200);
      assert.match(textOf(root), words);
      assert.deepEqual(settings.current, before, "nothing is saved yet");
      await admin.submitAndFollow(root, PATH, { confirmed: "yes" });
      assert.deepEqual(settings.current, { ...before, ...change });
      settings.update(before, 0);
    }
  });
});

Deno.test("a setting that does not validate is shown with what is wrong and what was typed", async () => {
  await withPages(async (admin, { context }) => {
    const before = context.store.settings.current;
    for (
      const [name, value, words] of [
        ["selectionPatterns", "https://*\nhttps://good.example.com", /must be https/],
        ["selectionPatterns", "https://[*.]co.uk", /public suffix/],
        ["overlapSeconds", "-1", /at least 0/],
        ["overlapSeconds", "1.5e9", /at most 31536000/],
        ["overlapSeconds", "", /whole number/],
        ["overlapSeconds", "soon", /whole number/],
      ] as const
    ) {
      const { status, root } = await admin.submit(await admin.open(PATH), PATH, { [name]: value });
      assert.equal(status, 422, `${name} ${value}`);
      assert.match(textOf(byId(root, `${name}-error`)), words);
      const field = byId(root, name);
      assert.equal(field?.attributes.get("aria-invalid"), "true");
      assert.ok(
        field?.attributes.get("aria-describedby")?.split(" ").includes(`${name}-error`),
      );
      const kept = field?.attributes.get("value") ?? textOf(field);
      assert.equal(kept.replace(/\s+/g, " "), value.replace(/\s+/g, " "));
      // The other forms of the page hold what is in force.
      assert.ok(hasForm(root, SWITCH, "on"));
      const decision = byId(root, "defaultDecision");
      assert.ok(decision && elements(decision, "option")[0]?.attributes.has("selected"));
    }
    for (const [name, value] of [[SWITCH, "maybe"], ["keyAlgorithm", "none"]] as const) {
      const { status } = await admin.submit(await admin.open(PATH), PATH, { [name]: value });
      assert.equal(status, 422);
    }
    assert.deepEqual(context.store.settings.current, before);
    assert.ok(Settings.safeParse(before).success);
  });
});

Deno.test("after OFF the pages say how many devices are clean and how many were not seen", async () => {
  await withPages(async (admin, { context, clock, addManaged, addDevice, issue }) => {
    const { store } = context;
    const people = ["clean", "busy", "away"].map((name) => addManaged(`${name}@example.com`));
    for (const person of people) await issue(person);
    addDevice();
    const [clean, busy] = people;
    assert.ok(clean && busy);
    clock.now += 1000;
    const { root } = await admin.submit(await admin.open(PATH), PATH, { [SWITCH]: "off" });
    await admin.submitAndFollow(root, PATH, { confirmed: "yes" });
    clock.now += 1000;
    for (const [person, state] of [[clean, "removed"], [busy, "removing"]] as const) {
      store.devices.seen(person.deviceId, clock.now);
      const { userId } = person;
      store.reports.record(person.deviceId, { userId, state, filters: [] }, clock.now);
    }
    const summary = "2 of 4 devices clean, 1 not seen, 1 still to report";
    assert.match(textOf(byId(await admin.open("/admin"), "summary")), new RegExp(summary));
    assert.match(textOf(byId(await admin.open("/admin/devices"), "summary")), new RegExp(summary));
    assert.match(textOf(byId(await admin.open(PATH), "removal")), new RegExp(summary));
    const devices = textOf(elements(await admin.open("/admin/devices"), "table")[0]);
    assert.equal(devices.match(/Not clean yet/g)?.length, 2);
  });
});
