/** An exchange folder by what happens in it, both ends real; who answers is the test. */
import assert from "node:assert/strict";
import { isThere } from "../platform/presence.ts";
import type { Exchange } from "./exchange.ts";
import { answersIn, asksIn, type SlotFiles, slotFiles } from "./exchange_folder.ts";
import { FolderChannel } from "./folder_channel.ts";
import { folderExchange } from "./folder_exchange.ts";
import { openLog } from "./log.ts";
import { until } from "../tests/until.ts";

const LINGER = 200;

const { readUserFile } = Deno.build.os === "windows"
  ? await import("../platform/windows/folders.ts")
  : await import("../platform/files.ts");

/** The folder, and the agent's end as often as a test opens it. */
class Scratch {
  readonly exchange: Exchange;
  readonly request: SlotFiles;
  readonly question: SlotFiles;
  /** What was answered: `METHOD PATH`. */
  readonly asked: string[] = [];
  reads = 0;
  /** Answers everything. */
  answer: (request: Request) => Response | Promise<Response> = () => Response.json({ well: true });
  #open: FolderChannel[] = [];

  constructor(readonly folder: string) {
    for (const dir of [asksIn(folder), answersIn(folder)]) Deno.mkdirSync(dir);
    this.exchange = folderExchange(folder);
    this.request = slotFiles(folder, "request");
    this.question = slotFiles(folder, "question");
  }

  open(): FolderChannel {
    const channel = new FolderChannel({
      folder: this.folder,
      name: "alice",
      platform: {
        readUserFile: (path, maxBytes) => {
          this.reads++;
          return readUserFile(path, maxBytes);
        },
      },
      log: openLog({ write: () => {} }),
      linger: LINGER,
      answer: async (request) => {
        this.asked.push(`${request.method} ${new URL(request.url).pathname}`);
        return await this.answer(request);
      },
    });
    this.#open.push(channel);
    return channel;
  }

  async ask(path = "/hello", wait?: number): Promise<number> {
    const response = await this.exchange.ask({
      method: "GET",
      path,
      ...(wait === undefined ? {} : { wait }),
    });
    await response.body?.cancel();
    return response.status;
  }

  async close(): Promise<void> {
    await Promise.all(this.#open.map((channel) => channel.close()));
  }
}

async function withFolder(test: (scratch: Scratch) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const scratch = new Scratch(folder);
  try {
    await test(scratch);
  } finally {
    await scratch.close();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a request and its answer are HTTP, whole, and leave nothing", () =>
  withFolder(async (scratch) => {
    scratch.open();
    scratch.answer = async (request) =>
      Response.json(
        { body: await request.text(), type: request.headers.get("content-type") },
        { status: 201, headers: { etag: '"1"' } },
      );
    const body = '{"text": "ÄÖÜ\\n\\u0000"}';
    const headers = { "content-type": "application/json" };
    const response = await scratch.exchange.ask({ method: "POST", path: "/a?b=c", headers, body });
    assert.equal(response.status, 201);
    assert.equal(response.headers.get("etag"), '"1"');
    assert.deepEqual(await response.json(), { body, type: "application/json" });
    assert.deepEqual(scratch.asked, ["POST /a"]);
    await until("it is done with", () => !isThere(scratch.request.taken));
    assert.deepEqual([...Deno.readDirSync(asksIn(scratch.folder))], []);
    // An answer that whoever asked could not remove goes with the agent's sweep.
    assert.ok([...Deno.readDirSync(answersIn(scratch.folder))].length <= 1);
  }));

Deno.test("what was asked before the agent's end opens is answered", () =>
  withFolder(async (scratch) => {
    const asking = scratch.ask();
    await until("it lies there", () => isThere(scratch.request.asked));
    scratch.open();
    assert.equal(await asking, 200);
  }));

Deno.test("one request is answered at a time, and a question beside it", () =>
  withFolder(async (scratch) => {
    scratch.open();
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    scratch.answer = async ({ url }) => {
      if (url.endsWith("/slow")) await released;
      return new Response(null, { status: 204 });
    };
    const slow = scratch.ask("/slow");
    await until("it is taken", () => scratch.asked.length === 1);
    const next = folderExchange(scratch.folder).ask({ method: "GET", path: "/next" });
    assert.equal(await scratch.ask("/question", 60), 204);
    assert.deepEqual(scratch.asked, ["GET /slow", "GET /question"]);
    release();
    assert.deepEqual([await slow, (await next).status], [204, 204]);
  }));

Deno.test("a question waits in the folder for an agent, and for the next one when that one ends", () =>
  withFolder(async (scratch) => {
    const held = (request: Request) =>
      new Promise<Response>((resolve) =>
        request.signal.addEventListener("abort", () => resolve(new Response(null, { status: 304 })))
      );
    scratch.answer = held;
    const asking = scratch.ask("/news", 60);
    await until("it lies there", () => isThere(scratch.question.asked));
    const first = scratch.open();
    await until("it is held", () => scratch.asked.length === 1);
    assert.equal(await first.quiet(), false, "a held question keeps no worker");
    await first.close();
    assert.ok(isThere(scratch.question.asked));
    scratch.answer = () => Response.json({});
    scratch.open();
    assert.equal(await asking, 200);
    await until("it is taken away", () => !isThere(scratch.question.asked));
  }));

Deno.test("a question that nobody answers means after its time that nothing is new", () =>
  withFolder(async (scratch) => {
    assert.equal(await scratch.ask("/news", 0), 304);
    assert.ok(!isThere(scratch.question.asked));
  }));

Deno.test("who waits is called to work though nothing is new", () =>
  withFolder(async (scratch) => {
    scratch.answer = ({ headers, signal }) => {
      if (!headers.has("if-none-match")) return Response.json({ work: true });
      return new Promise((resolve) => {
        signal.addEventListener("abort", () => resolve(new Response(null, { status: 304 })));
      });
    };
    const headers = { "if-none-match": '"1"' };
    const asking = scratch.exchange.ask({ method: "GET", path: "/news", headers, wait: 60 });
    await until("it lies there", () => isThere(scratch.question.asked));
    const channel = scratch.open();
    await until("it is held", () => scratch.asked.length === 1);
    assert.equal(await channel.call(), true);
    assert.deepEqual(await (await asking).json(), { work: true });
  }));

Deno.test("nobody is called where nobody waits, or where a session left its question behind", () =>
  withFolder(async (scratch) => {
    const channel = scratch.open();
    assert.equal(await channel.call(), false);
    const stale = { id: crypto.randomUUID(), method: "GET", path: "/news", headers: {} };
    await Deno.writeTextFile(scratch.question.unfinished, JSON.stringify(stale));
    await Deno.rename(scratch.question.unfinished, scratch.question.asked);
    assert.equal(await channel.call(), false);
    assert.ok(!isThere(scratch.question.asked), "it is swept");
  }));

Deno.test("what an agent that was killed had taken is told so by the next", () =>
  withFolder(async (scratch) => {
    const asking = scratch.exchange.ask({ method: "POST", path: "/renew", body: "{}" });
    await until("it lies there", () => isThere(scratch.request.asked));
    await Deno.rename(scratch.request.asked, scratch.request.taken);
    scratch.open();
    const response = await asking;
    assert.equal(response.status, 503);
    assert.match((await response.json()).message, /interrupted/);
    assert.deepEqual(scratch.asked, []);
    await until("it is gone", () => !isThere(scratch.request.taken));
  }));

Deno.test("strange files are answered by nobody, removed, and hold up nobody", () =>
  withFolder(async (scratch) => {
    scratch.open();
    const { asked } = scratch.request;
    const id = crypto.randomUUID();
    const valid = { id, method: "GET", path: "/x", headers: {} };
    const texts = [
      "",
      "{",
      "\u0000".repeat(1000),
      JSON.stringify({ ...valid, path: "http://elsewhere/" }),
      JSON.stringify({ ...valid, id: "../../../elsewhere" }),
      JSON.stringify({ ...valid, body: "x".repeat(64 * 1024) }),
      `${"[".repeat(30_000)}${"]".repeat(30_000)}`,
    ];
    for (const text of texts) {
      await Deno.writeTextFile(`${asked}.new`, text);
      await Deno.rename(`${asked}.new`, asked);
      await until(`${text.slice(0, 40)} is gone`, () => !isThere(asked));
    }
    assert.deepEqual(scratch.asked, []);
    assert.equal(await scratch.ask(), 200);
  }));

Deno.test("a file with a second name, which may be another's, is not read", () =>
  withFolder(async (scratch) => {
    const secret = `${scratch.folder}/secret.json`;
    const valid = { id: crypto.randomUUID(), method: "GET", path: "/x", headers: {} };
    await Deno.writeTextFile(secret, JSON.stringify(valid));
    await Deno.link(secret, scratch.request.asked);
    scratch.open();
    await until("the name is gone", () => !isThere(scratch.request.asked));
    assert.deepEqual(scratch.asked, []);
    assert.ok(isThere(secret));
  }));

Deno.test("a folder that is in the way costs a few looks, and goes when it is empty", () =>
  withFolder(async (scratch) => {
    await Deno.mkdir(scratch.request.asked);
    await Deno.writeTextFile(`${scratch.request.asked}/full`, "");
    scratch.open();
    await new Promise((resolve) => setTimeout(resolve, 2500));
    assert.ok(scratch.reads < 40, `${scratch.reads} reads`);
    await Deno.remove(`${scratch.request.asked}/full`);
    await until("it is gone", () => !isThere(scratch.request.asked));
    assert.equal(await scratch.ask(), 200);
  }));

Deno.test("thousands of files beside cost nothing, and thousands of requests a few answers", () =>
  withFolder(async (scratch) => {
    const { asked } = scratch.request;
    for (let number = 0; number < 3000; number++) {
      Deno.writeTextFileSync(`${asksIn(scratch.folder)}/${number}.json`, "{}");
    }
    scratch.answer = () => new Response("Too many", { status: 429 });
    const channel = scratch.open();
    const started = performance.now();
    for (let number = 0; number < 3000; number++) {
      const request = { id: crypto.randomUUID(), method: "GET", path: "/x", headers: {} };
      Deno.writeTextFileSync(`${asked}.new`, JSON.stringify(request));
      try {
        Deno.renameSync(`${asked}.new`, asked);
      } catch {
        // Windows replaces no file that is read this moment.
      }
      if (number % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const seconds = (performance.now() - started) / 1000;
    assert.ok(scratch.asked.length <= seconds + 2, `${scratch.asked.length} in ${seconds} s`);
    assert.equal(await channel.quiet(), false, "who asks too much keeps no worker");
    scratch.answer = () => Response.json({});
    assert.equal(await scratch.ask(), 200);
  }));

Deno.test("answers that nobody fetches go in time, and who keeps them from it gets no more", () =>
  withFolder(async (scratch) => {
    scratch.open();
    const answers = answersIn(scratch.folder);
    const put = async (number: number, time: number) => {
      const path = `${answers}/${number}.json`;
      await Deno.writeTextFile(path, "{}");
      await Deno.utime(path, time / 1000, time / 1000);
    };
    for (let number = 0; number < 200; number++) await put(number, Date.now() - 61_000);
    // Of a clock that was set back since.
    await put(200, Date.now() + 61_000);
    await put(201, Date.now());
    const end = new AbortController();
    const asking = scratch.exchange.ask({ method: "GET", path: "/x" }, end.signal);
    await until("they are gone", () => !isThere(`${answers}/200.json`));
    await until("it was asked", () => scratch.asked.length === 1);
    end.abort();
    await assert.rejects(asking);
    assert.equal(await scratch.ask(), 200);
    const left = [...Deno.readDirSync(answers)].map(({ name }) => name);
    assert.ok(left.includes("201.json"));
    assert.ok(left.length <= 2, "beside it the answer that was given up, if it came too late");
  }));

Deno.test("a request that no agent takes fails, and is not left for one to come", () =>
  withFolder(async (scratch) => {
    const end = new AbortController();
    const asking = scratch.exchange.ask({ method: "GET", path: "/x" }, end.signal);
    await until("it lies there", () => isThere(scratch.request.asked));
    end.abort();
    await assert.rejects(asking);
    assert.ok(!isThere(scratch.request.asked));
    await Deno.remove(asksIn(scratch.folder), { recursive: true });
    await assert.rejects(scratch.ask(), Deno.errors.NotFound);
  }));
