/**
 * The resident agent's watch: one question held open at the agent server, the doors, and a worker
 * that is woken when either has news.
 */
import { Problem, toProblem } from "../platform/errors.ts";
import type { SystemPaths } from "../platform/paths.ts";
import type { AgentWorld } from "./agent.ts";
import { backOff, LONGEST_BACK_OFF } from "./back_off.ts";
import { ClockJumps } from "./clock_jumps.ts";
import { Doors } from "./doors.ts";
import { FolderDoors } from "./folder_doors.ts";
import type { Enrolled } from "./identity.ts";
import { pause } from "./pause.ts";
import {
  openServerClient,
  refusal,
  sentState,
  type ServerAnswer,
  type ServerClient,
  type ServerClock,
} from "./server_client.ts";
import { systemWords } from "./system_words.ts";
import { WorkerHandle } from "./worker_handle.ts";
import type { WorkerNews } from "./worker_messages.ts";

/** Seconds that the server may hold a question open; it is given up this much later. */
const WAIT = { seconds: 240, least: 30, grace: 15 } as const;

/**
 * "Nothing new" in less than this is no held question, milliseconds: the server does not hold any, or
 * a copy of this device (a cloned machine) asks it, too, and each ends the other's.
 */
const EARLY = 1000;

/** News in less than this were there already, and no change that the question waited for. */
const AT_ONCE = 100;

/** News in a row, each at once, that many users' certificates may well make. */
const BURST = 10;

/** How often to look whether the wall clock has jumped, milliseconds. */
const CLOCK_LOOK = 10_000;

/** The watch over one enrolled device, until it leaves its server or the agent ends. */
export class Watch {
  readonly #world: AgentWorld;
  readonly #client: ServerClient;
  readonly #worker: WorkerHandle;
  readonly #doors: Doors | FolderDoors;
  readonly #deviceId: string;
  readonly #jumps: ClockJumps;
  /** Whether the next question is for the time, so that it is not to be held. */
  #asksTime = false;
  /** Whether the clock has jumped since the worker heard of the time. */
  #timeIsNews = false;
  /** Aborts the question that is held open now. */
  #question = new AbortController();
  /** Ends a pause. */
  #rest = new AbortController();
  #etag: string | undefined;
  #check = true;
  #failures = 0;
  /** Answers in a row that came early and said nothing new. */
  #early = 0;
  /** Answers in a row that came early with news. */
  #news = 0;
  #wait: number = WAIT.seconds;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #over = new AbortController();
  /** Why the watch cannot go on. */
  #lost: Problem | undefined;

  constructor(world: AgentWorld, { device, key }: Enrolled) {
    this.#world = world;
    this.#deviceId = device.deviceId;
    this.#client = openServerClient({
      publicUrl: device.publicUrl,
      signer: key.signer(device.deviceId),
      clock: { offset: world.state.sync().clockOffset, known: false },
      now: world.now,
      ...(device.serverCa ? { serverCa: device.serverCa } : {}),
      ...(world.proxy ? { proxy: world.proxy } : {}),
    });
    this.#worker = new WorkerHandle(world.program, {
      idle: (answer) => {
        this.#doors.open(answer.uids);
        if (this.#etag !== undefined) this.#recovered();
        if (!answer.enrolled) return this.#over.abort();
        this.#retryAt(answer.nextTry);
      },
      refused: (message) => {
        this.#failed(new Problem("bundle-rejected", message));
      },
      failed: (code) => {
        world.log.error("worker.failed", { code });
        if (world.state.isLost()) return this.#end(stateLost(world.paths));
        this.#failed(new Problem("internal", `The agent's worker ended with code ${code}.`));
      },
    });
    const DoorsHere = world.meeting === "folders" ? FolderDoors : Doors;
    this.#doors = new DoorsHere(world, this.#worker, () => this.#clock());
    this.#jumps = new ClockJumps(world.now, () => this.#jumped());
  }

  async run(): Promise<void> {
    const { signal, state } = this.#world;
    const end = AbortSignal.any([signal, this.#over.signal]);
    end.addEventListener("abort", () => this.#question.abort());
    const jumps = setInterval(() => this.#jumps.look(), CLOCK_LOOK);
    this.#doors.open(state.users().flatMap((row) => row.uid ?? []));
    try {
      while (!end.aborted) {
        if (!state.device()?.leaving) await this.#ask(end);
        else {
          this.#tellDeleted();
          await pause(LONGEST_BACK_OFF, end);
        }
      }
    } finally {
      clearInterval(jumps);
      clearTimeout(this.#timer);
      await this.#doors.close();
      await this.#worker.stop();
      this.#client.close();
    }
    if (this.#lost) throw this.#lost;
  }

  #end(lost: Problem): void {
    this.#lost = lost;
    this.#over.abort();
  }

  async #ask(end: AbortSignal): Promise<void> {
    const started = performance.now();
    this.#question = new AbortController();
    const waits = this.#etag !== undefined && !this.#asksTime;
    this.#asksTime = false;
    try {
      const headers: Record<string, string> = {
        ...(this.#etag === undefined ? {} : { "if-none-match": this.#etag }),
        ...(waits ? { prefer: `wait=${this.#wait}` } : {}),
      };
      const answer = await this.#client.request({
        method: "GET",
        path: `/v1/devices/${this.#deviceId}/desired-state`,
        headers,
        timeout: ((waits ? this.#wait : 0) + WAIT.grace) * 1000,
        maxBytes: 1024 * 1024,
        signal: this.#question.signal,
      });
      const retryAfter = this.#take(answer, waits, performance.now() - started);
      if (retryAfter !== undefined) return await this.#pause(retryAfter, end);
    } catch (error) {
      // A held question that a middlebox cut is no failure of the server: ask for less the next time.
      const held = waits && performance.now() - started > 5000;
      if (this.#question.signal.aborted) this.#early = 0;
      else if (held && this.#wait > WAIT.least) this.#wait = Math.max(WAIT.least, this.#wait / 2);
      else this.#failed(toProblem(error));
    }
    const { random } = this.#world;
    // News without end are not waited for ever longer: one of them may be OFF.
    const early = this.#news > BURST ? 1 : this.#early;
    if (early > 0) await this.#pause(backOff(early, random), end);
    const asksAfresh = this.#etag === undefined;
    if (asksAfresh && this.#failures > 0) await this.#pause(backOff(this.#failures, random), end);
  }

  async #pause(milliseconds: number, end: AbortSignal): Promise<void> {
    this.#rest = new AbortController();
    await pause(milliseconds, AbortSignal.any([end, this.#rest.signal]));
  }

  /** Deals with an answer; gives milliseconds to wait when the server asks for that. */
  #take(answer: ServerAnswer, waited: boolean, took: number): number | undefined {
    const unchanged = answer.status === 304 ||
      answer.status === 200 && answer.headers.get("etag") === this.#etag;
    this.#early = unchanged && waited && took < EARLY ? this.#early + 1 : 0;
    this.#news = !unchanged && took < AT_ONCE ? this.#news + 1 : 0;
    if (unchanged) {
      this.#synced();
      if (this.#timeIsNews) this.#tell({ do: "retry" });
      return undefined;
    }
    if (answer.status === 200) {
      const { etag, body } = sentState(answer);
      this.#synced();
      this.#etag = etag;
      this.#tell({ do: "desired", etag, body, check: this.#check });
      this.#check = false;
      return undefined;
    }
    if (answer.status === 410 && answer.problemType === "urn:device-trust:device-deleted") {
      this.#tellDeleted();
      return LONGEST_BACK_OFF;
    }
    const seconds = Number(answer.headers.get("retry-after"));
    if ((answer.status === 429 || answer.status === 503) && seconds > 0) {
      this.#record(refusal("read the desired state", answer));
      return Math.min(seconds, 3600) * 1000;
    }
    throw refusal("read the desired state", answer);
  }

  #tellDeleted(): void {
    this.#tell({ do: "deleted" });
  }

  #tell(news: WorkerNews): void {
    const clock = this.#clock();
    if (clock.known) this.#timeIsNews = false;
    this.#worker.send({ ...news, clock });
  }

  /** Server time as it is known this very moment. */
  #clock(): ServerClock {
    this.#jumps.look();
    return { ...this.#client.clock };
  }

  /** Sleep, or a clock that was set: what was known of the server's time may be wrong. Ask at once. */
  #jumped(): void {
    this.#client.clock.known = false;
    this.#asksTime = this.#timeIsNews = true;
    this.#failures = this.#early = 0;
    this.#rest.abort();
    this.#question.abort();
  }

  #synced(): void {
    const { state, now } = this.#world;
    const { offset } = this.#client.clock;
    const sync = { lastSync: now(), clockOffset: offset };
    this.#note(() => {
      state.forgetOldEvents(now() + offset);
      // What went wrong stands until it is known to be right again.
      const { error } = this.#failures > 0 ? state.sync() : {};
      state.saveSync({ ...sync, ...(error ? { error } : {}) });
    });
  }

  /** What the server wants is known and taken: not before, else a refused state is no failure. */
  #recovered(): void {
    if (this.#failures === 0) return;
    this.#failures = 0;
    this.#synced();
    this.#world.log.info("server.reached");
  }

  /** What was asked for is not there: ask afresh, after a pause. */
  #failed(problem: Problem): void {
    this.#etag = undefined;
    this.#failures++;
    this.#record(problem);
    this.#question.abort();
  }

  #record(problem: Problem): void {
    const { state, log } = this.#world;
    const { code, message } = problem;
    this.#note(() => {
      const sync = state.sync();
      if (sync.error?.message === message) return;
      log.warning("server.failed", { code, reason: message });
      state.saveSync({ ...sync, error: { code, message } });
      state.recordEvent("server.failed", message);
    });
  }

  /** Notes something for people. A disk that takes no note keeps the watch from nothing else. */
  #note(write: () => void): void {
    try {
      write();
    } catch (error) {
      this.#world.log.error("state.unwritable", { reason: toProblem(error).message });
    }
  }

  #retryAt(at: number | undefined): void {
    clearTimeout(this.#timer);
    if (at === undefined) return;
    const wait = Math.min(Math.max(at - this.#world.now(), 100), 3_600_000);
    this.#timer = setTimeout(() => {
      const { state } = this.#world;
      if (state.device()?.leaving) return this.#tellDeleted();
      this.#tell({ do: "retry" });
    }, wait);
  }
}

function stateLost({ stateDir }: SystemPaths): Problem {
  return new Problem(
    "internal",
    `'${stateDir}/state.db' was removed or damaged while the agent ran. The agent ends, and takes ` +
      `up what is left when it is started anew: ${systemWords(Deno.build.os).restart}.`,
  );
}
