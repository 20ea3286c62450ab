import assert from "node:assert/strict";
import { Door, relay } from "./door.ts";
import { openLog } from "./log.ts";

interface Scratch {
  path: string;
  door: Door;
}

/** A door in a folder of its own, with somebody behind it who answers every chunk by its length. */
async function withDoor(test: (scratch: Scratch) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const [front, back] = [`${folder}/front`, `${folder}/back`];
  const behind = Deno.listen({ transport: "unix", path: back });
  const serving = (async () => {
    for await (const connection of behind) answer(connection);
  })();
  const door = new Door(Deno.listen({ transport: "unix", path: front }), {
    name: "alice",
    log: openLog({ write: () => {} }),
    now: () => 0,
    enter: (connection) => relay(connection, back),
  });
  try {
    await test({ path: front, door });
  } finally {
    door.close();
    behind.close();
    await serving;
    await Deno.remove(folder, { recursive: true });
  }
}

async function answer(connection: Deno.Conn): Promise<void> {
  try {
    await connection.readable.pipeThrough(lengths()).pipeTo(connection.writable);
  } catch {
    // The other side hung up.
  }
}

function lengths(): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({
    transform: (chunk, to) => to.enqueue(new TextEncoder().encode(`${chunk.length}\n`)),
  });
}

async function connect(path: string): Promise<Deno.Conn> {
  return await Deno.connect({ transport: "unix", path });
}

/** What the other side says to five bytes; "" when it hangs up without a word. */
async function say(connection: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(1024);
  try {
    await connection.write(new TextEncoder().encode("hello"));
    const length = await connection.read(buffer);
    return new TextDecoder().decode(buffer.subarray(0, length ?? 0));
  } catch {
    return ""; // hung up on while it spoke
  }
}

Deno.test("four connections are let through, and the fifth is told that it is one too many", () =>
  withDoor(async ({ path }) => {
    const open: Deno.Conn[] = [];
    for (let number = 1; number <= 4; number++) open.push(await connect(path));
    for (const connection of open) assert.equal(await say(connection), "5\n");
    const fifth = await connect(path);
    assert.match(await read(fifth), /^HTTP\/1\.1 429 .*\r\nretry-after: 60\r\n/);
    fifth.close();
    for (const connection of open) connection.close();
  }));

Deno.test("30 a minute are let through, until who is invited starts over", () =>
  withDoor(async ({ path, door }) => {
    const one = async () => {
      using connection = await connect(path);
      return await say(connection);
    };
    for (let number = 1; number <= 30; number++) assert.equal(await one(), "5\n");
    assert.doesNotMatch(await one(), /^5\n/);
    door.startOver();
    assert.equal(await one(), "5\n");
  }));

async function read(connection: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(1024);
  const length = await connection.read(buffer);
  return new TextDecoder().decode(buffer.subarray(0, length ?? 0));
}
