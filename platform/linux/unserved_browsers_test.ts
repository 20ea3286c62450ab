import assert from "node:assert/strict";
import { findUnservedBrowsers } from "./unserved_browsers.ts";

/** A home in which these folders are. */
function probe(...folders: string[]) {
  return { isDirectory: (path: string) => folders.includes(path), entries: () => [] };
}

Deno.test("browsers that present no leaf are told by the folders that they made", () => {
  const found = findUnservedBrowsers(
    "/home/a",
    probe(
      "/home/a/.mozilla/firefox",
      "/home/a/snap/firefox/common/.mozilla/firefox",
      "/home/a/.config/vivaldi",
      "/home/a/.config/google-chrome",
      "/home/a/.var/app/org.chromium.Chromium",
    ),
  );
  assert.deepEqual(found.map(({ browser, location }) => [browser, location]), [
    ["Firefox", "/home/a/.mozilla/firefox"],
    ["Firefox", "/home/a/snap/firefox/common/.mozilla/firefox"],
    ["Vivaldi", "/home/a/.config/vivaldi"],
    ["the flatpak org.chromium.Chromium", "/home/a/.var/app/org.chromium.Chromium"],
  ]);
  assert.ok(found.every(({ reason }) => reason !== ""));
});

Deno.test("a home without such browsers has none", () => {
  assert.deepEqual(findUnservedBrowsers("/home/a", probe("/home/a/.pki/nssdb")), []);
});
