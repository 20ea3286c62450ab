/** Desired states that must be refused as a whole, each of which would change a device. */
import type { DesiredState } from "../agent/contract.ts";
import { type Authority, openAuthority } from "../ca/authority.ts";
import { edited, type HostileAnswer } from "./hostile_answers.ts";

/** A desired state of which anything may be replaced by anything. */
type Loose = { -readonly [K in keyof DesiredState]?: unknown } & Pick<DesiredState, "users">;

/** What, what is done to it, and what an operator must be told. */
type Case = [what: string, spoil: (state: Loose) => void, words: RegExp];

const REFUSED = /The desired state was refused and nothing changed/;

/** The cases; `stranger` is an authority of another server of the same brand. */
const CASES = (stranger: Authority): Case[] => [
  ["without users", (state) => Object.assign(state, { users: undefined }), /'users'/],
  ["with no users and no selection", (state) => {
    state.users = [];
    delete state.selection;
  }, /'selection'/],
  ["with users that are no list", (state) => Object.assign(state, { users: {} }), /'users'/],
  ["with a word for ON", (state) => state.distribution = { enabled: "yes" }, /'distribution\./],
  ["with no list of leaves", (state) => spoilUser(state, { leaves: null }), /'users\.0\.leaves'/],
  [
    "with a serial that is a path",
    (state) => spoilUser(state, { leaves: [{ serial: "../../etc", status: "current" }] }),
    /hexadecimal/,
  ],
  [
    "with a user id that is a path",
    (state) => spoilUser(state, { userId: "../../../etc/passwd" }),
    /must be a lower-case UUID/,
  ],
  [
    "with an account that is a path",
    (state) => spoilUser(state, { username: "../root" }),
    /must be an account name/,
  ],
  [
    "with an account of two lines",
    (state) => spoilUser(state, { username: "alice\nroot" }),
    /must be an account name/,
  ],
  ["with a user twice", ({ users }) => users.push(...users), /lists a user twice/],
  ["with more users than a device has", (state) => {
    const [user] = state.users;
    const ids = Array.from({ length: 1001 }, () => ({ ...user, userId: crypto.randomUUID() }));
    Object.assign(state, { users: ids });
  }, /'users'/],
  ["with one bad selection pattern among good ones", (state) => {
    state.selection = { patterns: ["https://good.example.com", "https://[*.]com"] };
  }, /top-level domain/],
  ["with a pattern for everything", (state) => state.selection = { patterns: ["*"] }, /'\*' must/],
  ["with a pattern that breaks out of JSON", (state) => {
    state.selection = { patterns: ['https://a.example.com","filter":{}}'] };
  }, /must be https:/],
  ["of another brand's form", (state) => state.brand = "../x", /'brand'/],
  ["with an unknown key algorithm", (state) => {
    state.certificate = { keyAlgorithm: "P-521", overlapSeconds: 1 };
  }, /'certificate\.keyAlgorithm'/],
  ["with another server's trust anchors", (state) => {
    state.trustAnchors = anchorsOf(stranger);
  }, /trust anchors are not the ones that were pinned/],
  ["with another server's intermediate alone", (state) => {
    const { root } = Object(state.trustAnchors);
    state.trustAnchors = { root, intermediate: stranger.intermediate.pem };
  }, /its intermediate does not point to the key of the root/],
];

/**
 * The answers. To a device that has leaves every one says OFF beside what is wrong with it, so that
 * taking a part of it would remove something; to another it says ON, and would install.
 *
 * @param folder where another server's authority is made
 */
export async function hostileStates(folder: string): Promise<HostileAnswer[]> {
  const stranger = await openAuthority(folder, { brand: "JumpCloud", now: new Date() });
  const spoilt = CASES(stranger).map(([what, spoil, words]) => ({
    what: `a desired state ${what}`,
    answer: edited<Loose>((state) => {
      if (state.users.some((user) => user.leaves.length > 0)) {
        state.distribution = { enabled: false };
        for (const user of state.users) user.leaves = [];
      }
      spoil(state);
    }),
    words: new RegExp(`${REFUSED.source}.*${words.source}`),
  }));
  return [...spoilt, {
    what: "the right answer without its ETag",
    answer: async (usual) => {
      const answer = await usual();
      answer.headers.delete("etag");
      return answer;
    },
    words: /desired state without an ETag/,
  }, {
    what: "an answer that is not UTF-8",
    answer: async (usual) => {
      const { headers, body } = await usual();
      const spoil = new TransformStream<Uint8Array, Uint8Array>({
        // The byte of an e-mail's `@`, of which a lenient reader would make something.
        transform: (chunk, controller) =>
          controller.enqueue(chunk.map((byte) => byte === 0x40 ? 0xff : byte)),
      });
      return new Response(body?.pipeThrough(spoil), { headers });
    },
    words: /answer is not UTF-8/,
  }];
}

/** Spoils the first user. */
function spoilUser({ users }: Loose, members: Record<string, unknown>): void {
  Object.assign(users[0] ?? {}, members);
}

function anchorsOf({ root, intermediate }: Authority) {
  return { root: root.pem, intermediate: intermediate.pem };
}
