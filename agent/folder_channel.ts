/**
 * The answering end of an exchange folder, while a worker runs. Whatever lies in `in` costs a bounded
 * amount of work: two names are looked at, what is under them is read if it is small and nobody
 * else's, and who asks too much, or what makes no sense, is answered once in a while.
 */
import type { DevicePlatform } from "../platform/platform.ts";
import { writeFileAtomic } from "../platform/files.ts";
import { isThere } from "../platform/presence.ts";
import {
  answerFile,
  answersIn,
  asksIn,
  type Slot,
  type SlotFiles,
  slotFiles,
} from "./exchange_folder.ts";
import { FolderAnswer, FolderRequest, LONGEST_ASKED } from "./folder_messages.ts";
import { FolderWatch } from "./folder_watch.ts";
import { HeldFiles } from "./held_files.ts";
import type { Log } from "./log.ts";

/** What the channel needs of the world. */
export interface FolderChannelWorld {
  /** Of the exchange folder, which is there. */
  folder: string;
  /** For the log. */
  name: string;
  platform: Pick<DevicePlatform, "readUserFile">;
  log: Log;
  answer: (request: Request) => Response | Promise<Response>;
  /** How long after an answer another request may well follow, milliseconds. */
  linger: number;
}

/** How long nothing is read after something that makes no sense or is too much, milliseconds. */
const REST = 1000;

/** How soon a user-agent that is there takes the answer to its question, milliseconds. */
const TAKEN_IN = 5000;

/** How long an answer is kept for who asked, milliseconds. */
const FETCHED_IN = 60_000;

/** More than are asked for in that time. */
const MOST_ANSWERS = 100;

/** Milliseconds. */
const LOOK_EVERY = 500;

/** A request under way, or a question that is held open. */
interface Asked {
  request: FolderRequest;
  end: AbortController;
}

/** Looks and answers until it is closed. */
export class FolderChannel {
  readonly #world: FolderChannelWorld;
  readonly #watch: FolderWatch;
  readonly #heldFiles = new HeldFiles();
  readonly #files: Record<Slot, SlotFiles>;
  #closed = false;
  /** Resolves when the request under way is answered. */
  #serving: Promise<void> | undefined;
  #held: Asked | undefined;
  /** The question that was answered last; who asked it may not have seen that yet. */
  #answered: string | undefined;
  /** When a question was answered with news. */
  #answeredAt = -Infinity;
  /** When something was asked last that made sense. */
  #lastServed = -Infinity;
  #restsUntil = 0;

  constructor(world: FolderChannelWorld) {
    this.#world = world;
    const files = (slot: Slot) => slotFiles(world.folder, slot);
    this.#files = { request: files("request"), question: files("question") };
    this.#watch = new FolderWatch(asksIn(world.folder), () => this.look(), LOOK_EVERY);
    this.#serving = this.#tellInterrupted().finally(() => this.#next());
  }

  /** Takes up what is asked. */
  look(): void {
    if (this.#closed || performance.now() < this.#restsUntil) return;
    if (!this.#serving) {
      const request = this.#read(this.#files.request.asked);
      if (request) this.#serving = this.#claim(request).finally(() => this.#next());
    }
    this.#lookAtQuestion();
  }

  /**
   * Has who waits here go to work: answers the question that lies here though nothing is new. True
   * once the answer, or one that was given just now, is taken; false when nobody asks or takes it.
   * Who is at work is waited for first.
   */
  async call(): Promise<boolean> {
    const end = performance.now() + TAKEN_IN;
    while (this.#isBusy() && !this.#isLying() && this.#isOld() && performance.now() < end) {
      await moment();
    }
    const question = this.#question();
    if (question) await this.#answerAnyway(question);
    else if (!this.#isLying() && this.#isOld()) return false;
    return await this.#isCollected();
  }

  /** Resolves when nobody is being served or about to ask again; gives whether somebody was. */
  async quiet(): Promise<boolean> {
    if (!this.#isBusy()) return false;
    while (this.#isBusy() && !this.#closed) await moment();
    return true;
  }

  /** Resolves when a request under way is answered; a question stays for the next worker. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#watch[Symbol.dispose]();
    this.#drop();
    await this.#serving;
  }

  #isBusy(): boolean {
    return this.#serving !== undefined ||
      performance.now() < this.#lastServed + this.#world.linger;
  }

  #next(): void {
    this.#serving = undefined;
    this.look();
  }

  /** Makes a request nobody else's to answer, and answers it. */
  async #claim(request: FolderRequest): Promise<void> {
    const { asked, taken } = this.#files.request;
    try {
      await this.#heldFiles.rename(asked, taken);
    } catch (error) {
      // Who holds it open is not answered: it would be answered again and again.
      return this.#rest("in the way", error);
    }
    await this.#serve(request);
  }

  async #serve(request: FolderRequest): Promise<void> {
    const response = await this.#respond(request, new AbortController().signal);
    await this.#write(request.id, response);
    await this.#heldFiles.remove(this.#files.request.taken);
    this.#note(response);
  }

  /** What a worker that was killed had taken is told so; to ask again does no harm. */
  async #tellInterrupted(): Promise<void> {
    const request = this.#read(this.#files.request.taken);
    if (!request) return;
    const message = "The agent was interrupted before it answered. Try again.";
    const body = { code: "internal", message };
    const response = Response.json(body, { status: 503 });
    await this.#write(request.id, response);
    await this.#heldFiles.remove(this.#files.request.taken);
    this.#note(response);
  }

  #lookAtQuestion(): void {
    const question = this.#question();
    if (!question || question.id === this.#held?.request.id) return;
    this.#drop();
    this.#held = { request: question, end: new AbortController() };
    this.#answerQuestion(this.#held);
  }

  /** The question that lies here unanswered. */
  #question(): FolderRequest | undefined {
    const question = this.#read(this.#files.question.asked);
    return question?.id === this.#answered ? undefined : question;
  }

  #isLying(): boolean {
    return isThere(this.#files.question.asked);
  }

  #drop(): void {
    this.#held?.end.abort();
    this.#held = undefined;
  }

  async #answerQuestion({ request, end }: Asked): Promise<void> {
    const response = await this.#respond(request, end.signal);
    if (end.signal.aborted) return;
    this.#held = undefined;
    await this.#tell(request.id, response);
  }

  async #answerAnyway(question: FolderRequest): Promise<void> {
    this.#drop();
    this.#answered = question.id;
    const { "if-none-match": _, prefer: _wait, ...headers } = question.headers;
    const response = await this.#respond({ ...question, headers }, new AbortController().signal);
    await this.#tell(question.id, response);
  }

  async #tell(id: string, response: Response): Promise<void> {
    this.#answered = id;
    await this.#write(id, response);
    this.#note(response);
    if (response.ok) this.#answeredAt = performance.now();
  }

  /** Whether no question was answered with news for so long that who asked has taken it. */
  #isOld(): boolean {
    return performance.now() > this.#answeredAt + TAKEN_IN;
  }

  async #isCollected(): Promise<boolean> {
    const { asked } = this.#files.question;
    while (this.#read(asked)?.id === this.#answered) {
      if (this.#isOld()) {
        // Of a session that is over.
        await this.#heldFiles.remove(asked);
        return false;
      }
      await moment();
    }
    return true;
  }

  async #respond(request: FolderRequest, signal: AbortSignal): Promise<Response> {
    const { method, path, headers, body } = request;
    return await this.#world.answer(
      new Request(`http://agent${path}`, {
        method,
        headers,
        signal,
        ...(body === undefined || method === "GET" ? {} : { body }),
      }),
    );
  }

  async #write(id: string, response: Response): Promise<void> {
    const { status, body, headers } = response;
    const answer: FolderAnswer = {
      status,
      headers: Object.fromEntries(headers),
      ...(body === null ? {} : { body: await response.text() }),
    };
    const { folder } = this.#world;
    const bytes = new TextEncoder().encode(JSON.stringify(answer));
    try {
      await this.#sweep(answersIn(folder));
      writeFileAtomic(answerFile(folder, id), bytes, { mode: 0o644 });
    } catch (error) {
      this.#rest("unanswered", error);
    }
  }

  #note({ status }: Response): void {
    if (status === 429) this.#rest("too many", "");
    else if (status !== 304) this.#lastServed = performance.now();
  }

  /** A message; what is none is removed. */
  #read(path: string): FolderRequest | undefined {
    try {
      const bytes = this.#world.platform.readUserFile(path, LONGEST_ASKED);
      if (!bytes) return undefined;
      return FolderRequest.parse(JSON.parse(new TextDecoder().decode(bytes)));
    } catch (error) {
      this.#rest("strange", error);
      this.#heldFiles.remove(path);
      return undefined;
    }
  }

  /**
   * Removes what was fetched, or never will be, from a folder that the agent alone writes.
   *
   * @throws Error when it is full of answers that somebody keeps open
   */
  async #sweep(answers: string): Promise<void> {
    let left = 0;
    for (const { name } of Deno.readDirSync(answers)) {
      const path = `${answers}/${name}`;
      if (isForgotten(path)) await this.#heldFiles.remove(path);
      left++;
    }
    if (left > MOST_ANSWERS) throw new Error(`There are ${left} answers that nobody fetches.`);
  }

  #rest(why: string, error: unknown): void {
    this.#restsUntil = performance.now() + REST;
    const { log, name } = this.#world;
    log.debug("channel.rests", { channel: name, why, reason: String(error).slice(0, 500) });
  }
}

function isForgotten(path: string): boolean {
  try {
    // By a clock that may have been set since.
    return Math.abs(Date.now() - (Deno.lstatSync(path).mtime?.getTime() ?? 0)) > FETCHED_IN;
  } catch {
    // It was fetched this moment.
    return false;
  }
}

function moment(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}
