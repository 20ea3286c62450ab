/**
 * The user-agent killed at each step of an installation, a renewal and a removal: what the next run
 * leaves is what an undisturbed one would have left, and the ledger tells exactly what is there.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Ledger } from "../agent/ledger.ts";
import { userChannel } from "../agent/local_api.ts";
import type { LocalBundle, LocalCertificateRequest, UserSlice } from "../agent/local_contract.ts";
import { openAuthority } from "../ca/authority.ts";
import { checkCsr } from "../ca/csr.ts";
import { type IssuedLeaf, issueLeaf } from "../ca/issue.ts";
import { sha256Hex } from "../ca/signature.ts";
import { openNssdb } from "../platform/linux/nssdb.ts";
import { certutilKeys, certutilTrust, treeState } from "./nss_witness.ts";
import { testWith } from "./skip.ts";

const CHILD = fileURLToPath(new URL("user_agent_kill_child.ts", import.meta.url));
const DEVICE = "11111111-1111-4111-8111-111111111111";
const USER = "22222222-2222-4222-8222-222222222222";
const UID = "1001";

/** The agent's end of the channel, as an agent server would have it: the same key, the same leaf. */
class Agent {
  wanted = true;
  final = false;
  renewNow = false;
  /** Live leaves by the key that they are for, the newest last. */
  readonly live = new Map<string, IssuedLeaf>();
  signed = 0;

  constructor(private readonly authority: Awaited<ReturnType<typeof openAuthority>>) {}

  slice(): UserSlice {
    const serials = [...this.live.values()].map(({ serial }) => serial).reverse();
    return {
      deviceId: DEVICE,
      userId: USER,
      publicUrl: "https://agents.test",
      brand: "JumpCloud",
      wanted: this.wanted,
      final: this.final,
      keyAlgorithm: "P-256",
      overlapSeconds: 604_800,
      trustAnchors: {
        root: this.authority.root.pem,
        intermediate: this.authority.intermediate.pem,
      },
      ...(this.renewNow ? { renewNow: true } : {}),
      leaves: serials.map((serial, at) => ({ serial, status: at === 0 ? "current" : "overlap" })),
      clock: { offset: 0, known: true },
    };
  }

  async certificate(request: LocalCertificateRequest): Promise<LocalBundle> {
    const { spki } = await checkCsr(request.csr);
    if (request.leafSignature) this.signed++;
    const key = await sha256Hex(spki);
    const leaf = this.live.get(key) ?? await this.#issue(spki);
    this.live.set(key, leaf);
    // A third ends the first.
    for (const oldest of [...this.live.keys()].slice(0, -2)) this.live.delete(oldest);
    this.renewNow = false;
    const day = (count: number) => new Date(Date.now() + count * 86_400_000).toISOString();
    const { root, intermediate } = this.authority;
    return {
      serial: leaf.serial,
      leaf: leaf.pem,
      intermediate: intermediate.pem,
      root: root.pem,
      notAfter: leaf.notAfter.toISOString(),
      renewal: { start: day(14), end: day(16) },
    };
  }

  async #issue(spki: Uint8Array): Promise<IssuedLeaf> {
    return await issueLeaf(this.authority, {
      spki,
      deviceId: DEVICE,
      userId: USER,
      nameSuffix: crypto.getRandomValues(new Uint8Array(4)).toHex(),
      crlUrl: "https://agents.test/v1/crl",
      now: new Date(),
      ttlSeconds: 30 * 86_400,
    });
  }
}

testWith(
  ["libnss3", "certutil"],
  "killed at each step, the user-agent leaves nothing that the next run does not put right",
  async () => {
    const folder = await Deno.makeTempDir();
    const socket = `${folder}/agent.sock`;
    const authority = await openAuthority(`${folder}/ca`, { brand: "JumpCloud", now: new Date() });
    let agent = new Agent(authority);
    const { app, invite } = userChannel(
      {
        slice: () => agent.slice(),
        certificate: (_uid, request) => agent.certificate(request),
        onChange: () => () => {},
        report: () => {},
      },
      UID,
      Date.now,
    );
    await using _server = Deno.serve({ path: socket, onListen() {} }, app.fetch);
    /** Whether the run came to its end. */
    const run = async (home: string, killAt: number): Promise<boolean> => {
      invite();
      const { code, signal, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", CHILD, home, socket, String(killAt)],
      }).output();
      if (signal === "SIGKILL") return false;
      assert.equal(code, 0, new TextDecoder().decode(stderr));
      return true;
    };
    /** A phase that is killed at that step, and what the next run makes of it. */
    const phase = async (home: string, killAt: number, leaves: number): Promise<boolean> => {
      const finished = await run(home, killAt);
      await run(home, 0);
      await expectExactly(home, agent, leaves);
      return finished;
    };

    try {
      let kills = 0;
      for (let at = 1, finished = false; !finished; at++) {
        const home = `${folder}/home-${at}`;
        await Deno.mkdir(home);
        agent = new Agent(authority);
        const installed = await phase(home, at, 1);
        agent.renewNow = true;
        const renewed = await phase(home, at, 2);
        assert.ok(agent.signed > 0);
        agent.wanted = false;
        agent.final = true;
        const removed = await run(home, at);
        await run(home, 0);
        // Killed in its last step it may leave folders that every desktop makes, empty.
        const left = treeState(home).map((entry) => entry.slice(home.length).split(" ")[0] ?? "");
        const desktop = ["/.local", "/.local/state"];
        assert.deepEqual(left.filter((path) => !desktop.includes(path)), []);
        kills += [installed, renewed, removed].filter((finished) => !finished).length;
        finished = installed && renewed && removed;
      }
      assert.ok(kills > 50, `${kills} kills`);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

/** So many leaves, each with its key, both anchors, nothing else; in the ledger what is there. */
async function expectExactly(home: string, agent: Agent, leaves: number): Promise<void> {
  const directory = `${home}/.pki/nssdb`;
  const trust = Object.values(certutilTrust(directory));
  assert.deepEqual(trust.toSorted(), [",,", ",,", ...Array(leaves).fill("u,u,u")]);
  assert.equal(certutilKeys(directory).length, leaves);
  assert.equal(agent.live.size, leaves);
  const store = openNssdb({ home, create: false, recordPath() {} });
  const ledger = new Ledger(`${home}/.local/state/device-trust/ledger.db`, Date.now);
  try {
    const { certificates, keys } = await store.list();
    const hashes = certificates.map(({ sha256 }) => sha256).toSorted();
    assert.deepEqual(ledger.certificates().map(({ sha256 }) => sha256).toSorted(), hashes);
    assert.deepEqual(ledger.keys().toSorted(), keys.toSorted());
    for (const { der } of agent.live.values()) assert.ok(hashes.includes(await sha256Hex(der)));
  } finally {
    ledger.close();
    store.close();
  }
}
