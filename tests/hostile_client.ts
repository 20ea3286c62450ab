/**
 * What a hostile user runs, with that user's rights: `ACTION PATH [NUMBER]`. It imports nothing of
 * the project, whose folder that user cannot read. What it finds it prints, a line of JSON each.
 * It ends with its standard input, and before that only when it has nothing left to do.
 */
import { DatabaseSync } from "node:sqlite";

/** Why there is no answer: the name of what was thrown, or that the other side hung up. */
type Answer = { status: number; body: string } | { error: string };

const SMALL = "GET /desired-state HTTP/1.1\r\nhost: agent\r\n\r\n";
const LARGE = "POST /reports HTTP/1.1\r\nhost: agent\r\ncontent-length: 60000\r\n\r\n" +
  "x".repeat(60_000);
/** Requests that are written at once. */
const BURST = [...Array.from({ length: 49 }, () => SMALL), LARGE];

const [action, path = "", number = "0"] = Deno.args;

switch (action) {
  case "ask":
    for (const request of JSON.parse(await standardInput())) say(await ask(request));
    break;
  case "flood":
    await flood(Number(number));
    break;
  case "hold": {
    const held = await hold(Number(number));
    say({ held: held.length });
    await standardInput();
    break;
  }
  case "lock": {
    const database = new DatabaseSync(path);
    database.exec("BEGIN EXCLUSIVE");
    say({ locked: path });
    await standardInput();
    break;
  }
}
Deno.exit(0);

/** Sends a request on a connection of its own. */
async function ask(request: string): Promise<Answer> {
  try {
    using connection = await Deno.connect({ transport: "unix", path });
    write(connection, request).catch(() => {
      // Who refuses early does not read the rest.
    });
    return await answerOn(connection);
  } catch (error) {
    return { error: error instanceof Error ? error.name : String(error) };
  }
}

/** Reads until the answer is whole, or the other side hangs up. */
async function answerOn(connection: Deno.Conn): Promise<Answer> {
  let text = "";
  for await (const chunk of connection.readable.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const [, status, head = "", body = ""] =
      /^HTTP\/1\.1 (\d{3})([^]*?)\r\n\r\n([^]*)$/.exec(text) ?? [];
    const length = /^content-length: (\d+)$/im.exec(head)?.[1] ?? "0";
    if (status !== undefined && body.length >= Number(length)) {
      return { status: Number(status), body };
    }
  }
  return { error: "hung up" };
}

/** Asks on four connections until standard input ends; says so when `least` answers have come. */
async function flood(least: number): Promise<void> {
  const answers: Record<string, number> = {};
  let told = false;
  standardInput().then(() => told = true);
  let sum = 0;
  const count = (status: string) => {
    answers[status] = (answers[status] ?? 0) + 1;
    if (++sum === least) say({ answered: sum });
  };
  const one = async () => {
    while (!told) {
      try {
        using connection = await Deno.connect({ transport: "unix", path });
        await exchange(connection, count, () => told);
      } catch {
        // It was hung up on; the next one.
      }
    }
  };
  await Promise.all(Array.from({ length: 4 }, one));
  say(answers);
}

/** Writes bursts and counts the answers until the other side hangs up or it is over. */
async function exchange(
  connection: Deno.Conn,
  count: (status: string) => void,
  isOver: () => boolean,
): Promise<void> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(64 * 1024);
  let unanswered = 0;
  let text = "";
  while (!isOver()) {
    if (unanswered <= 0) {
      unanswered = BURST.length;
      // Answers are read meanwhile, or both sides would wait.
      write(connection, BURST.join("")).catch(() => {});
    }
    const length = await connection.read(buffer);
    if (length === null) return;
    text += decoder.decode(buffer.subarray(0, length), { stream: true });
    const found = [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)];
    for (const [, status = ""] of found) count(status);
    unanswered -= found.length;
    const last = found.at(-1);
    // A status line may have come in part.
    text = text.slice(last ? last.index + last[0].length : 0).slice(-11);
  }
}

/** Opens connections and says nothing on them. */
async function hold(many: number): Promise<Deno.Conn[]> {
  const held: Deno.Conn[] = [];
  for (let refused = 0; held.length < many && refused < 1000;) {
    try {
      held.push(await Deno.connect({ transport: "unix", path }));
    } catch {
      // The last ones wait to be accepted; without descriptors left it ends.
      refused++;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
  return held;
}

async function write(connection: Deno.Conn, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += await connection.write(bytes.subarray(done));
}

async function standardInput(): Promise<string> {
  return await new Response(Deno.stdin.readable).text();
}

function say(what: unknown): void {
  const bytes = new TextEncoder().encode(`${JSON.stringify(what)}\n`);
  for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
}
