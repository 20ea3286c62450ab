/** A story's user who attacks: runs hostile_client.ts with nothing but that user's rights. */
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { TextLineStream } from "../agent/text_lines.ts";
import { INSTALLED_DENO } from "./installed_program.ts";
import { asUser, executeAs, type LocalUser, SCRATCH } from "./private_root.ts";

const Answer = z.object({
  status: z.number().optional(),
  body: z.string().optional(),
  error: z.string().optional(),
});

/** What became of a request: an answer, or the name of the error that there was instead. */
export type Answer = z.infer<typeof Answer>;

/** A program of the attacker's that runs. Disposing of it ends it. */
export interface Attack extends AsyncDisposable {
  /** The next thing that it says. */
  next(): Promise<unknown>;
  /** Tells it to end, and gives the last thing that it says. */
  end(): Promise<unknown>;
}

/** What the attacker can do. */
export interface Attacker {
  /** Sends raw requests to a socket, each on a connection of its own. */
  ask(socket: string, requests: readonly string[]): Promise<Answer[]>;
  /**
   * Starts an attack that goes on until it is ended: `flood` a socket with requests (says when so
   * many are answered, and in the end what the answers were), `hold` so many connections open, or
   * `lock` a database.
   */
  start(attack: "flood" | "hold" | "lock", path: string, number?: number): Attack;
}

/** Gives this user the means. */
export async function attacker(user: LocalUser): Promise<Attacker> {
  const program = `${SCRATCH}/hostile_client.ts`;
  await Deno.copyFile(fileURLToPath(new URL("hostile_client.ts", import.meta.url)), program);
  const run = ["run", "-A", "--quiet", "--no-prompt", "--no-config", "--no-lock", program];
  const spawn = (...args: string[]) =>
    new Deno.Command("setpriv", {
      ...asUser(user, INSTALLED_DENO, [...run, ...args]),
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
  return {
    async ask(socket, requests) {
      const child = spawn("ask", socket);
      const [{ stdout }] = await Promise.all([
        child.output(),
        new Blob([JSON.stringify(requests)]).stream().pipeTo(child.stdin),
      ]);
      const lines = new TextDecoder().decode(stdout).trim().split("\n");
      if (lines.length !== requests.length) throw new Error(`Not every request ended: ${lines}`);
      return lines.map((line) => Answer.parse(JSON.parse(line)));
    },
    start(attack, path, number = 0) {
      const child = spawn(attack, path, String(number));
      const lines = child.stdout.pipeThrough(new TextDecoderStream())
        .pipeThrough(new TextLineStream())[Symbol.asyncIterator]();
      const next = async () => {
        const { done, value } = await lines.next();
        if (done) throw new Error(`The attack '${attack}' ended.`);
        return JSON.parse(value);
      };
      let told: Promise<void> | undefined;
      const tell = () => told ??= child.stdin.close();
      return {
        next,
        async end() {
          await tell();
          return await next();
        },
        async [Symbol.asyncDispose]() {
          await tell();
          await lines.return?.();
          await child.status;
        },
      };
    },
  };
}

/** A request in the bytes of HTTP/1.1, on a connection that ends with its answer. */
export function httpRequest(method: string, path: string, body = ""): string {
  const length = new TextEncoder().encode(body).length;
  return `${method} ${path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n` +
    `content-type: application/json\r\ncontent-length: ${length}\r\n\r\n${body}`;
}

/** The same with a body whose length is not said before it. */
export function chunkedRequest(method: string, path: string, body: string): string {
  const chunks = body.match(/[^]{1,4096}/g) ?? [];
  return `${method} ${path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n` +
    "transfer-encoding: chunked\r\n\r\n" +
    chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("") + "0\r\n\r\n";
}

/** Tries all that one can try with root's folders and files; gives what worked. */
export async function vandalise(
  user: LocalUser,
  folders: readonly string[],
  files: readonly string[],
): Promise<string> {
  return await executeAs(user, "sh", "-c", VANDALISM, "sh", ...folders, "--", ...files);
}

const VANDALISM = `
try() { "$@" 2> /dev/null < /dev/null && echo "worked: $*"; true; }
empty() { true > "$1"; }
while [ "$1" != -- ]; do
  try ln -s /etc/shadow "$1/planted"; try mkfifo "$1/planted"; try mkdir "$1/planted"
  try mv "$1" "$1.moved"; try rmdir "$1"; try chmod 777 "$1"; try chown "$(id -u)" "$1"
  shift
done
shift
for file; do
  try rm "$file"; try mv "$file" "$HOME/taken"; try ln -sf "$HOME/mine" "$file"
  try ln "$file" "$HOME/linked"; (try empty "$file")
  # Her own socket is hers, in a folder that is not.
  [ -O "$file" ] || { try chmod 777 "$file"; try touch "$file"; }
done
`;
