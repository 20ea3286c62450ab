/** Where Chromium browsers on Linux look for managed policies, and what is there. */
import fs from "node:fs";
import { dirname, join } from "node:path";
import { policyFileName } from "../../ca/names.ts";
import { Problem, toProblem } from "../errors.ts";
import { checkRootOwnedDir, readRegularFile, UnsafePath } from "../files.ts";
import type { PolicyFile } from "../findings.ts";
import { underRoot } from "../paths.ts";
import { type FolderFile, isFilterFile } from "./filter_decision.ts";

/** Every file that browsers read policies from, or why a folder cannot be looked at. */
export function listPolicyFiles(root: string | undefined): (PolicyFile | { problem: string })[] {
  return policyFolders("", root).flatMap((folder): (PolicyFile | { problem: string })[] => {
    try {
      return readFolder(folder).map(({ name, content }): PolicyFile => {
        const path = join(folder.managed, name);
        const isOurs = content instanceof Uint8Array && isFilterFile(content);
        return isOurs ? { path, filters: new TextDecoder().decode(content) } : { path };
      });
    } catch (error) {
      return [{ problem: toProblem(error).message }];
    }
  });
}

/** Where browsers look, and what shows that one is installed besides its folder in `/etc`. */
const BROWSERS = [
  { browser: "chrome", parent: "/etc/opt/chrome", programs: [] },
  {
    browser: "chromium",
    parent: "/etc/chromium",
    programs: ["/usr/lib/chromium", "/usr/lib64/chromium-browser"],
  },
  { browser: "chromium", parent: "/etc/chromium-browser", programs: ["/snap/chromium"] },
  {
    browser: "edge",
    parent: "/etc/opt/edge",
    programs: ["/opt/microsoft/msedge", "/opt/microsoft/msedge-beta", "/opt/microsoft/msedge-dev"],
  },
  { browser: "brave", parent: "/etc/brave", programs: ["/opt/brave.com", "/snap/brave"] },
] as const;

/** A larger policy, or more of them, than any administrator writes. */
export const MAX_POLICY_BYTES = 4 * 1024 * 1024;
const MAX_POLICY_FILES = 1000;

/** One browser's folder of managed policies, whether it is there or not. */
export interface PolicyFolder {
  browser: string;
  /** Paths under the root, whether there or not: the browser's own folder, and its programs. */
  parent: string;
  programs: string[];
  /** The folder that the browser watches. */
  managed: string;
  /** Our file in it. */
  location: string;
  root: string | undefined;
}

/** Every folder that a browser we know may look into. */
export function policyFolders(brand: string, root: string | undefined): PolicyFolder[] {
  return BROWSERS.map(({ browser, parent, programs }) => {
    const managed = underRoot(`${parent}/policies/managed`, root);
    return {
      browser,
      parent: underRoot(parent, root),
      programs: programs.map((path) => underRoot(path, root)),
      managed,
      location: join(managed, policyFileName(brand)),
      root,
    };
  });
}

/** Chrome's always, for it may be installed at any moment; another's when the browser is there. */
export function wantedFolders(brand: string, root: string | undefined): PolicyFolder[] {
  const folders = policyFolders(brand, root);
  const realParents = folders.map(({ parent }) => parent).filter((path) => !isLink(path));
  return folders.filter(({ browser, parent, programs }) => {
    if (browser === "chrome") return true;
    // Some distributions link Chromium's two folders together: the real one is enough.
    const target = isLink(parent) ? resolveLink(parent) : undefined;
    if (target !== undefined && realParents.some((real) => resolveLink(real) === target)) {
      return false;
    }
    return [parent, ...programs].some((path) => look(path) !== undefined);
  });
}

/** What is in a folder of managed policies; empty where there is none. @throws Problem */
export function readFolder({ managed, root }: PolicyFolder): FolderFile[] {
  if (!checkRootOwnedDir(managed, root)) return [];
  const names = fs.readdirSync(managed);
  if (names.length > MAX_POLICY_FILES) {
    throw new Problem("internal", `${managed} has over ${MAX_POLICY_FILES} files; tidy it`);
  }
  return names.map((name) => readPolicyFile(managed, name, root));
}

/** As the browser would: through links, but only to where nobody but root could plant a thing. */
function readPolicyFile(managed: string, name: string, root: string | undefined): FolderFile {
  const path = join(managed, name);
  const link = isLink(path);
  const target = link ? resolveLink(path) : path;
  const info = target === undefined ? undefined : look(target);
  if (target === undefined || !info?.isFile()) {
    return { name, content: "not-a-file", readable: false, link };
  }
  const readable = (info.mode & 0o444) === 0o444;
  try {
    if (link) checkRootOwnedDir(dirname(target), root);
    const content = readRegularFile(target, MAX_POLICY_BYTES) ?? "not-a-file";
    return { name, content, readable, link };
  } catch (error) {
    if (!(error instanceof UnsafePath)) throw error;
    return { name, content: "unknown", readable, link };
  }
}

/** What is at a path, links not followed; undefined when nothing is. */
export function look(path: string): fs.Stats | undefined {
  return fs.lstatSync(path, { throwIfNoEntry: false });
}

function isLink(path: string): boolean {
  return look(path)?.isSymbolicLink() ?? false;
}

/** Where a link leads to in the end; undefined when it leads nowhere. */
function resolveLink(path: string): string | undefined {
  try {
    return fs.realpathSync(path);
  } catch {
    return undefined; // dangling, or in a circle: nothing that a browser could read
  }
}
