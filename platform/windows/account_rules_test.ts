import assert from "node:assert/strict";
import { Problem, type ProblemCode } from "../errors.ts";
import { expandPath, judgeAccount, judgeProfile, type ProfileFacts } from "./account_rules.ts";

const USER = 1, GROUP = 2, DOMAIN = 3, ALIAS = 4, WELL_KNOWN = 5, DELETED = 6, COMPUTER = 9;
const LOCAL = "S-1-5-21-1004336348-1177238915-682003330";

function refusal(work: () => unknown): [ProblemCode, string] {
  try {
    work();
  } catch (error) {
    if (error instanceof Problem) return [error.code, error.message];
    throw error;
  }
  throw new Error("nothing was refused");
}

Deno.test("a local account, a domain's and Entra's serve, by the name as it was written", () => {
  const served: [name: string, sid: string][] = [
    ["ada", `${LOCAL}-1001`],
    ["Zoë Ünlü 鍵", `${LOCAL}-1002`],
    ["CORP\\ada", "S-1-5-21-9-8-7-51234"],
    ["ada@corp.example", "S-1-5-21-9-8-7-51234"],
    ["AzureAD\\ada@corp.example", "S-1-12-1-1111111111-2222222222-333333333-444"],
    // The last number of Entra's ids is as any other.
    ["AzureAD\\bob@corp.example", "S-1-12-1-1111111111-2222222222-333333333-500"],
  ];
  for (const [name, sid] of served) {
    assert.deepEqual(judgeAccount(name, { sid, use: USER }), { sid });
  }
});

Deno.test("accounts that Windows, a service or a computer runs as are refused as such", () => {
  const refused: [name: string, sid: string, use: number][] = [
    ["SYSTEM", "S-1-5-18", WELL_KNOWN],
    ["NT AUTHORITY\\LOCAL SERVICE", "S-1-5-19", WELL_KNOWN],
    ["Everyone", "S-1-1-0", WELL_KNOWN],
    ["NT SERVICE\\Spooler", "S-1-5-80-1-2-3-4-5", WELL_KNOWN],
    ["NT SERVICE\\Spooler", "S-1-5-80-1-2-3-4-5", USER],
    ["IIS APPPOOL\\Site", "S-1-5-82-1-2-3-4-5", USER],
    ["Administrator", `${LOCAL}-500`, USER],
    ["Guest", `${LOCAL}-501`, USER],
    ["DefaultAccount", `${LOCAL}-503`, USER],
    ["CORP\\LAPTOP$", "S-1-5-21-9-8-7-1108", USER],
    ["LAPTOP", "S-1-5-21-9-8-7-1108", COMPUTER],
  ];
  for (const [name, sid, use] of refused) {
    const [code, message] = refusal(() => judgeAccount(name, { sid, use }));
    assert.equal(code, "system-account", name);
    assert.ok(message.includes(`'${name}'`));
  }
});

Deno.test("groups, domains and names that nobody has are no account", () => {
  assert.equal(refusal(() => judgeAccount("nobody", undefined))[0], "no-local-account");
  const others: [name: string, sid: string, use: number][] = [
    ["Users", "S-1-5-32-545", ALIAS],
    ["CORP\\Domain Users", "S-1-5-21-9-8-7-513", GROUP],
    ["CORP", "S-1-5-21-9-8-7", DOMAIN],
    ["gone", `${LOCAL}-1007`, DELETED],
    ["", "S-1-5-32", DOMAIN],
  ];
  for (const [name, sid, use] of others) {
    assert.equal(refusal(() => judgeAccount(name, { sid, use }))[0], "no-local-account", name);
  }
  assert.match(
    refusal(() => judgeAccount("Users", { sid: "S-1-5-32-545", use: ALIAS }))[1],
    /group/,
  );
});

const folder = (path: string) => ({ path, isRemote: false, exists: true });
const ordinary: ProfileFacts = {
  kind: 0,
  central: "",
  folders: [folder("C:\\Users\\ada"), folder("C:\\Users\\ada\\AppData\\Roaming")],
};

Deno.test("an ordinary profile is used", () => judgeProfile("ada", ordinary));

Deno.test("a profile that other computers have too is shared, and the message says why", () => {
  const remote = { path: "H:\\ada", isRemote: true, exists: true };
  const cases: [Partial<ProfileFacts>, RegExp][] = [
    [{ kind: 2 }, /roaming/],
    [{ central: "\\\\files\\profiles\\ada" }, /roaming one \(\\\\files\\profiles\\ada\)/],
    [{ folders: [...ordinary.folders, remote] }, /H:\\ada .* another computer/],
    [{ folders: [folder("\\\\files\\redirected\\ada")] }, /\\\\files\\redirected\\ada/],
    // A roaming profile that could not be fetched is no reason to wait.
    [{ kind: 1 | 2 }, /roaming/],
  ];
  for (const [more, words] of cases) {
    const [code, message] = refusal(() => judgeProfile("ada", { ...ordinary, ...more }));
    assert.equal(code, "shared-home");
    assert.match(message, words);
    assert.match(message, /none is installed/);
  }
});

Deno.test("a profile that is gone after the session waits for a better one", () => {
  const missing = { ...folder("C:\\Users\\ada\\AppData\\Local"), exists: false };
  for (const more of [{ kind: 1 }, { kind: 4 }, { folders: [missing] }]) {
    const [code] = refusal(() => judgeProfile("ada", { ...ordinary, ...more }));
    assert.equal(code, "home-missing");
  }
});

Deno.test("variables in a profile's path are put in, and what stays unknown is no path", () => {
  const env = { SystemDrive: "C:", OTHER: "x" };
  assert.equal(expandPath("%SystemDrive%\\Users\\ada", env), "C:\\Users\\ada");
  assert.equal(expandPath("%SYSTEMDRIVE%\\Users\\Zoë Ü", env), "C:\\Users\\Zoë Ü");
  assert.equal(expandPath("D:\\Users\\ada\\", env), "D:\\Users\\ada\\");
  assert.equal(expandPath("\\\\files\\homes\\ada", env), "\\\\files\\homes\\ada");
  for (const path of ["", "Users\\ada", "%nothing%\\ada", "%OTHER%\\ada"]) {
    assert.equal(expandPath(path, env), "", path);
  }
});
