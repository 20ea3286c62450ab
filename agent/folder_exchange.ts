/** The asking end of an exchange folder: a file out, a file back. */
import { isThere } from "../platform/presence.ts";
import { channelHeaders, type ChannelRequest, type Exchange } from "./exchange.ts";
import { answerFile, answersIn, asksIn, type SlotFiles, slotFiles } from "./exchange_folder.ts";
import { FolderAnswer, type FolderRequest } from "./folder_messages.ts";
import { FolderWatch } from "./folder_watch.ts";
import { pause } from "./pause.ts";

/** How long an agent that runs leaves a request lying at most, milliseconds. */
const TAKEN_IN = 15_000;

/** Times that a file is tried to be put there, 50 ms apart. */
const MOST_TRIES = 100;

/** At most so long until an answer is seen, or that there is no folder any more, milliseconds. */
const LOOK_EVERY = 2000;

/**
 * The way to the agent through an exchange folder. A question is held back in the folder itself,
 * whether an agent runs or not: after its time nothing is new (304).
 */
export function folderExchange(folder: string): Exchange {
  return {
    place: folder,
    async ask(request, signal = new AbortController().signal) {
      const files = slotFiles(folder, request.wait === undefined ? "request" : "question");
      const id = crypto.randomUUID();
      if (request.wait === undefined) await untilFree(files.asked, signal);
      await put(files, toMessage(id, request), signal);
      try {
        return await answerTo(folder, files, id, request, signal);
      } finally {
        // Nobody is to answer it any more; of a question, this says that its answer has come.
        if (isOurs(files.asked, id)) remove(files.asked);
        // Where users may not, the agent does in time.
        remove(answerFile(folder, id));
      }
    },
    close() {},
  };
}

/** Resolves when there is an exchange folder, or when the signal says to wait no longer. */
export async function untilFolder(folder: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && !isThere(asksIn(folder))) await pause(LOOK_EVERY, signal);
}

function toMessage(id: string, request: ChannelRequest): FolderRequest {
  const { method, path, body } = request;
  const headers = channelHeaders(request);
  return { id, method, path, headers, ...(body === undefined ? {} : { body }) };
}

/** Waits for another's request to be taken, for as long as somebody may still wait for that. */
async function untilFree(asked: string, signal: AbortSignal): Promise<void> {
  const end = performance.now() + TAKEN_IN;
  while (isThere(asked) && performance.now() < end) {
    signal.throwIfAborted();
    await pause(50, signal);
  }
}

/** Puts it there at once and whole, in place of one that nobody waits for any more. */
async function put(files: SlotFiles, message: FolderRequest, signal: AbortSignal): Promise<void> {
  await Deno.writeTextFile(files.unfinished, JSON.stringify(message));
  for (let tries = 1;; tries++) {
    try {
      return await Deno.rename(files.unfinished, files.asked);
    } catch (error) {
      // Windows replaces no file that somebody reads at this moment.
      if (error instanceof Deno.errors.NotFound || tries === MOST_TRIES) throw error;
      signal.throwIfAborted();
      await pause(50, signal);
    }
  }
}

function answerTo(
  folder: string,
  files: SlotFiles,
  id: string,
  { wait }: ChannelRequest,
  signal: AbortSignal,
): Promise<Response> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const give = (response: Response) => (end(), resolve(response));
    const fail = (reason: unknown) => (end(), reject(reason));
    const look = () => {
      try {
        const answer = readAnswer(answerFile(folder, id));
        if (answer) return give(answer);
        const took = performance.now() - started;
        if (wait !== undefined && took > wait * 1000) {
          return give(new Response(null, { status: 304 }));
        }
        if (!isThere(asksIn(folder))) throw new Error(`There is no folder ${folder} any more.`);
        if (wait === undefined && took > TAKEN_IN && isOurs(files.asked, id)) {
          throw new Error("Nobody takes the request.");
        }
      } catch (error) {
        fail(error);
      }
    };
    const watch = new FolderWatch(answersIn(folder), look, LOOK_EVERY);
    const abort = () => fail(signal.reason);
    const end = () => {
      watch[Symbol.dispose]();
      signal.removeEventListener("abort", abort);
    };
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
    else look();
  });
}

/** The agent alone writes there, by rename. */
function readAnswer(path: string): Response | undefined {
  const text = readIfThere(path);
  if (text === undefined) return undefined;
  const { status, headers, body } = FolderAnswer.parse(JSON.parse(text));
  return new Response(body ?? null, { status, headers });
}

/** Whether what lies there is the message of this id, and not another's by now. */
function isOurs(asked: string, id: string): boolean {
  return readIfThere(asked)?.includes(id) ?? false;
}

function readIfThere(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function remove(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // It is gone, or the agent is just reading it, or not ours to remove.
  }
}
